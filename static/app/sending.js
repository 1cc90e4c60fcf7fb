// Operations on tasks on their way to the server.
import { isFinal } from "../shared/session.js";
import * as api from "./api.js";

export const AT_ONCE = 1000;

export const inParts = (all, size) =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, part) => all.slice(part * size, (part + 1) * size));

// One call for one task, batches for many: all or none of each thousand. Answers the tasks after it, as far as they are
// answered.
export async function send(operations, options = {}) {
  if (operations.length === 1) {
    const [{ op, id, task, assigned_user_id: to }] = operations;
    if (op === "update") return [(await api.tasks.change(id, task)).value];
    if (op === "assign") await api.tasks.assign(id, to, options);
    if (op === "delete") await api.tasks.remove(id, options);
    return [];
  }
  const found = [];
  for (const part of inParts(operations, AT_ONCE)) {
    const { results } = await api.tasks.batch(part, options);
    found.push(...results.map((each) => each.task).filter(Boolean));
  }
  return found;
}

// Does each operation by itself, so that one that is refused undoes no other. Answers the operations that are done, the
// ids of tasks that are gone, and the refusals.
export async function sendEach(operations, options) {
  const results = operations.length > 1 ? await sendApart(operations, options) : [await sendOne(operations, options)];
  const [done, gone, refusals] = [[], [], []];
  for (const [at, { error }] of results.entries()) {
    if (!error) done.push(operations[at]);
    else if (error.code === "task_not_found") gone.push(operations[at].id);
    else refusals.push(error);
  }
  return { done, gone, refusals };
}

const sendApart = async (operations, options) =>
  (await api.tasks.batch(operations, { ...options, atomic: false })).results;

async function sendOne(operations, options) {
  try {
    await send(operations, options);
    return {};
  } catch (error) {
    if (!isFinal(error)) throw error;
    return { error: { code: error.code, detail: error.message } };
  }
}

// Changes the fields of a task if it is still at the version that the page knows.
export const updateOf = (task, fields = {}) => ({
  op: "update",
  id: task.id,
  task: { ...fields, updated_at: task.updated_at },
});

// Sends changes that are decided by the values of each task. `operationsOf(task)` answers at most two operations, the
// first one of `updateOf`, or null for a task that is to stay as it is. If somebody else was first, the server refuses
// the change, and it is decided again. `show(task, operation)` shows a task as an operation makes it, or as it is.
// Answers the changed tasks, and those that stayed as they are or are gone.
export async function sendDecided(tasks, operationsOf, show) {
  const [changed, left] = [[], []];
  for (const part of inParts(tasks, AT_ONCE / 2)) {
    const newest = new Map(part.map((task) => [task.id, task]));
    const decide = ({ id }) => (newest.has(id) ? operationsOf(newest.get(id)) : null);
    for (;;) {
      const operations = part.flatMap((task) => decide(task) || []);
      for (const each of operations) show(newest.get(each.id), each);
      try {
        if (operations.length) changed.push(...(await send(operations)));
        break;
      } catch (error) {
        await askAgain(error, operations, newest).finally(() => newest.forEach((task) => show(task)));
      }
    }
    left.push(...part.filter((task) => !decide(task)));
  }
  return { changed, left };
}

// Replaces the task that an error is about by its newest version, or forgets it if it is gone. Throws errors that have
// another reason.
async function askAgain(error, operations, newest) {
  if (error.code !== "stale_copy" && error.status !== 404) throw error;
  const [, place = 0] = /^#\/operations\/(\d+)/.exec(error.errors[0]?.pointer) || [];
  const { id } = operations[place];
  const found = await api.tasks.get(id).catch((reason) => reason);
  if (found.status === 404) newest.delete(id);
  else if (found instanceof Error) throw found;
  else if (error.status === 404) throw error;
  else newest.set(id, found.value);
}
