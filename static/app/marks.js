// The active task of the keyboard, and the marked tasks.
import { open } from "./opened.js";
import * as store from "./store.js";

const listeners = new Set();
const ids = new Set();
let activeId = null;
let anchor = null;

export const onMarks = (listener) => listeners.add(listener);

function changed() {
  for (const listener of listeners) listener();
}

export const active = () => activeId;

export function activate(id) {
  if (activeId === id) return;
  activeId = id;
  changed();
}

// The task that comes into the place of one that has gone: the next one in the order before that is still there, or else
// the one above.
export function inPlaceOf(id, before, there) {
  const at = before.indexOf(id);
  if (at < 0) return null;
  const isThere = (each) => there.has(each);
  return before.slice(at + 1).find(isThere) ?? before.slice(0, at).findLast(isThere) ?? null;
}

export const isMarked = (id) => ids.has(id);
// A task that will be deleted in a moment is no longer on the page.
export const marked = () => [...ids].map(store.get).filter((task) => task && !store.isHidden(task.id));

export function mark(id, isOn = !ids.has(id)) {
  ids[isOn ? "add" : "delete"](id);
  anchor = id;
  changed();
}

// Marks all tasks from the last marked one to this one.
export function markTo(id, order) {
  const [from, to] = [order.indexOf(anchor ?? id), order.indexOf(id)].sort((a, b) => a - b);
  for (const each of order.slice(Math.max(from, 0), to + 1)) ids.add(each);
  changed();
}

export function markAll(order) {
  for (const id of order) ids.add(id);
  changed();
}

export function clear() {
  ids.clear();
  changed();
}

// The open task, unless the focus is on a row or card: the list may have another active task, or lack the open one.
export const isOpenMeant = () => open.task !== null && !document.activeElement?.closest("#content .task, #content .row");

// The tasks that a key or button acts on: the marked ones, or else the one that the person is on.
export function concerned() {
  const found = marked();
  if (found.length) return found;
  if (isOpenMeant()) return [store.get(open.task.id) || open.task];
  const one = activeId === null ? undefined : store.get(activeId);
  return one ? [one] : [];
}
