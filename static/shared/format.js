// Numbers, times and durations in the reader's own language.
const numbers = new Intl.NumberFormat();

export const number = (value) => numbers.format(value);

export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

// The beginning of a text: at most `most` characters, as the server counts them.
export const cut = (text, most) => (text.length > most ? [...text].slice(0, most).join("") : text);

export const shortened = (text, most) => (cut(text, most) === text ? text : `${cut(text, most - 1)}…`);

const formats = new Map();

function formatted(at, zone, options) {
  const key = `${zone} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(undefined, { timeZone: zone, ...options }));
  return formats.get(key).format(at instanceof Date ? at : new Date(at));
}

export const day = (at, zone) => formatted(at, zone, { day: "numeric", month: "short", year: "numeric" });
export const shortDay = (at, zone) => formatted(at, zone, { day: "numeric", month: "short" });
export const weekday = (at, zone) => formatted(at, zone, { weekday: "short", day: "numeric", month: "short" });
export const month = (at, zone) => formatted(at, zone, { month: "short", year: "numeric" });
export const time = (at, zone) => formatted(at, zone, { hour: "numeric", minute: "2-digit" });
export const moment = (at, zone) =>
  formatted(at, zone, {
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "numeric",
    minute: "2-digit",
  });

// The day of a moment in a time zone, or the day `before` days earlier, as the API writes it.
export function isoDay(at, zone, before = 0) {
  const day = new Intl.DateTimeFormat("sv", { timeZone: zone }).format(new Date(at));
  return new Date(Date.parse(day) - before * 86_400_000).toISOString().slice(0, 10);
}

// A number of hours in words.
export function span(hours) {
  if (hours === null || hours === undefined) return "-";
  if (hours < 1 / 60) return "less than 1 min";
  if (hours < 1) return `${Math.round(hours * 60)} min`;
  if (hours < 48) return `${hours.toFixed(hours < 10 ? 1 : 0)} h`;
  const days = hours / 24;
  if (days >= 730) return `${(days / 365.25).toFixed(1)} years`;
  return `${days.toFixed(days < 10 ? 1 : 0)} days`;
}
