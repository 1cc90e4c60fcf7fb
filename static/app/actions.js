// Changes of tasks: shown at once, sent, and taken back if the server refuses.
import { act } from "../shared/act.js";
import { say } from "../shared/dom.js";
import { count, shortened } from "../shared/format.js";
import { LoggedOut, logOut } from "../shared/session.js";
import { sendLater } from "./later.js";
import { firstState, may, mayDelete, nameOf, projectOf, same, statesOf } from "./model.js";
import { send, sendDecided, updateOf } from "./sending.js";
import * as store from "./store.js";
import { settleAll, toast } from "./toasts.js";
import { inTurn } from "./turns.js";

// Ends the session, once the actions are sent that wait for the time for undoing.
export async function leaveAccount() {
  await settleAll();
  await logOut();
}

const named = (tasks) => (tasks.length === 1 ? `"${short(tasks[0].title)}"` : count(tasks.length, "task"));
export const short = (title) => shortened(title, 50);

const idsOf = (tasks) => tasks.map(({ id }) => id);

// Announces a change that is on its way. The last change is announced last, so that undoing is about it; undoing waits
// until the change has arrived. `back(task, mine)` gives the former values of a task that the change has left as
// `mine`, or null if the task is to stay as it is.
async function announced(said, sent, back) {
  const unsay = toast(said, { undo: act(async () => takeBack(await sent, back)) });
  try {
    for (const task of await sent) store.put(task);
  } catch (error) {
    unsay();
    throw error;
  }
}

async function takeBack(done, back) {
  const mine = new Map(done.map((task) => [task.id, task]));
  await decided("Not undone", done, (task) => {
    const fields = back(task, mine.get(task.id));
    return fields && [updateOf(task, fields)];
  });
}

// Sends changes that depend on the values that the tasks have by then, and tells of those that stay as they are.
const decided = (refusal, tasks, operationsOf) =>
  inTurn(idsOf(tasks), async () => {
    const { changed, left } = await sendDecided(tasks.map(current), operationsOf, showAs);
    for (const task of changed) store.put(task);
    if (left.length) say(`${refusal}: ${named(left)} changed meanwhile.`, 15);
    return changed;
  });

function showAs(task, { task: fields = {}, assigned_user_id: owner = task.user_id } = {}) {
  store.put({ ...task, ...shownAs(task, fields), user_id: owner });
}

// Changes tasks by `fieldsOf(task)`. The change is shown and announced at once, and taken back on failure.
async function update(tasks, fieldsOf, said, back) {
  const operations = tasks.map((task) => ({ op: "update", id: task.id, task: fieldsOf(task) }));
  const show = () => tasks.forEach((task, at) => showAs(task, operations[at]));
  await shown(tasks, show, () => announced(said, inTurn(idsOf(tasks), () => send(operations)), back));
}

// Shows a change at once, and takes it back if it fails. Shown later, it could hide a newer change by others.
async function shown(tasks, show, work) {
  show();
  try {
    await work();
  } catch (error) {
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
  return statesOf(task.project_id).find((state) => state.key === key)?.status || task.status;
}

const stateFields = (task, key) => (task.project_id ? { state: key } : { status: key });

const current = (task) => store.get(task.id) || task;

// The tasks that the person may change. Tells of those that can only be read.
export function writable(tasks) {
  const found = tasks.filter((task) => may("member", task.project_id));
  const isArchived = tasks.some((task) => projectOf(task.project_id)?.archived_at);
  if (tasks.length === 1 && !found.length)
    say(`This task can only be read here${isArchived ? ": its project is archived" : ""}.`);
  else if (found.length < tasks.length) say(`${found.length ? "Some of these" : "These"} tasks can only be read here.`);
  return found;
}

// An action on tasks as they are now: a menu may have been open while others changed them.
const changing = (work) =>
  act(async (tasks, ...given) => {
    const found = writable(tasks.map(current));
    if (found.length) await work(found, ...given);
  });

// Puts back the former values of each task, unless they have changed again since.
const former = (tasks, read) => {
  const before = new Map(tasks.map((task) => [task.id, read(task)]));
  return (task, mine) => {
    const fields = before.get(task.id);
    return Object.keys(fields).every((name) => same(task[name], mine[name])) ? fields : null;
  };
};
const oldState = (tasks) => former(tasks, (task) => stateFields(task, task.state || task.status));

export const setFields = changing(async (tasks, fields, said) => {
  const names = Object.keys(fields);
  const before = former(tasks, (task) => Object.fromEntries(names.map((name) => [name, task[name]])));
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
    const back = former([now], () => ({ title: task.title }));
    await announced(`"${short(task.title)}" renamed`, [now], back);
  } catch (error) {
    if (error.status !== 404) keep();
    if (store.get(task.id)?.title === title) store.put({ ...current(task), title: before });
    // The row may be out of sight, so the message has what was typed.
    if (!(error instanceof LoggedOut)) error.message = `"${title}" was not saved: ${error.message}`;
    throw error;
  }
});

export const setState = changing(async (tasks, key) => {
  const name = statesOf(tasks[0].project_id).find((state) => state.key === key)?.name || key;
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
function later(tasks, said, operations) {
  const ids = tasks.map((task) => task.id);
  store.hide(ids);
  toast(said, {
    undo: () => store.hide(ids, false),
    settle: act(async (isLeaving) => {
      try {
        await sendLater(operations, isLeaving);
      } finally {
        store.hide(ids, false);
      }
    }),
  });
}

// Answers whether there was anything to delete.
export function remove(given) {
  const tasks = given.filter(mayDelete);
  if (tasks.length < given.length) say("Only its owner or a manager of the project deletes a task.");
  if (!tasks.length) return false;
  const operations = tasks.map((task) => ({ op: "delete", id: task.id }));
  later(tasks, `Deleted ${named(tasks)}`, operations);
  return true;
}

// Gives tasks to somebody. A private task is out of sight then, so its giver could not take it back: it is given
// away when the time for undoing is over.
export const assign = changing(async (all, userId) => {
  const tasks = all.filter((task) => task.user_id !== userId);
  if (!tasks.length) return;
  const said = `${named(tasks)} assigned to ${nameOf(userId)}`;
  const to = tasks.map((task) => ({ op: "assign", id: task.id, assigned_user_id: userId }));
  const show = () => tasks.forEach((task) => showAs(current(task), { assigned_user_id: userId }));
  if (tasks.some((task) => !task.project_id)) {
    later(tasks, said, to);
    return;
  }
  await shown(tasks, show, () => inTurn(idsOf(tasks), () => send(to)));
  const before = new Map(tasks.map((task) => [task.id, task.user_id]));
  const back = (task) =>
    task.user_id === userId
      ? [updateOf(task), { op: "assign", id: task.id, assigned_user_id: before.get(task.id) }]
      : null;
  const given = tasks.map((task) => ({ ...task, user_id: userId }));
  toast(said, { undo: act(() => decided("Not undone", given, back)) });
});

// Shows tasks that were just made. Undo deletes those that nobody has changed since.
export function added(tasks) {
  for (const task of tasks) store.put(task);
  const hidden = tasks.filter(({ id }) => !store.get(id)).length;
  const version = new Map(tasks.map((task) => [task.id, task.updated_at]));
  const back = (task) =>
    task.updated_at === version.get(task.id) ? [updateOf(task), { op: "delete", id: task.id }] : null;
  toast(`Added ${named(tasks)}${hidden ? `, ${hidden} of which the filters hide` : ""}`, {
    undo: act(async () => (await decided("Not undone", tasks, back)).forEach(({ id }) => store.drop(id))),
  });
}

// The tag is added to those that each task has by then, and so is it taken back.
export const addTag = changing(async (given, tag) => {
  const tasks = given.filter((task) => !task.tags.includes(tag));
  if (!tasks.length) return;
  const added = ({ tags }) => ({ tags: [...new Set([...tags, tag])] });
  const sent = decided("Not tagged", tasks, (task) => [updateOf(task, added(task))]);
  await announced(`${named(tasks)} tagged ${tag}`, sent, ({ tags }) => ({ tags: tags.filter((each) => each !== tag) }));
});

const placeOf = (task) => ({
  project_id: task.project_id,
  ...(task.project_id ? { state: task.state } : { project: task.project }),
});

export const move = changing(async (tasks, projectId, name) => {
  await update(tasks, () => ({ project_id: projectId }), `${named(tasks)} moved to ${name}`, former(tasks, placeOf));
});

// Tells that a task has moved from where it was before, and offers to move it back.
export const moved = (before, now, name) =>
  announced(`${named([before])} moved to ${name}`, [now], former([before], placeOf));
