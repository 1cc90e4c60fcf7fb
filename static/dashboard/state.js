// The current view, kept in the address bar, so that it can be sent to somebody.
export const FILTERS = [
  "from",
  "to",
  "tz",
  "project_id",
  "project",
  "tag",
  "priority",
  "user_id",
  "scope",
  "filter",
  "view",
];
const NAMES = [...FILTERS, "interval", "remaining", "until", "completed"];

export function view() {
  const query = new URLSearchParams(location.search);
  const found = {};
  for (const name of NAMES) if (query.get(name)) found[name] = query.get(name);
  return found;
}

export function show(changes) {
  const next = { ...view(), ...changes };
  const query = new URLSearchParams();
  for (const name of NAMES) if (next[name]) query.set(name, next[name]);
  const text = query.toString();
  history.pushState(null, "", text ? `?${text}` : location.pathname);
}

export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function zone() {
  return view().tz || ownZone;
}

// The browser takes a tenth of a millisecond to check a zone, and each of thousands of rows asks for it.
let checked = { search: null, zone: null };

// The time zone of shown times: the reader's own, if the address names an unknown zone.
export function shownZone() {
  const { search } = location;
  if (checked.search !== search) checked = { search, zone: known(zone()) };
  return checked.zone;
}

function known(name) {
  try {
    return new Intl.DateTimeFormat(undefined, { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return ownZone;
  }
}

// The query of a call: the filters, and parameters of the call itself.
export function query(more = {}) {
  const now = view();
  const found = new URLSearchParams();
  for (const name of FILTERS) if (now[name]) found.set(name, now[name]);
  found.set("tz", zone());
  for (const [name, value] of Object.entries(more)) if (value) found.set(name, value);
  return found.toString();
}
