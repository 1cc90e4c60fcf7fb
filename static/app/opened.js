// The open task with its ETag, as the server last gave it. Changes are sent one after the other.
import * as api from "./api.js";
import { choose, disputed } from "./conflict.js";
import * as store from "./store.js";

export const open = { task: null, etag: null };
const listeners = new Set();

export const onOpen = (listener) => listeners.add(listener);

export function take({ value, etag }) {
  Object.assign(open, { task: value, etag });
}

function tell() {
  for (const listener of listeners) listener();
}

let queue = Promise.resolve();

// Changes wait for one another, so that none of them looks like somebody else's change.
function inTurn(work) {
  queue = queue.catch(() => undefined).then(work);
  return queue;
}

// Changes fields of the open task.
export function save(fields) {
  const [before, etag] = [{ ...open.task }, open.etag];
  return inTurn(async () => {
    const isOpen = () => open.task?.id === before.id;
    try {
      return await send(before, fields, { value: before, etag: isOpen() ? open.etag : etag });
    } catch (error) {
      if (isOpen()) tell();
      throw error;
    }
  });
}

// Begins to change a task that need not be open, and answers the function that sends the changed fields.
export function begin(task) {
  const before = { ...task };
  const newest = inTurn(() => api.tasks.get(task.id));
  newest.catch(() => undefined);
  // A version that could not be had at the beginning is asked for again.
  const known = () => newest.catch(() => api.tasks.get(task.id));
  return (fields) => inTurn(async () => send(before, fields, await known()));
}

// Sends fields of a task, of which `theirs` is the newest version that is known. If somebody else changed the same
// fields since `before`, the person chooses. Answers the task as it is then.
async function send(before, fields, theirs) {
  for (;;) {
    const names = disputed(fields, before, theirs.value);
    // They changed other fields, so both changes stay.
    if (names.length && (await choose(names, fields, theirs.value)) !== "mine") return took(theirs);
    Object.assign(before, Object.fromEntries(names.map((name) => [name, theirs.value[name]])));
    try {
      return took(await api.tasks.change(before.id, fields, theirs.etag));
    } catch (error) {
      if (error.status !== 412) throw error;
    }
    theirs = await api.tasks.get(before.id);
  }
}

function took(given) {
  store.put(given.value);
  if (open.task?.id === given.value.id) {
    take(given);
    tell();
  }
  return given.value;
}

export const reload = async () => took(await api.tasks.get(open.task.id));
