// The open task with its ETag, as the server last gave it.
import * as api from "./api.js";
import { sendAgreed } from "./conflict.js";
import * as store from "./store.js";
import { inTurn } from "./turns.js";

export const open = { task: null, etag: null };
const listeners = new Set();

export const onOpen = (listener) => listeners.add(listener);

export function take({ value, etag }) {
  // Answers arrive in any order.
  if (open.task?.id === value.id && store.isOlder(value, open.task)) return;
  Object.assign(open, { task: value, etag });
}

function tell() {
  for (const listener of listeners) listener();
}

const newest = () => ({ value: open.task, etag: open.etag });

// The changes that are on their way: the task as the person saw it, and its newest version.
const underWay = new Set();

// Changes fields of the open task. `seen` has the values that the person saw, if the task has others by now.
export function save(fields, seen = {}) {
  const one = { before: { ...open.task, ...seen }, newest: newest() };
  const isOpen = () => open.task?.id === one.before.id;
  underWay.add(one);
  return inTurn([one.before.id], async () => {
    try {
      return await send(one.before, fields, isOpen() ? newest() : one.newest);
    } catch (error) {
      if (isOpen()) tell();
      throw error;
    } finally {
      underWay.delete(one);
    }
  });
}

// Begins to change a task that need not be open, and answers the function that sends the changed fields.
export function begin(task) {
  const before = { ...task };
  const first = inTurn([task.id], () => api.tasks.get(task.id));
  first.catch(() => undefined);
  // A version that could not be had at the beginning is asked for again.
  const known = () => first.catch(() => api.tasks.get(task.id));
  return (fields) => inTurn([task.id], async () => send(before, fields, await known()));
}

// Answers the task as it is then.
async function send(before, fields, theirs) {
  const { given, names } = await sendAgreed(api.tasks, before, fields, theirs);
  return took(given, names);
}

// Takes an answer, in which the person has changed the fields of these names.
function took(given, names = []) {
  store.put(given.value);
  for (const one of underWay) {
    if (one.before.id !== given.value.id) continue;
    one.newest = given;
    for (const name of names) one.before[name] = given.value[name];
  }
  if (open.task?.id === given.value.id) {
    take(given);
    tell();
  }
  return given.value;
}

// Loads the open task again, if there still is one.
export const reload = async () => open.task && took(await api.tasks.get(open.task.id));
