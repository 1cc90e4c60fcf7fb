// The current view, kept in the address bar, so that it can be saved and sent.
const NAMES = [
  "page",
  "project",
  "view",
  "layout",
  "status",
  "q",
  "tag",
  "priority",
  "label",
  "owner",
  "filter",
  "sort",
  "order",
  "group",
  "task",
];
// Open tasks that are due within a week, or overdue.
export const DUE_SOON = { filter: "due < today+7d", sort: "due_at", order: "asc", group: "due" };
const listeners = new Set();
// Reading the address takes longer than the rest of what is done for each of thousands of tasks.
let read = { search: null, values: {} };

export function now() {
  const { search } = location;
  if (read.search !== search) {
    const query = new URLSearchParams(search);
    const given = NAMES.map((name) => [name, query.get(name)]).filter(([, value]) => value);
    read = { search, values: Object.freeze(Object.fromEntries(given)) };
  }
  return read.values;
}

export function href(values) {
  const query = new URLSearchParams();
  for (const name of NAMES) if (values[name]) query.set(name, values[name]);
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

let placeOf = () => null;
// Calls a function for what tells how far the list or board is scrolled.
export const keepPlaceOf = (read) => (placeOf = read);
export const keepNoPlace = () => keepPlaceOf(() => null);

// Keeps how far the list or board is scrolled, for the way back to it.
export function keepPlace() {
  const place = placeOf();
  if (place) history.replaceState(place, "");
}

addEventListener("pagehide", keepPlace);

// Goes to the address with these values; `null` removes a value.
export function go(values, { replace = false } = {}) {
  const next = href(values);
  if (next === location.search || (!location.search && next === location.pathname)) return;
  keepPlace();
  history[replace ? "replaceState" : "pushState"](null, "", next);
  tell();
}

export const change = (values, options) => go({ ...now(), ...values }, options);

export function onGo(listener) {
  listeners.add(listener);
}

function tell() {
  for (const listener of listeners) listener();
}

addEventListener("popstate", tell);

// A click with a modifier key opens a new tab or window, as for all links.
export const isForNewTab = (event) => event.ctrlKey || event.metaKey || event.shiftKey || event.button;

// A link within the page.
export function follow(values) {
  return (event) => {
    if (isForNewTab(event)) return;
    event.preventDefault();
    go(values);
  };
}
