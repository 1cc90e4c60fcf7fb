// Changes of tasks: shown at once, sent, and taken back if the server refuses.
import { say } from "../shared/dom.js";
import { count } from "../shared/format.js";
import { LoggedOut, logOut } from "../shared/session.js";
import * as api from "./api.js";
import { firstState, mayDelete, nameOf } from "./model.js";
import * as store from "./store.js";
import { settleAll, toast } from "./toasts.js";
import { inTurn } from "./turns.js";

const AT_ONCE = 1000;
let onLoggedOut = () => undefined;

export const whenLoggedOut = (listener) => (onLoggedOut = listener);

// Runs an action, whose failure ends in a message.
export function act(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      if (error instanceof LoggedOut) onLoggedOut(error.message);
      else say(error.message, 15);
      return null;
    }
  };
}

// Ends the session, once the actions are sent that wait for the time for undoing.
export async function leaveAccount() {
  await settleAll();
  await logOut();
}

const named = (tasks) => (tasks.length === 1 ? `"${short(tasks[0].title)}"` : count(tasks.length, "task"));
export const short = (title) => (title.length > 50 ? `${title.slice(0, 49)}…` : title);

// One call for one task, batches for many: all or none of each thousand. The batches of `options.keepalive` are
// sent at once, because the page may be about to be left.
async function send(operations, options = {}) {
  if (operations.length === 1) {
    const [{ op, id, task, assigned_user_id: to }] = operations;
    if (op === "update") return [(await api.tasks.change(id, task)).value];
    if (op === "assign") await api.tasks.assign(id, to, options);
    if (op === "delete") await api.tasks.remove(id, options);
    return [];
  }
  const parts = Array.from({ length: Math.ceil(operations.length / AT_ONCE) }, (_, part) =>
    operations.slice(part * AT_ONCE, (part + 1) * AT_ONCE),
  );
  const found = [];
  const take = ({ results }) => found.push(...results.map((each) => each.task).filter(Boolean));
  if (options.keepalive) await Promise.all(parts.map(async (part) => take(await api.tasks.batch(part, options))));
  else for (const part of parts) take(await api.tasks.batch(part));
  return found;
}

// Changes tasks by `fieldsOf(task)`. The change is shown and announced at once, and taken back on failure.
// The last change is announced last, so that undoing is about it; undoing waits until the change has arrived.
async function update(tasks, fieldsOf, said = "", back = null) {
  for (const task of tasks) store.put({ ...task, ...shownAs(task, fieldsOf(task)) });
  const operations = tasks.map((task) => ({ op: "update", id: task.id, task: fieldsOf(task) }));
  const sent = inTurn(tasks.map(({ id }) => id), () => send(operations));
  const undo = act(async () => {
    await sent;
    await update(tasks.map(current), back);
  });
  const unsay = said ? toast(said, { undo: back ? undo : null }) : () => undefined;
  try {
    for (const task of await sent) store.put(task);
  } catch (error) {
    unsay();
    for (const task of tasks) store.put(task);
    throw error;
  }
}

// The fields that follow from changed fields.
function shownAs(task, fields) {
  const shown = { ...fields };
  if (fields.state && !fields.status) shown.status = statusOf(task, fields.state);
  if (shown.status && shown.status !== task.status) {
    shown.state = fields.state || firstState(task.project_id, shown.status)?.key || shown.status;
    shown.completed_at = shown.status === "completed" ? new Date().toISOString() : null;
    if (shown.status === "completed") Object.assign(shown, { blocked_at: null, blocked_reason: null });
  }
  return shown;
}

function statusOf(task, key) {
  return store.statesFor(task).find((state) => state.key === key)?.status || task.status;
}

const stateFields = (task, key) => (task.project_id ? { state: key } : { status: key });

const current = (task) => store.get(task.id) || task;

// An action on tasks as they are now: a menu may have been open while others changed them.
const changing = (work) => act((tasks, ...given) => work(tasks.map(current), ...given));

// The former values of each task, by id.
const beforeOf = (tasks, read) => {
  const found = new Map(tasks.map((task) => [task.id, read(task)]));
  return (task) => found.get(task.id);
};
const oldState = (tasks) => {
  const before = beforeOf(tasks, (task) => task.state || task.status);
  return (task) => stateFields(task, before(task));
};

export const setFields = changing(async (tasks, fields, said) => {
  const before = beforeOf(tasks, (task) =>
    Object.fromEntries(Object.keys(fields).map((name) => [name, task[name]])),
  );
  await update(tasks, () => fields, `${named(tasks)}: ${said}`, before);
});

// Sends a new title by `send`, which asks if somebody else was first, and answers the task as it is then.
// `keep` is called if the title could not be saved, but may be later.
export const rename = act(async (task, title, send, keep) => {
  const before = current(task).title;
  store.put({ ...current(task), title });
  try {
    const now = await send({ title });
    if (now.title !== title) return;
    const undo = act(() => update([current(task)], () => ({ title: task.title })));
    toast(`"${short(task.title)}" renamed`, { undo });
  } catch (error) {
    if (error.status !== 404) keep();
    if (store.get(task.id)) store.put({ ...current(task), title: before });
    // The row may be out of sight, so the message has what was typed.
    if (!(error instanceof LoggedOut)) error.message = `"${title}" was not saved: ${error.message}`;
    throw error;
  }
});

export const setState = changing(async (tasks, key) => {
  const name = store.statesFor(tasks[0]).find((state) => state.key === key)?.name || key;
  await update(tasks, (task) => stateFields(task, key), `${named(tasks)} moved to ${name}`, oldState(tasks));
});

// Completes open tasks, or reopens completed ones.
export const toggle = changing(async (tasks) => {
  const open = tasks.filter((task) => task.status !== "completed");
  if (open.length)
    await update(open, () => ({ status: "completed" }), `Completed ${named(open)}`, oldState(open));
  else await update(tasks, () => ({ status: "pending" }), `${named(tasks)} opened again`, oldState(tasks));
});

// Hides the tasks, and sends the operations when the time for undoing is over, or when the page is left.
function later(tasks, said, operations, done = () => undefined) {
  const ids = tasks.map((task) => task.id);
  store.hide(ids);
  toast(said, {
    undo: () => store.hide(ids, false),
    settle: act(async () => {
      try {
        await send(operations, { keepalive: true });
        done(ids);
      } finally {
        store.hide(ids, false);
      }
    }),
  });
}

export function remove(given) {
  const tasks = given.filter(mayDelete);
  if (tasks.length < given.length) say("Only its owner or a manager of the project deletes a task.");
  if (!tasks.length) return;
  const operations = tasks.map((task) => ({ op: "delete", id: task.id }));
  later(tasks, `Deleted ${named(tasks)}`, operations, (ids) => ids.forEach(store.drop));
}

// Gives tasks to somebody. A private task is out of sight then, so its giver could not take it back: it is given
// away when the time for undoing is over.
export const assign = act(async (given, userId) => {
  const tasks = given.filter((task) => task.user_id !== userId);
  if (!tasks.length) return;
  const said = `${named(tasks)} assigned to ${nameOf(userId)}`;
  const to = (of) => tasks.map((task) => ({ op: "assign", id: task.id, assigned_user_id: of(task) }));
  const owned = (ownerOf) => {
    for (const task of tasks) store.put({ ...current(task), user_id: ownerOf(task) });
  };
  if (tasks.some((task) => !task.project_id)) {
    later(tasks, said, to(() => userId), () => owned(() => userId));
    return;
  }
  const give = async (ownerOf) => (await send(to(ownerOf)), owned(ownerOf));
  await give(() => userId);
  toast(said, { undo: act(() => give((task) => task.user_id)) });
});

export const addTag = changing(async (tasks, tag) => {
  const had = new Set(tasks.filter((task) => task.tags.includes(tag)).map(({ id }) => id));
  await update(
    tasks,
    ({ id, tags }) => ({ tags: had.has(id) ? tags : [...tags, tag] }),
    `${named(tasks)} tagged ${tag}`,
    // Other tags may come before this one is taken back.
    ({ id, tags }) => ({ tags: had.has(id) ? tags : tags.filter((each) => each !== tag) }),
  );
});

const placeOf = (task) => ({
  project_id: task.project_id,
  ...(task.project_id ? { state: task.state } : { project: task.project }),
});

export const move = changing(async (tasks, projectId, name) => {
  await update(
    tasks,
    () => ({ project_id: projectId }),
    `${named(tasks)} moved to ${name}`,
    beforeOf(tasks, placeOf),
  );
});

// Tells that a task has moved from where it was before, and offers to move it back.
export function moved(before, name) {
  const back = act(() => update([current(before)], () => placeOf(before)));
  toast(`${named([before])} moved to ${name}`, { undo: back });
}
