// The tasks of the view, loaded page by page and updated as others change them.
import { LoggedOut, nextPage, request } from "../shared/session.js";
import { now } from "./address.js";
import { query } from "./api.js";
import { compare, matches, statusesOf } from "./matching.js";
import { ZONE, statesOf } from "./model.js";

const FIRST = 100;
const PAGE = 500;
const MOST = 20_000;
const listeners = new Set();
const hidden = new Set();
let tasks = new Map();
let turn = 0;
let abort = new AbortController();
export const state = { isLoading: false, isCut: false, error: null, loaded: 0 };

export const onTasks = (listener) => listeners.add(listener);

function changed(what = "tasks") {
  for (const listener of listeners) listener(what);
}

// The query of the current list.
export function listQuery(address, more = {}) {
  const filters = [address.filter, address.owner ? `owner = ${address.owner}` : ""].filter(Boolean);
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

const path = (address, more) => `/tasks?${listQuery(address, more)}`;

export function all() {
  return [...tasks.values()].filter((task) => !hidden.has(task.id)).sort(compare(now()));
}

export { statusesOf };
export const statesFor = (task) => statesOf(task.project_id);

export const get = (id) => tasks.get(Number(id));

export async function load() {
  const mine = ++turn;
  abort.abort();
  abort = new AbortController();
  Object.assign(state, { isLoading: true, isCut: false, error: null, loaded: 0 });
  const found = new Map();
  try {
    for (let next = path(now(), { limit: FIRST }); next;) {
      const response = await request(next, { signal: abort.signal });
      const rows = await response.json();
      if (mine !== turn) return;
      for (const task of rows) found.set(task.id, task);
      tasks = found;
      state.loaded = found.size;
      next = nextPage(response)?.replace(`limit=${FIRST}`, `limit=${PAGE}`);
      state.isCut = Boolean(next) && found.size >= MOST;
      if (state.isCut) next = null;
      state.isLoading = Boolean(next);
      changed();
    }
  } catch (error) {
    if (mine !== turn || error.name === "AbortError") return;
    Object.assign(state, { isLoading: false, error });
    if (error instanceof LoggedOut) throw error;
    changed();
  }
}

export function clear() {
  turn++;
  abort.abort();
  tasks = new Map();
  hidden.clear();
}

// Puts a changed task into its place, or removes it if it no longer belongs to the view.
export function put(task) {
  const fits = matches(task, now());
  if (fits) tasks.set(task.id, task);
  else if (fits === false) tasks.delete(task.id);
  else {
    if (tasks.has(task.id)) tasks.set(task.id, task);
    doubtful.add(task.id);
    askSoon();
  }
  changed();
}

export function drop(id) {
  if (tasks.delete(Number(id))) changed();
}

// Hides tasks that will be deleted in a moment, or shows them again.
export function hide(ids, isHidden = true) {
  for (const id of ids) hidden[isHidden ? "add" : "delete"](id);
  changed();
}

// -- questions to the server ----------------------------------------------------------------------

const doubtful = new Set();
let asking = null;

function askSoon() {
  asking = asking || setTimeout(ask, 250);
}

async function ask() {
  asking = null;
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
      if (found.has(id)) tasks.set(id, found.get(id));
      else tasks.delete(id);
    }
    changed();
  } catch {
    // The question is asked again when the task changes again, and by the next load.
  }
}
