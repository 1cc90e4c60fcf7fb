// What is looked at, kept in the address bar, so that a view can be kept and sent.
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
const listeners = new Set();

export function now() {
  const query = new URLSearchParams(location.search);
  const found = {};
  for (const name of NAMES) if (query.get(name)) found[name] = query.get(name);
  return found;
}

export function href(values) {
  const query = new URLSearchParams();
  for (const name of NAMES) if (values[name]) query.set(name, values[name]);
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

// Goes where `values` say; `null` takes a value out of the address.
export function go(values, { replace = false } = {}) {
  const next = href(values);
  if (next === location.search || (!location.search && next === location.pathname)) return;
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

// A link within the page: a click with a key held opens it elsewhere, as always.
export function follow(values) {
  return (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(values);
  };
}
