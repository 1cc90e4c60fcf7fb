// Decides without the server whether a task belongs to the view, and at which place.
import { model } from "./model.js";

// Unicode's case folding, as the server does it: `straße` is `STRASSE`, and `ς` is `Σ`, but `ı` is no `I`.
function folded(text) {
  if (/^[ -~]*$/.test(text)) return text.toLowerCase();
  const plain = text.normalize("NFC").replace(/[^ı]+/g, (part) => part.toLowerCase().toUpperCase().toLowerCase());
  return plain.replaceAll("ς", "σ");
}

// Lists are ordered by the code points of folded titles, nulls last both ways, ties broken by id.
const KEYS = {
  title: (task) => folded(task.title),
  priority: (task) => task.priority,
  id: (task) => task.id,
};

export function inOrder(tasks, address) {
  const name = address.sort || "created_at";
  const direction = address.order === "asc" ? 1 : -1;
  const key = KEYS[name] || ((task) => task[name]);
  const compare = ([first, one], [second, two]) => {
    if (first === null || second === null) {
      if (first !== second) return first === null ? 1 : -1;
    } else if (first !== second) return first < second ? -direction : direction;
    return (one.id - two.id) * direction;
  };
  // Folding a title takes longer than comparing it, so each is folded once.
  const keyed = tasks.map((task) => [key(task), task]);
  return keyed.sort(compare).map(([, task]) => task);
}

export const STATUSES = {
  open: ["pending", "in_progress"],
  all: [],
  pending: ["pending"],
  in_progress: ["in_progress"],
  completed: ["completed"],
};

export function statusesOf(address) {
  return STATUSES[address.status || (address.layout === "board" || address.view ? "all" : "open")] || [];
}

// The archived projects that a list of the caller's tasks leaves out, because their tasks can only be read.
// A search for a text, a label or a project finds them.
export function leftOut({ project, view, q, label, filter }) {
  if (project || view || q || label || /\bproject/i.test(filter || "")) return [];
  const archived = model.projects.filter((each) => each.archived_at).map((each) => each.id);
  // A filter has at most 2,000 characters.
  return archived.slice(0, 100);
}

// True or false; null if only the server can decide.
export function matches(task, address) {
  if (
    address.project
      ? task.project_id !== Number(address.project)
      : task.user_id !== model.me.id && !address.view
  )
    return false;
  const statuses = statusesOf(address);
  if (statuses.length && !statuses.includes(task.status)) return false;
  if (leftOut(address).includes(task.project_id)) return false;
  if (address.priority && task.priority !== Number(address.priority)) return false;
  if (address.tag && !task.tags.includes(address.tag)) return false;
  if (address.label && task.project !== address.label) return false;
  if (address.owner && task.user_id !== Number(address.owner)) return false;
  if (address.q && !folded(task.title).includes(folded(address.q))) return false;
  return address.filter || address.view ? null : true;
}
