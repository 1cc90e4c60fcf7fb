// Changes of tasks: shown at once, sent, and taken back if the server refuses.
import { say } from "../shared/dom.js";
import { count } from "../shared/format.js";
import { LoggedOut } from "../shared/session.js";
import * as api from "./api.js";
import { firstState, nameOf } from "./model.js";
import * as store from "./store.js";
import { toast } from "./toasts.js";

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

const named = (tasks) => (tasks.length === 1 ? `"${short(tasks[0].title)}"` : count(tasks.length, "task"));
const short = (title) => (title.length > 50 ? `${title.slice(0, 49)}…` : title);

// One call for one task, batches for many: all or none of each thousand.
async function send(operations) {
  if (operations.length === 1) {
    const [{ op, id, task, assigned_user_id: to }] = operations;
    if (op === "update") return [(await api.tasks.change(id, task)).value];
    if (op === "assign") await api.tasks.assign(id, to);
    if (op === "delete") await api.tasks.remove(id);
    return [];
  }
  const found = [];
  for (let at = 0; at < operations.length; at += AT_ONCE) {
    const { results } = await api.tasks.batch(operations.slice(at, at + AT_ONCE));
    found.push(...results.map((each) => each.task).filter(Boolean));
  }
  return found;
}

// Changes tasks by `fieldsOf(task)`. The change is shown and announced at once, and taken back on failure.
// The last change is announced last, so that undoing is about it; undoing waits until the change has arrived.
async function update(tasks, fieldsOf, said = "", back = null) {
  for (const task of tasks) store.put({ ...task, ...shownAs(task, fieldsOf(task)) });
  const sent = send(tasks.map((task) => ({ op: "update", id: task.id, task: fieldsOf(task) })));
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

// The former values of each task, by id.
const beforeOf = (tasks, read) => {
  const found = new Map(tasks.map((task) => [task.id, read(task)]));
  return (task) => found.get(task.id);
};
const oldState = (tasks) => {
  const before = beforeOf(tasks, (task) => task.state || task.status);
  return (task) => stateFields(task, before(task));
};

export const setFields = act(async (tasks, fields, said) => {
  const before = beforeOf(tasks, (task) =>
    Object.fromEntries(Object.keys(fields).map((name) => [name, task[name]])),
  );
  await update(tasks, () => fields, `${named(tasks)}: ${said}`, before);
});

export const setState = act(async (tasks, key) => {
  const name = store.statesFor(tasks[0]).find((state) => state.key === key)?.name || key;
  await update(tasks, (task) => stateFields(task, key), `${named(tasks)} moved to ${name}`, oldState(tasks));
});

// Completes open tasks, or reopens completed ones.
export const toggle = act(async (tasks) => {
  const open = tasks.filter((task) => task.status !== "completed");
  if (open.length)
    await update(open, () => ({ status: "completed" }), `Completed ${named(open)}`, oldState(open));
  else await update(tasks, () => ({ status: "pending" }), `${named(tasks)} opened again`, oldState(tasks));
});

// Hides the tasks, and deletes them when the time for undoing is over.
export function remove(tasks) {
  const ids = tasks.map((task) => task.id);
  store.hide(ids);
  toast(`Deleted ${named(tasks)}`, {
    undo: () => store.hide(ids, false),
    settle: act(async () => {
      try {
        // The calls go on even if the page is left.
        const parts = Array.from({ length: Math.ceil(ids.length / AT_ONCE) }, (_, part) =>
          ids.slice(part * AT_ONCE, (part + 1) * AT_ONCE),
        );
        if (ids.length === 1) await api.tasks.remove(ids[0], { keepalive: true });
        else
          await Promise.all(
            parts.map((part) =>
              api.tasks.batch(
                part.map((id) => ({ op: "delete", id })),
                { keepalive: true },
              ),
            ),
          );
        for (const id of ids) store.drop(id);
      } finally {
        store.hide(ids, false);
      }
    }),
  });
}

export const assign = act(async (tasks, userId) => {
  await send(tasks.map((task) => ({ op: "assign", id: task.id, assigned_user_id: userId })));
  for (const task of tasks) store.put({ ...current(task), user_id: userId });
  toast(`${named(tasks)} assigned to ${nameOf(userId)}`);
});

export const addTag = act(async (tasks, tag) => {
  const before = beforeOf(tasks, (task) => ({ tags: task.tags }));
  await update(
    tasks,
    (task) => ({ tags: task.tags.includes(tag) ? task.tags : [...task.tags, tag] }),
    `${named(tasks)} tagged ${tag}`,
    before,
  );
});

export const move = act(async (tasks, projectId, name) => {
  await update(tasks, () => ({ project_id: projectId }), `${named(tasks)} moved to ${name}`);
});
