// Converts the cells of a file to tasks, and lists the cells that could not be read.
import { cut } from "../shared/format.js";
import { moment, tagsOf } from "./words.js";

const DONE =
  /^(done|completed?|closed|resolved|fixed|finished|archived?|released|true|yes|x|won'?t ?(do|fix))$/i;
const STARTED = /^(in[ _-]?progress|doing|started|active|in review|review|testing|wip|working.*)$/i;
const PRIORITIES = [
  [/^(4|p0|highest|urgent|blocker|critical|asap)$/i, 4],
  [/^(3|p1|high|major|important)$/i, 3],
  [/^(2|p2|medium|normal|moderate)$/i, 2],
  [/^(1|p3|low|minor)$/i, 1],
];
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

function statusFrom(text) {
  const word = text.trim();
  if (DONE.test(word)) return "completed";
  return STARTED.test(word) ? "in_progress" : "pending";
}

function priorityFrom(text) {
  return PRIORITIES.find(([pattern]) => pattern.test(text.trim()))?.[1] ?? 0;
}

// A date as sheets and Jira write it: `31.12.2026`, `12/31/26 2:00 PM`, `31/Dec/26`.
const DATE =
  /^(\d{1,2})([./-])(\d{1,2}|[A-Za-z]{3})\2(\d{4}|\d{2})(?:,?\s+(\d{1,2}):(\d{2})(?::\d{2})?(?:\s*([AP]M))?)?$/i;

// Whether the dates of a column begin with the day: as one of them shows, or else as the reader's language has it.
function isDayFirst(cells) {
  for (const cell of cells) {
    const [, first, mark, second] = DATE.exec((cell ?? "").toString().trim()) || [];
    if (mark === "." || first > 12) return true;
    if (second > 12) return false;
  }
  const parts = new Intl.DateTimeFormat().formatToParts().map((part) => part.type);
  return parts.indexOf("day") < parts.indexOf("month");
}

// Parses a time as other programs write it: RFC 3339, `2026-12-31 14:00`, or a date as above; or null.
function timeFrom(text, dayFirst = true) {
  const word = text.trim();
  if (!word) return null;
  const date = DATE.exec(word);
  if (date) {
    const [, first, , second, year, hour = "0", minute = "0", half] = date;
    const hours = half ? (Number(hour) % 12) + (half.toUpperCase() === "PM" ? 12 : 0) : Number(hour);
    // Browsers would make the next day of 25:00.
    if (hours > 23 || minute > 59) return null;
    const isNamed = Number.isNaN(Number(second));
    const [day, month] = dayFirst || isNamed ? [first, second] : [second, first];
    const at = isNamed ? MONTHS.indexOf(month.toLowerCase()) : month - 1;
    const found = new Date(
      year.length === 2 ? 2000 + Number(year) : Number(year),
      at,
      Number(day),
      hours,
      Number(minute),
    );
    return found.getMonth() === at ? found.toISOString() : null;
  }
  // Browsers would make the second of March of 2026-02-30.
  if (!/^\d{4}-\d{2}-\d{2}/.test(word) || !moment(word.slice(0, 10))) return null;
  const at = new Date(word.length === 10 ? `${word}T00:00:00` : word.replace(" ", "T").replace(/ UTC$/, "Z"));
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

const unquoted = (word) => word.replace(/^["']|["']$/g, "");

// An array as CSV of this program has it, or words between commas or semicolons.
function tagsFrom(text) {
  const tags = arrayFrom(text) || tagsOf(text.replace(/^\[|\]$/g, ""), ",;", unquoted);
  return tags.map((tag) => cut(String(tag ?? "").trim(), 50)).filter(Boolean);
}

function arrayFrom(text) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) && found;
  } catch {
    return null;
  }
}

const READERS = {
  status: statusFrom,
  tags: tagsFrom,
  due_at: timeFrom,
  created_at: timeFrom,
  completed_at: timeFrom,
  updated_at: timeFrom,
  blocked_at: timeFrom,
};

// The tasks of the rows by this meaning of the columns, and the values that had to change.
export function tasksFrom(source, meaning) {
  const notes = new Map();
  const note = (text) => notes.set(text, (notes.get(text) || 0) + 1);
  const tasks = [];
  const dayFirst = meaning.map(
    (name, at) => READERS[name] === timeFrom && isDayFirst(source.rows.map((row) => row[at])),
  );
  for (const row of source.rows) {
    const task = {};
    meaning.forEach((name, at) => {
      const text = (row[at] ?? "").toString();
      if (!name || !text.trim()) return;
      if (name === "priority") task.priority = (source.priority || priorityFrom)(text);
      else if (name === "tags") task.tags = [...new Set([...(task.tags || []), ...tagsFrom(text)])];
      else {
        const value = READERS[name] ? READERS[name](text, dayFirst[at]) : text.trim();
        if (value === null)
          note(`"${cut(text.trim(), 40)}" in ${source.columns[at]} is no time: left out`);
        else task[name] = value;
      }
    });
    finish(task, note);
    if (task.title) tasks.push(task);
    else note("A row without a title is left out");
  }
  return { tasks, notes: [...notes].map(([text, count]) => (count > 1 ? `${text} (${count} rows)` : text)) };
}

// Corrects values that a task may not have, such as long texts or contradicting times, and notes them.
function finish(task, note) {
  if (task.tags?.length > 20) {
    note("More than 20 tags: the first 20 are kept");
    task.tags = task.tags.slice(0, 20);
  }
  for (const [name, most] of [
    ["title", 500],
    ["description", 65_536],
    ["project", 100],
  ]) {
    const text = task[name] && cut(task[name], most);
    if (text === task[name]) continue;
    note(`A ${name} of more than ${most} characters is cut`);
    task[name] = text;
  }
  if (task.title) task.title = task.title.replace(/\s+/g, " ");
  if (task.completed_at && task.status !== "completed") {
    if (task.status && task.status !== "pending") delete task.completed_at;
    else task.status = "completed";
  }
  if (!task.blocked_at || task.status === "completed") {
    delete task.blocked_at;
    delete task.blocked_reason;
  }
  // A creation time after the completion time was guessed.
  if (task.created_at && task.completed_at && task.created_at > task.completed_at) delete task.created_at;
  if (task.updated_at && task.created_at && task.updated_at < task.created_at) delete task.updated_at;
}
