// Changes of the same task are sent one after the other, so that the last one is what stays, and none of them looks
// like somebody else's change.
const last = new Map();

export function inTurn(ids, work) {
  const done = Promise.allSettled(ids.map((id) => last.get(id))).then(work);
  const forget = () => ids.forEach((id) => last.get(id) === done && last.delete(id));
  for (const id of ids) last.set(id, done);
  done.then(forget, forget);
  return done;
}
