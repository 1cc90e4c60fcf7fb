// The tasks of the view, loaded page by page and updated as others change them.
import { LoggedOut, nextPage, request } from "../shared/session.js";
import { now } from "./address.js";
import { query } from "./api.js";
import { inOrder, leftOut, matches, statusesOf } from "./matching.js";
import { ZONE } from "./model.js";

const FIRST = 100;
const PAGE = 500;
const MOST = 20_000;
const listeners = new Set();
const hidden = new Set();
// Deleted tasks: an answer that was on its way does not bring them back.
const gone = new Set();
// The tasks that changed while the list was loading.
const changedMeanwhile = new Map();
let tasks = new Map();
// The task that somebody is typing in: it stays in the list, even if it no longer belongs there.
let held = null;
let isDoubted = false;
let sorted = null;
let turn = 0;
// The address of the list that is shown, once all of it is loaded.
let shownPath = null;
let abort = new AbortController();
export const state = { isLoading: false, isCut: false, error: null, loaded: 0 };

export const onTasks = (listener) => listeners.add(listener);

function changed() {
  sorted = null;
  for (const listener of listeners) listener();
}

// A condition in the filter language.
const inOpenProjects = (address) => leftOut(address).length && `project_id not in (${leftOut(address).join(", ")})`;

const filtersOf = (address) =>
  [address.filter, address.owner ? `owner = ${address.owner}` : "", inOpenProjects(address)].filter(Boolean);

// The position in the filter of the page, of a position in the one that was asked for.
export const positionIn = (address, position) => position - (filtersOf(address).length > 1 ? 1 : 0);

// The query of the current list.
function listQuery(address, more = {}) {
  const filters = filtersOf(address);
  return query({
    project_id: address.project,
    view: address.view,
    status: statusesOf(address),
    title_contains: address.q,
    tag: address.tag,
    priority: address.priority,
    project: address.label,
    filter: filters.length > 1 ? filters.map((each) => `(${each})`).join(" and ") : filters[0],
    tz: filters.length || address.view ? ZONE : "",
    sort_by: address.sort,
    sort_order: address.order,
    ...more,
  });
}

// The filters of the page in the filter language, as a view stores them.
export function inLanguage(address) {
  const quoted = (value) => `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  const statuses = statusesOf(address);
  return [
    statuses.length ? `status in (${statuses.join(", ")})` : "",
    address.priority ? `priority = ${address.priority}` : "",
    address.tag ? `tag = ${quoted(address.tag)}` : "",
    address.label ? `project = ${quoted(address.label)}` : "",
    address.owner ? `owner = ${address.owner}` : "",
    address.q ? `title ~ ${quoted(address.q)}` : "",
    inOpenProjects(address),
    address.filter ? `(${address.filter})` : "",
  ]
    .filter(Boolean)
    .join(" and ");
}

const path = (address, more) => `/tasks?${listQuery(address, more)}`;

// The shown tasks in their order.
export function all() {
  const address = now();
  const order = `${address.sort} ${address.order}`;
  if (sorted?.order !== order) {
    const shown = inOrder([...tasks.values()].filter((task) => !hidden.has(task.id)), address);
    sorted = { order, shown };
  }
  return sorted.shown;
}

// Events, answers and pages of the list arrive in any order, so an older version never replaces a newer one.
// Times are compared to the microsecond, which a `Date` does not know.
const age = (task) => task.updated_at.replace("Z", "").replace(/^[^.]*$/, "$&.").padEnd(26, "0");
export const isOlder = (task, other) => Boolean(other) && age(task) < age(other);

export const get = (id) => tasks.get(Number(id));

// The loading that has begun last. Whoever waits for an earlier one waits for it.
let newest = null;
export const load = () => (newest = loadNow());

async function loadNow() {
  const mine = ++turn;
  abort.abort();
  abort = new AbortController();
  // A list that is loaded again is replaced as a whole, so that nobody loses their place in it.
  const first = path(now(), { limit: FIRST });
  const isAgain = first === shownPath;
  Object.assign(state, { isLoading: true, isCut: false, error: null, loaded: 0 });
  if (!isAgain) leaveFormer();
  changedMeanwhile.clear();
  const found = new Map();
  try {
    for (let next = first; next;) {
      const response = await request(next, { signal: abort.signal });
      const rows = await response.json();
      if (mine !== turn) return newest;
      if (tasks !== found && !isAgain) begin(found);
      for (const task of rows)
        if (!gone.has(task.id) && !isOlder(task, changedMeanwhile.get(task.id))) found.set(task.id, task);
      state.loaded = found.size;
      next = nextPage(response)?.replace(`limit=${FIRST}`, `limit=${PAGE}`);
      state.isCut = Boolean(next) && found.size >= MOST;
      if (state.isCut) next = null;
      state.isLoading = Boolean(next);
      if (isAgain && !next) begin(found);
      if (!isAgain || !next) changed();
    }
    shownPath = first;
  } catch (error) {
    if (mine !== turn || error.name === "AbortError") return newest;
    Object.assign(state, { isLoading: false, error });
    if (error instanceof LoggedOut) throw error;
    changed();
  }
  return null;
}

// The tasks of the former view that do not belong to this one go at once, because the answer may be slow.
function leaveFormer() {
  shownPath = null;
  for (const [id, task] of tasks) if (id !== held && matches(task, now()) === false) tasks.delete(id);
  changed();
}

// Replaces the tasks by those of a new list, corrected by what changed since it was asked for.
function begin(found) {
  for (const task of changedMeanwhile.values()) {
    const fits = matches(task, now());
    if (fits === false) found.delete(task.id);
    else if ((fits || found.has(task.id)) && !isOlder(task, found.get(task.id))) found.set(task.id, task);
  }
  for (const id of gone) found.delete(id);
  if (tasks.has(held) && !found.has(held)) {
    found.set(held, tasks.get(held));
    isDoubted = true;
  }
  tasks = found;
}

// Keeps a task in the list until it is released.
export function hold(id) {
  held = id;
  isDoubted = false;
}

export function release() {
  if (isDoubted && tasks.has(held)) doubt(held);
  held = null;
}

export function clear() {
  turn++;
  abort.abort();
  tasks = new Map();
  sorted = held = shownPath = newest = null;
  // Tasks that are hidden until they are deleted stay hidden on the way to another page and back.
  for (const each of [gone, doubtful, changedMeanwhile]) each.clear();
}

// Puts a changed task into its place, or removes it if it no longer belongs to the view.
export function put(task) {
  if (gone.has(task.id) || isOlder(task, tasks.get(task.id) || changedMeanwhile.get(task.id))) return;
  if (state.isLoading) changedMeanwhile.set(task.id, task);
  const fits = matches(task, now());
  if (fits) tasks.set(task.id, task);
  else {
    if (fits === false && task.id !== held) tasks.delete(task.id);
    if (fits === false && task.id === held) isDoubted = true;
    if (tasks.has(task.id)) tasks.set(task.id, task);
    if (fits === null) doubt(task.id);
  }
  changed();
}

export function drop(id) {
  gone.add(Number(id));
  if (tasks.delete(Number(id))) changed();
}

export const isHidden = (id) => hidden.has(id);
export const numberHidden = () => hidden.size;

// Hides tasks that will be deleted in a moment, or shows them again.
export function hide(ids, isOn = true) {
  for (const id of ids) hidden[isOn ? "add" : "delete"](id);
  changed();
}

// -- questions to the server ----------------------------------------------------------------------

const doubtful = new Set();
let asking = null;

function doubt(id) {
  doubtful.add(id);
  askSoon();
}

function askSoon() {
  asking = asking || setTimeout(ask, 250);
}

async function ask() {
  asking = null;
  // The list that is being loaded would replace the answer.
  if (state.isLoading) return askSoon();
  const mine = turn;
  const ids = [...doubtful].slice(0, 100);
  for (const id of ids) doubtful.delete(id);
  if (doubtful.size) askSoon();
  const address = now();
  const among = `id in (${ids.join(", ")})`;
  try {
    const narrowed = { ...address, filter: address.filter ? `(${address.filter}) and ${among}` : among };
    const found = new Map(
      (await (await request(path(narrowed, { limit: 500 }))).json()).map((task) => [task.id, task]),
    );
    if (mine !== turn) return;
    for (const id of ids) {
      const task = found.get(id);
      if (!task) {
        if (id === held) isDoubted = true;
        else tasks.delete(id);
        continue;
      }
      if (!gone.has(id) && !isOlder(task, tasks.get(id))) tasks.set(id, task);
    }
    changed();
  } catch {
    // The question is asked again when the task changes again, and by the next load.
  }
  return null;
}
