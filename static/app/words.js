// Dates in words, as in the filter language, and tasks in one line.
import { h } from "../shared/dom.js";
import { moment as wholeMoment, shortDay, time } from "../shared/format.js";

const UNITS = { m: "minute", h: "hour", d: "day", w: "week", mo: "month", y: "year" };
const DAY = 86_400_000;
const WORD = /^(now|today|yesterday|tomorrow)(?:([+-])(\d{1,5})(mo|[mhdwy]))?$/i;
const DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const AT = /^(\S+)[ T](\d{1,2}):(\d{2})$/;

// The beginning of a day. Where the clock is put forward at midnight, that day begins at one o'clock.
function midnight(at) {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate());
}

const isWholeDay = (at) => at.getTime() === midnight(at).getTime();

function shifted(at, amount, unit) {
  const found = new Date(at);
  if (unit === "minute" || unit === "hour")
    return new Date(at.getTime() + amount * (unit === "hour" ? 3_600_000 : 60_000));
  if (unit === "day" || unit === "week") found.setDate(at.getDate() + amount * (unit === "week" ? 7 : 1));
  else {
    // A month from 31 January is the last day of February.
    const months = at.getMonth() + amount * (unit === "year" ? 12 : 1);
    found.setDate(1);
    found.setMonth(months);
    const last = new Date(found.getFullYear(), found.getMonth() + 1, 0).getDate();
    found.setDate(Math.min(at.getDate(), last));
  }
  return isWholeDay(at) ? midnight(found) : found;
}

// The moment that a text means, or null; a whole day means its midnight, and `tomorrow 14:00` a moment of it.
export function moment(text, clock = new Date()) {
  const at = AT.exec(text);
  if (at) {
    const day = moment(at[1], clock);
    if (!day || !isWholeDay(day) || at[2] > 23 || at[3] > 59) return null;
    return new Date(day.setHours(Number(at[2]), Number(at[3])));
  }
  const date = DATE.exec(text);
  if (date) {
    const found = new Date(Number(date[1]), date[2] - 1, Number(date[3]));
    return found.getMonth() === date[2] - 1 ? found : null;
  }
  const weekday = DAYS.findIndex((name) => [name, name.slice(0, 3)].includes(text.toLowerCase()));
  // The next such day: on a Friday, `friday` is in a week.
  if (weekday >= 0) return shifted(midnight(clock), (weekday - clock.getDay() + 6) % 7 + 1, "day");
  const word = WORD.exec(text);
  if (!word) {
    const isTime = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/.test(text) && moment(text.slice(0, 10));
    return isTime && !Number.isNaN(Date.parse(text)) ? new Date(text) : null;
  }
  const [, name, sign, amount, unit] = word.map((part) => part?.toLowerCase());
  const starts = { now: clock, today: midnight(clock) };
  starts.yesterday = shifted(starts.today, -1, "day");
  starts.tomorrow = shifted(starts.today, 1, "day");
  return amount ? shifted(starts[name], (sign === "-" ? -1 : 1) * amount, UNITS[unit]) : starts[name];
}

// The due time of a task in words.
export function due(text, clock = new Date()) {
  const at = new Date(text);
  const days = Math.round((midnight(at) - midnight(clock)) / DAY);
  const names = { "-1": "Yesterday", 0: "Today", 1: "Tomorrow" };
  const sameYear = at.getFullYear() === clock.getFullYear();
  const name = names[days] || shortDay(at) + (sameYear ? "" : ` ${at.getFullYear()}`);
  return isWholeDay(at) ? name : `${name}, ${time(at)}`;
}

// A time that has passed: as short as it is clear, and the whole of it for the pointer.
export function passed(text, clock = new Date()) {
  const at = new Date(text);
  const isToday = midnight(at).getTime() === midnight(clock).getTime();
  const shown = isToday ? time(at) : `${due(midnight(at), clock)}, ${time(at)}`;
  return h("time", { className: "muted", dateTime: text, title: wholeMoment(text) }, shown);
}

export function isOverdue(task, clock = new Date()) {
  if (!task.due_at || task.status === "completed") return false;
  const at = new Date(task.due_at);
  return isWholeDay(at) ? at < midnight(clock) : at < clock;
}

// The text of a due time in a field, which can be parsed again.
export function dueText(text) {
  if (!text) return "";
  const at = new Date(text);
  const pad = (value) => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return isWholeDay(at) ? day : `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

// The tags of a task in a field. A tag that would be read as something else stands in quotes.
export const tagsText = (tags) =>
  tags.map((tag) => (/^#|[",;]/.test(tag) ? `"${tag.replaceAll('"', '""')}"` : tag)).join(", ");

// The tags of such a text, which one of `marks` separates. `read` gives the tag that a word without quotes means.
export function tagsOf(text, marks, read) {
  const parts = text.matchAll(new RegExp(`\\s*"((?:[^"]|"")*)"\\s*(?:[${marks}]|$)|([^${marks}]+)`, "g"));
  const tags = [...parts].map(([, quoted, plain]) =>
    quoted === undefined ? read(plain.trim()) : quoted.replaceAll('""', '"').trim(),
  );
  return [...new Set(tags.filter(Boolean))];
}

const NAMED = { none: 0, low: 1, medium: 2, high: 3, urgent: 4 };
// A mark, and then a quoted text or a word.
const PART = /(^|\s)([#!@])(?:"([^"]+)"|([^\s"]+))(?=\s|$)/g;
// A day, and perhaps a time of it: `due:tomorrow`, `due friday 14:00`.
const DUE = /(^|\s)due(:\s?|\s)(?:"([^"]+)"|([^\s"]+(?: \d{1,2}:\d{2})?))(?=\s|$)/gi;

// Parses a task from one line: `Write the report #writing !3 @Research due tomorrow`.
export function taskFrom(line, projects = [], clock = new Date()) {
  const task = { tags: [] };
  const problems = [];
  const undated = line.replace(DUE, (whole, before, colon, quoted, plain) => {
    const at = moment(quoted ?? plain, clock);
    if (at) task.due_at = at.toISOString();
    // Without its colon `due` may be a word of the title.
    else if (!colon.includes(":")) return whole;
    else problems.push(`"${quoted ?? plain}" is no time: try tomorrow, friday, today+7d or 2026-12-31.`);
    return before;
  });
  const title = undated.replace(PART, (whole, before, mark, quoted, plain) => {
    const value = quoted ?? plain;
    if (mark === "#") task.tags.push(value);
    else if (mark === "!") {
      const priority = /^[0-4]$/.test(value) ? Number(value) : NAMED[value.toLowerCase()];
      if (priority === undefined) return whole;
      task.priority = priority;
    } else {
      const known = projects.find((each) => each.name.toLowerCase() === value.toLowerCase());
      if (known) task.project_id = known.id;
      else task.project = value;
    }
    return before;
  });
  task.title = title.replace(/\s+/g, " ").trim();
  if (!task.tags.length) delete task.tags;
  return { task, problems };
}
