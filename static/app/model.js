// Data beside the tasks: the caller, the projects, and the meaning of each state.
import { now } from "./address.js";
import * as api from "./api.js";

export const PRIORITIES = ["No priority", "Low", "Medium", "High", "Urgent"];
// The statuses with their names. They are the states of tasks outside shared projects.
export const STATUSES = [
  ["pending", "To do"],
  ["in_progress", "In progress"],
  ["completed", "Done"],
];
const OWN_STATES = STATUSES.map(([status, name]) => ({ key: status, name, status, wip_limit: null }));
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export const model = { me: null, projects: [], views: [], unread: 0, trouble: new Map() };
const members = new Map();
const names = new Map();

export function forgetAll() {
  Object.assign(model, { me: null, projects: [], views: [], unread: 0, trouble: new Map() });
  members.clear();
  names.clear();
  forgotten = asked;
}

// Loads data for a part of the page. If that fails, the reason is kept in `model.trouble`, and what was known stays.
async function part(name, ask, known) {
  try {
    const found = await ask();
    model.trouble.delete(name);
    return found;
  } catch (error) {
    if (error.status === undefined) throw error;
    model.trouble.set(name, error.message);
    return known;
  }
}

let [asked, forgotten] = [0, 0];
const arrived = new Map();

// Loads one of the values of `model`. Answers arrive in any order, perhaps when another account has logged in, and an
// older one does not replace a newer one.
async function load(name, about, ask) {
  const mine = ++asked;
  const found = await part(about, ask, null);
  if (found === null || mine <= forgotten || mine < arrived.get(name)) return;
  arrived.set(name, mine);
  model[name] = found;
}

// All projects, the archived ones at the end.
export const loadProjects = () =>
  load("projects", "projects", async () =>
    (await Promise.all([api.projects.list(), api.projects.list(true)])).flat(),
  );

export const openProjects = () => model.projects.filter((each) => !each.archived_at);

export const loadViews = () => load("views", "views", api.views.list);

// The number of notifications to read, with a plus sign if there may be more than were asked for.
export const loadUnread = () =>
  load("unread", "notifications", async () => {
    const found = await api.notifications.list(true);
    const { length } = found.filter((each) => !isOwnDoing(each));
    return length && found.length === api.notifications.MOST ? `${length}+` : length;
  });

// All that the menu shows.
export const loadMenu = () => Promise.all([loadProjects(), loadViews(), loadUnread()]);

// Whether a notification only repeats what the reader did.
export const isOwnDoing = ({ kind, actor_id: actor }) =>
  ["created", "completed"].includes(kind) && actor === model.me?.id;

export const projectOf = (id) => model.projects.find((each) => each.id === Number(id));

// The shared project of the view, or undefined.
export const project = () => (now().project ? projectOf(now().project) : undefined);

export const statesOf = (projectId) => projectOf(projectId)?.states || OWN_STATES;

export function stateOf(task) {
  const states = statesOf(task.project_id);
  return (
    states.find((each) => each.key === (task.state || task.status)) ||
    states.find((each) => each.status === task.status)
  );
}

// The state that a task gets when it is completed or reopened.
export function firstState(projectId, status) {
  return statesOf(projectId).find((each) => each.status === status);
}

export async function membersOf(projectId) {
  if (!projectId) return [];
  if (!members.has(projectId))
    members.set(
      projectId,
      part("members", () => api.projects.members(projectId), []),
    );
  const found = await members.get(projectId);
  // They are asked for again the next time.
  if (model.trouble.has("members")) members.delete(projectId);
  for (const each of found) names.set(each.user_id, each.username);
  return found;
}

export const forgetMembers = (projectId) => members.delete(projectId);

export function nameOf(userId) {
  if (userId === null || userId === undefined) return "somebody who has left";
  if (userId === model.me?.id) return model.me.username;
  return names.get(userId) || `account ${userId}`;
}

export const knowName = (id, name) => names.set(id, name);

// Whether the caller has at least this role in a task's project.
const RANKS = ["viewer", "member", "manager"];
export function may(role, projectId) {
  if (!projectId) return true;
  const found = projectOf(projectId);
  // The tasks of an archived project can only be read.
  if (found?.archived_at && role === "member") return false;
  if (!found || found.role === null) return Boolean(model.me?.role === "admin") || !found;
  return RANKS.indexOf(found.role) >= RANKS.indexOf(role);
}

// Members delete their own tasks, managers all.
export const mayDelete = (task) =>
  may("member", task.project_id) &&
  (!task.project_id || task.user_id === model.me.id || may("manager", task.project_id));

// Whether two values of a field are the same; a value that is missing is null.
export const same = (one, two) => JSON.stringify(one ?? null) === JSON.stringify(two ?? null);
