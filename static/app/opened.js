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
export function save(fields) {
  const before = { ...open.task };
  queue = queue.catch(() => undefined).then(() => send(before, fields));
  return queue;
}

async function send(before, fields) {
  let etag = open.task?.id === before.id ? open.etag : undefined;
  for (;;) {
    try {
      return took(await api.tasks.change(before.id, fields, etag));
    } catch (error) {
      if (error.status !== 412) {
        if (open.task?.id === before.id) tell();
        throw error;
      }
    }
    const theirs = await api.tasks.get(before.id);
    const names = disputed(fields, before, theirs.value);
    // They changed other fields, so both changes stay.
    if (names.length && (await choose(names, fields, theirs.value)) !== "mine") return took(theirs);
    Object.assign(before, Object.fromEntries(names.map((name) => [name, theirs.value[name]])));
    etag = theirs.etag;
  }
}

function took(given) {
  store.put(given.value);
  if (open.task?.id !== given.value.id) return;
  take(given);
  tell();
}

export const reload = async () => took(await api.tasks.get(open.task.id));
