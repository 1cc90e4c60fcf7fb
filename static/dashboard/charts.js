// The charts: for each its query, its drawing, its summary in words, and its table.
import { colour } from "../shared/dom.js";
import { count, day, moment, month, number, shortDay, span } from "../shared/format.js";
import { address } from "../shared/session.js";
import { bars, counts, dots, draw, line, seconds } from "./plot.js";
import { shownZone, view } from "./state.js";

// The percentiles. Each is drawn stronger than the one before; the legend shows the same strokes.
const LEVELS = [
  ["p50", "50%", [2, 4]],
  ["p85", "85%", [10, 5]],
  ["p95", "95%", []],
];
const SHORTEST = 1 / 60;
// The grid lines of a logarithmic axis of durations, in hours.
const MARKS = [
  [1 / 60, "1 min"],
  [1 / 6, "10 min"],
  [1, "1 h"],
  [6, "6 h"],
  [24, "1 day"],
  [168, "1 week"],
  [720, "30 days"],
  [4380, "½ year"],
  [17520, "2 years"],
  [87600, "10 years"],
  [876000, "100 years"],
];
const hoursAxis = (shortest, longest) => ({
  range: () => [
    (MARKS.findLast(([hours]) => hours <= shortest && hours <= 1) || MARKS[0])[0],
    (MARKS.find(([hours]) => hours >= longest && hours >= 1) || MARKS.at(-1))[0],
  ],
  splits: (_, __, low, high) =>
    MARKS.map(([hours]) => hours).filter((hours) => low <= hours && hours <= high),
  filter: (_, splits) => splits,
  values: (_, splits) => splits.map((split) => (MARKS.find(([hours]) => hours === split) || [0, ""])[1]),
});

function levels(figures, size) {
  const known = LEVELS.filter(([name]) => figures[`${name}_hours`] !== null);
  return {
    series: known.map(([name, label, dash]) =>
      line(`${label}: ${span(figures[`${name}_hours`])}`, "accent-2", {
        dash,
        width: 1.5,
        strength: LEVELS.findIndex(([each]) => each === name) + 1,
      }),
    ),
    data: known.map(([name]) => Array(size).fill(Math.max(figures[`${name}_hours`], SHORTEST))),
  };
}

// The axis for durations of tasks, with room for the percentile lines.
function durations(answer, name) {
  const { p50_hours: half, p95_hours: most } = answer.cycle_time;
  let [shortest, longest] = [half === null ? Infinity : half, Math.max(most || 0, 1)];
  for (const task of answer.tasks) {
    shortest = Math.min(shortest, task[name]);
    longest = Math.max(longest, task[name]);
  }
  return hoursAxis(shortest, longest);
}

const neverStarted = (n) =>
  n ? ` ${number(n)} never in progress: counted from ${n === 1 ? "its" : "their"} creation.` : "";

// How long something took at most, in words.
const atMost = (hours) => (hours < SHORTEST ? span(hours) : `no longer than ${span(hours)}`);

// -- intervals ------------------------------------------------------------------------------------

const LENGTHS = { day: 23, week: 7 * 24 - 2, month: 28 * 24 - 2 };
const wholeDay = (text) => new Date(`${text}T12:00:00Z`);

// The name of an interval. It says if the period or the present cuts the interval short.
function intervalName(kind, each, asOf, startsAt) {
  const at = wholeDay(each.date);
  const name = {
    day: shortDay(at, "UTC"),
    week: `Week of ${shortDay(monday(at), "UTC")}`,
    month: month(at, "UTC"),
  }[kind];
  // The figures of the interval that runs end in the present.
  if (Date.parse(each.ends_at) >= Date.parse(asOf)) return `${name} (so far)`;
  const hours = (Date.parse(each.ends_at) - Date.parse(startsAt)) / 3600000;
  return hours < LENGTHS[kind] ? `${name} (part)` : name;
}

function monday(at) {
  return new Date(at.getTime() - ((at.getUTCDay() + 6) % 7) * 86400000);
}

function names(answer) {
  const kind = view().interval || "week";
  return answer.intervals.map((each, place) => {
    const before = answer.intervals[place - 1];
    return intervalName(
      kind,
      each,
      answer.as_of,
      each.starts_at || (before ? before.ends_at : answer.period.starts_at),
    );
  });
}

// The names of the intervals for the legend, behind those of the points that come before them. They are made when the
// first one is shown.
function named(answer, ...before) {
  let known = null;
  return {
    label: "Interval",
    value: (_, __, ___, at) => (known ||= [...before, ...names(answer)])[at],
  };
}

const STATUSES = [
  ["pending", "Pending", "waiting"],
  ["in_progress", "In progress", "started"],
  ["completed", "Completed", "done"],
];
// How strong the colours of the states of one status are.
const STRENGTHS = [1, 0.75, 0.55, 0.4, 0.3];

// A colour mixed with that of the card. A translucent one would show the areas behind.
function mixed(name, strength) {
  const [mine, behind] = [colour(name), colour("card")].map((hex) =>
    [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)),
  );
  const parts = mine.map((part, at) => Math.round(part * strength + behind[at] * (1 - strength)));
  return `rgb(${parts.join(" ")})`;
}

// The parts of the cumulative flow, from the first to the last: the states of a shared project, or the statuses.
function flows(answer) {
  if (!answer.states) {
    return STATUSES.map(([status, label, name]) => ({
      label,
      colour: name,
      strength: STRENGTHS[0],
      atStart: answer.at_start[status],
      counts: answer.intervals.map((each) => each[status]),
    }));
  }
  return STATUSES.flatMap(([status, , name]) =>
    answer.states
      .filter((state) => state.status === status)
      .map((state, place) => ({
        label: state.name,
        colour: name,
        strength: STRENGTHS[Math.min(place, STRENGTHS.length - 1)],
        atStart: state.at_start,
        counts: state.counts,
      })),
  );
}

// -- tasks ----------------------------------------------------------------------------------------

// The tasks that the summary is about: all, or a number of the newest or oldest.
function drawn(answer, which) {
  if (answer.tasks.length === answer.n) return "";
  return ` The chart shows the ${which} ${number(answer.tasks.length)} of ${number(answer.n)}.`;
}

export const taskAddress = (task) => address(`/app?task=${task.id}`);
const openTask = (tasks) => (at) => location.assign(taskAddress(tasks[at]));

export const CHARTS = [
  {
    name: "throughput",
    title: "Throughput",
    about: "What was created and completed in each interval.",
    byInterval: true,
    isEmpty: (answer) => answer.n === 0 && answer.n_created === 0,
    nothing: "No task was created or completed in this period.",
    words: (answer) =>
      `${count(answer.n_created, "task")} created and ${number(answer.n)} completed in ${count(answer.intervals.length, "interval")}.`,
    draw(place, answer) {
      const { intervals } = answer;
      return draw(place, {
        data: [
          intervals.map((each) => (seconds(each.starts_at) + seconds(each.ends_at)) / 2),
          intervals.map((each) => each.completed),
          intervals.map((each) => each.created),
        ],
        series: [
          {
            label: "Completed",
            stroke: colour("done"),
            fill: colour("done"),
            paths: bars,
            points: { show: false },
          },
          line("Created", "accent", { width: 1.5, points: { show: intervals.length < 60, size: 5 } }),
        ],
        x: {
          range: () => [seconds(intervals[0].starts_at), seconds(intervals.at(-1).ends_at)],
          series: named(answer),
        },
        y: counts,
      });
    },
    columns: ["Interval", "From", "Created", "Completed"],
    rows: (answer) =>
      names(answer).map((name, at) => [
        name,
        answer.intervals[at].date,
        answer.intervals[at].created,
        answer.intervals[at].completed,
      ]),
  },
  {
    name: "cumulative-flow",
    title: "Cumulative flow",
    about: "How many tasks were in each status at the end of each interval.",
    byInterval: true,
    choice: { name: "completed", value: "period", label: "Leave out what was completed before" },
    isEmpty: (answer) => answer.n === 0,
    nothing: "There were no tasks in this period.",
    words(answer) {
      if (!answer.intervals.length) return "";
      const last = flows(answer).map(({ label, counts: each }) => `${number(each.at(-1))} ${label.toLowerCase()}`);
      return `At the end: ${last.join(", ")}.`;
    },
    draw(place, answer) {
      // Without the beginning, a single interval would be an area without width.
      const moments = [answer.period.starts_at, ...answer.intervals.map((each) => each.ends_at)].map(seconds);
      const parts = flows(answer).map((each) => ({ ...each, counts: [each.atStart, ...each.counts] }));
      // Each area reaches down to the horizontal axis, so the first one holds all the others.
      const sums = parts.map((_, first) =>
        moments.map((_, at) => parts.slice(first).reduce((sum, { counts: each }) => sum + each[at], 0)),
      );
      return draw(place, {
        data: [moments, ...sums],
        series: parts.map(({ label, colour: name, strength, counts: each }) => ({
          ...line(label, name, { stroke: mixed(name, strength), width: 1, fill: mixed(name, strength) }),
          value: (_, value, __, at) => number(each[at]),
        })),
        x: { series: named(answer, "Beginning") },
        y: counts,
      });
    },
    columns: (answer) => ["Interval", "From", ...flows(answer).map(({ label }) => label)],
    rows: (answer) =>
      names(answer).map((name, at) => [
        name,
        answer.intervals[at].date,
        ...flows(answer).map(({ counts: each }) => each[at]),
      ]),
  },
  {
    name: "cycle-times",
    title: "Cycle time",
    about:
      "Each completed task: when, and how long it took from its start. The lines say how many took no longer.",
    pages: true,
    isEmpty: (answer) => answer.n === 0,
    nothing: "No task was completed in this period.",
    words: (answer) =>
      `Half of ${count(answer.n, "task")} took ${atMost(answer.cycle_time.p50_hours)}, 85% ` +
      `${atMost(answer.cycle_time.p85_hours)}.${neverStarted(answer.cycle_time.never_started)}${drawn(answer, "newest")}`,
    draw(place, answer) {
      const tasks = [...answer.tasks].reverse();
      const lines = levels(answer.cycle_time, tasks.length);
      const isWhole = answer.tasks.length === answer.n;
      const begin = seconds(isWhole ? answer.period.starts_at : tasks[0].completed_at);
      const end = Math.min(seconds(answer.period.ends_at), seconds(answer.as_of) + 3600);
      return draw(place, {
        data: [
          tasks.map((task) => seconds(task.completed_at)),
          tasks.map((task) => Math.max(task.cycle_time_hours, SHORTEST)),
          ...lines.data,
        ],
        series: [dots("Task", "accent"), ...lines.series],
        x: { range: () => [begin, Math.max(end, begin + 3600)] },
        y: durations(answer, "cycle_time_hours"),
        logarithmic: true,
        tip: {
          series: [1],
          lines: (at) => [
            tasks[at].title,
            `Completed ${moment(tasks[at].completed_at, shownZone())}`,
            `Cycle time ${span(tasks[at].cycle_time_hours)}, lead time ${span(tasks[at].lead_time_hours)}`,
          ],
          open: openTask(tasks),
        },
      });
    },
    columns: ["Completed", "Task", "Project", "Cycle time", "Lead time"],
    rows: (answer) =>
      answer.tasks.map((task) => [
        day(task.completed_at, shownZone()),
        task,
        task.project,
        span(task.cycle_time_hours),
        span(task.lead_time_hours),
      ]),
  },
  {
    name: "aging",
    title: "Aging work",
    about:
      "Open tasks, oldest first, beside how long completed ones took: what stands above the lines is stuck.",
    pages: true,
    isEmpty: (answer) => answer.n === 0,
    nothing: "No task is open.",
    words: (answer) =>
      `${count(answer.n, "task is", "tasks are")} open; the oldest is ${span(answer.tasks[0].age_hours)} old.${drawn(answer, "oldest")}`,
    draw(place, answer) {
      const tasks = answer.tasks;
      const of = (status) =>
        tasks.map((task) => (task.status === status ? Math.max(task.age_hours, SHORTEST) : null));
      const lines = levels(answer.cycle_time, tasks.length);
      return draw(place, {
        data: [tasks.map((_, at) => at + 1), of("in_progress"), of("pending"), ...lines.data],
        series: [dots("In progress", "started"), dots("Pending", "waiting"), ...lines.series],
        x: { range: () => [0.5, tasks.length + 0.5], ...counts },
        y: durations(answer, "age_hours"),
        time: false,
        logarithmic: true,
        tip: {
          series: [1, 2],
          lines: (at) => [
            tasks[at].title,
            `${tasks[at].never_started ? "Created" : "Started"} ${moment(tasks[at].since, shownZone())}`,
            `${span(tasks[at].age_hours)} old`,
          ],
          open: openTask(tasks),
        },
      });
    },
    columns: ["Age", "Task", "Project", "Status", "Older than completed ones"],
    rows: (answer) =>
      answer.tasks.map((task) => [
        span(task.age_hours),
        task,
        task.project,
        task.state.replaceAll("_", " "),
        task.age_percentile === null ? "-" : `${Math.round(task.age_percentile)}%`,
      ]),
  },
];

const LATER = "more than ten years from now";
const onDay = (text) => (text ? day(wholeDay(text), "UTC") : LATER);

export const FORECAST = {
  name: "forecast",
  title: "Forecast",
  about: "From 10,000 futures put together from past weeks.",
  words(answer) {
    if (answer.done_by) {
      const by = answer.done_by;
      return `${count(answer.remaining, "task is", "tasks are")} done by ${onDay(by.p50)} with a chance of 50%, by ${onDay(by.p85)} with 85%.`;
    }
    return `By the end of ${onDay(answer.until)} at least ${count(answer.how_many.p50, "task is", "tasks are")} done with a chance of 50%, ${number(answer.how_many.p85)} with 85%.`;
  },
  draw(place, answer) {
    const byDay = answer.done_by !== null;
    const points = byDay ? answer.days : answer.counts;
    if (!points.length) return () => undefined;
    const name = byDay ? (at) => day(wholeDay(points[at].date), "UTC") : (at) => number(points[at].count);
    return draw(place, {
      data: [
        points.map((each) => (byDay ? seconds(each.date) : each.count)),
        points.map((each) => each.percentage),
      ],
      series: [
        line("Chance", "accent", {
          fill: `${colour("accent")}33`,
          value: (_, value) => (value === null || value === undefined ? "-" : `${value}%`),
        }),
      ],
      x: {
        ...(byDay ? {} : counts),
        series: {
          label: byDay ? "Done by" : "At least",
          value: (_, __, ___, at) => name(at),
        },
      },
      y: { values: (_, ticks) => ticks.map((tick) => `${tick}%`) },
      time: byDay,
    });
  },
  columns: ["Chance", "Answer"],
  rows: (answer) =>
    [50, 70, 85, 95].map((chance) => [
      `${chance}%`,
      answer.done_by ? onDay(answer.done_by[`p${chance}`]) : count(answer.how_many[`p${chance}`], "task"),
    ]),
};
