// The figures of the period, beside those of the period before if the account is old enough.
import { h } from "../shared/dom.js";
import { day, moment, number, span } from "../shared/format.js";
import { address } from "../shared/session.js";
import { shownZone, view } from "./state.js";

// The last moment of a period, whose end is not included.
const lastMoment = (text) => new Date(Date.parse(text) - 1);

export function periodText(flow) {
  const [zone, { starts_at: starts, ends_at: ends }] = [shownZone(), flow.period];
  const [first, last] = [day(starts, zone), day(lastMoment(ends), zone)];
  // Zones have skipped a day to cross the date line.
  if (starts === ends) return `A day that ${zone} skipped, before ${first}`;
  return first === last ? first : `${first} to ${last}`;
}

// Names the tasks that the figures are about, if they are not just the reader's: `team` is a project, `person` another account.
export function whose(team, person) {
  if (team) return `all members of ${team.name}`;
  if (person) return `tasks of ${person.username}`;
  return view().scope === "all" ? "everybody's tasks" : "";
}

export function heading(flow, team, person) {
  const others = whose(team, person);
  const chosen = [
    ["project", "label"],
    ["tag", "tag"],
    ["priority", "priority"],
  ]
    .filter(([name]) => view()[name])
    .map(([name, called]) => `${called} ${view()[name]}`);
  return h(
    "p",
    { className: "period" },
    h("strong", {}, [periodText(flow), others].filter(Boolean).join(", ")),
    chosen.length ? `, ${chosen.join(", ")}` : "",
    h("span", { className: "muted" }, ` as of ${moment(flow.as_of, shownZone())}, ${shownZone()}`),
    team?.role ? [" ", h("a", { href: address(`/app?project=${team.id}&layout=board`) }, "Open the board")] : null,
  );
}

function change(now, before, text) {
  if (now === null || before === null) return null;
  // A difference that rounding hides is no change: "4.0 days, up from 4.0 days" would contradict itself.
  const direction = text(now) === text(before) ? "same" : now > before ? "up" : "down";
  const words = { up: `up from ${text(before)}`, down: `down from ${text(before)}`, same: "as before" }[
    direction
  ];
  const arrow = { up: "▲", down: "▼", same: "" }[direction];
  return h("small", {}, arrow ? h("span", { "aria-hidden": "true" }, `${arrow} `) : null, words);
}

function tile(label, hint, now, before, text) {
  return h(
    "div",
    { className: "tile", title: hint.replaceAll("`", "") },
    h("dt", {}, label),
    h("dd", {}, h("strong", {}, text(now)), before === undefined ? null : change(now, before, text)),
  );
}

// `began` is the creation of the account's first task: an earlier period can't be compared with.
export function figures(flow, began) {
  const { current, definitions } = flow;
  const hasPast = began !== null && Date.parse(began) <= Date.parse(flow.previous.period.starts_at);
  const before = hasPast ? flow.previous : { cycle_time: {}, lead_time: {} };
  return h(
    "dl",
    { className: "tiles" },
    tile("Throughput", definitions.throughput, current.throughput, before.throughput, number),
    tile(
      "In progress",
      definitions.work_in_progress,
      current.work_in_progress,
      before.work_in_progress,
      number,
    ),
    tile(
      "Cycle time, median",
      definitions.cycle_time,
      current.cycle_time.p50_hours,
      before.cycle_time.p50_hours,
      span,
    ),
    tile(
      "Cycle time, 85%",
      definitions.cycle_time,
      current.cycle_time.p85_hours,
      before.cycle_time.p85_hours,
      span,
    ),
    tile(
      "Lead time, 85%",
      definitions.lead_time,
      current.lead_time.p85_hours,
      before.lead_time.p85_hours,
      span,
    ),
    tile(
      "Never started",
      definitions.never_started,
      current.cycle_time.never_started,
      before.cycle_time.never_started,
      number,
    ),
  );
}
