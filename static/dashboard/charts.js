// The charts: what each asks for, how it is drawn, what it says in words, and its table.
import { colour, day, span } from "./dom.js";
import { bars, dots, draw, level, line, seconds } from "./plot.js";

const DASHES = { p50: [2, 4], p70: [6, 4], p85: [10, 4], p95: [] };
// Where a logarithmic axis of durations has its lines, in hours.
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
];
const hoursAxis = {
  splits: (_, __, low, high) => MARKS.map(([hours]) => hours).filter((hours) => low <= hours && hours <= high),
  filter: (_, splits) => splits,
  values: (_, splits) => splits.map((split) => (MARKS.find(([hours]) => hours === split) || [0, ""])[1]),
};

function levels(figures, count) {
  const names = ["p50", "p85", "p95"].filter((name) => figures[`${name}_hours`] !== null);
  return {
    series: names.map((name) => ({
      ...level(`${name.slice(1)}%`, "accent-2", DASHES[name]),
      value: () => span(figures[`${name}_hours`]),
    })),
    data: names.map((name) => Array(count).fill(Math.max(figures[`${name}_hours`], 0.01))),
  };
}

export const CHARTS = [
  {
    name: "throughput",
    title: "Throughput",
    about: "What was created and completed in each interval.",
    byInterval: true,
    isEmpty: (answer) => answer.n === 0 && answer.n_created === 0,
    words: (answer) => `${answer.n_created} tasks created and ${answer.n} completed in ${answer.intervals.length} intervals.`,
    draw(place, { intervals }) {
      draw(place, {
        data: [
          intervals.map((each) => (seconds(each.starts_at) + seconds(each.ends_at)) / 2),
          intervals.map((each) => each.completed),
          intervals.map((each) => each.created),
        ],
        series: [
          { label: "Completed", stroke: colour("done"), fill: colour("done"), paths: bars, points: { show: false } },
          line("Created", "accent", { width: 1.5, points: { show: intervals.length < 60, size: 5 } }),
        ],
        x: { range: () => [seconds(intervals[0].starts_at), seconds(intervals.at(-1).ends_at)] },
      });
    },
    columns: ["Interval from", "Created", "Completed"],
    rows: (answer) => answer.intervals.map((each) => [each.date, each.created, each.completed]),
  },
  {
    name: "cumulative-flow",
    title: "Cumulative flow",
    about: "How many tasks were in each status at the end of each interval.",
    byInterval: true,
    isEmpty: (answer) => answer.n === 0,
    words(answer) {
      const last = answer.intervals.at(-1);
      return last ? `At the end: ${last.pending} pending, ${last.in_progress} in progress, ${last.completed} completed.` : "";
    },
    draw(place, { intervals }) {
      const done = intervals.map((each) => each.completed);
      const started = intervals.map((each, at) => done[at] + each.in_progress);
      const all = intervals.map((each, at) => started[at] + each.pending);
      const area = (label, name, own) => ({
        ...line(label, name, { width: 1, fill: colour(name) }),
        value: (_, value, __, at) => (at === null || at === undefined ? "-" : own(intervals[at])),
      });
      draw(place, {
        data: [intervals.map((each) => seconds(each.ends_at)), all, started, done],
        series: [
          area("Pending", "waiting", (each) => each.pending),
          area("In progress", "started", (each) => each.in_progress),
          area("Completed", "done", (each) => each.completed),
        ],
      });
    },
    columns: ["Interval from", "Pending", "In progress", "Completed"],
    rows: (answer) => answer.intervals.map((each) => [each.date, each.pending, each.in_progress, each.completed]),
  },
  {
    name: "cycle-times",
    title: "Cycle time",
    about: "Each completed task: when, and how long it took from its start. The lines say how many took no longer.",
    more: { limit: "1000" },
    isEmpty: (answer) => answer.n === 0,
    words: (answer) =>
      `Half of ${answer.n} tasks took no longer than ${span(answer.cycle_time.p50_hours)}, 85% no longer than ` +
      `${span(answer.cycle_time.p85_hours)}. ${answer.cycle_time.never_started} were never in progress and count from their creation.`,
    draw(place, answer) {
      const tasks = [...answer.tasks].reverse();
      const lines = levels(answer.cycle_time, tasks.length);
      draw(place, {
        data: [
          tasks.map((task) => seconds(task.completed_at)),
          tasks.map((task) => Math.max(task.cycle_time_hours, 0.01)),
          ...lines.data,
        ],
        series: [{ ...dots("Task", "accent"), value: (_, hours) => (hours === null ? "-" : span(hours)) }, ...lines.series],
        y: hoursAxis,
        logarithmic: true,
      });
    },
    columns: ["Completed", "Task", "Project", "Cycle time", "Lead time"],
    rows: (answer) =>
      answer.tasks.map((task) => [
        day(task.completed_at),
        task.title,
        task.project,
        span(task.cycle_time_hours),
        span(task.lead_time_hours),
      ]),
  },
  {
    name: "aging",
    title: "Aging work",
    about: "Open tasks, oldest first, beside how long completed ones took: what stands above the lines is stuck.",
    more: { limit: "100" },
    isEmpty: (answer) => answer.n === 0,
    words: (answer) =>
      answer.n ? `${answer.n} tasks are open; the oldest is ${span(answer.tasks[0].age_hours)} old.` : "No task is open.",
    draw(place, answer) {
      const tasks = answer.tasks;
      const of = (status) => tasks.map((task) => (task.status === status ? Math.max(task.age_hours, 0.01) : null));
      const lines = levels(answer.cycle_time, tasks.length);
      const value = (_, hours) => (hours === null || hours === undefined ? "-" : span(hours));
      draw(place, {
        data: [tasks.map((_, at) => at + 1), of("in_progress"), of("pending"), ...lines.data],
        series: [
          { ...dots("In progress", "started"), value },
          { ...dots("Pending", "waiting"), value },
          ...lines.series,
        ],
        x: {
          series: { label: "Task", value: (_, at) => (at === null ? "-" : (tasks[at - 1] || {}).title || "-") },
          range: () => [0.5, tasks.length + 0.5],
          values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")),
        },
        y: hoursAxis,
        time: false,
        logarithmic: true,
      });
    },
    columns: ["Age", "Task", "Project", "Status", "Older than completed ones"],
    rows: (answer) =>
      answer.tasks.map((task) => [
        span(task.age_hours),
        task.title,
        task.project,
        task.status.replace("_", " "),
        task.age_percentile === null ? "-" : `${Math.round(task.age_percentile)}%`,
      ]),
  },
];

export const FORECAST = {
  name: "forecast",
  title: "Forecast",
  about: "From 10,000 futures put together from past weeks.",
  words(answer) {
    if (answer.done_by) {
      const by = answer.done_by;
      return (
        `${answer.remaining} tasks are done by ${by.p50 || "more than ten years from now"} with a chance of 50%, ` +
        `by ${by.p85 || "more than ten years from now"} with 85%.`
      );
    }
    return `By the end of ${answer.until} at least ${answer.how_many.p50} tasks are done with a chance of 50%, ${answer.how_many.p85} with 85%.`;
  },
  draw(place, answer) {
    const byDay = answer.done_by !== null;
    const points = byDay ? answer.days : answer.counts;
    if (!points.length) return;
    draw(place, {
      data: [points.map((each) => (byDay ? seconds(each.date) : each.count)), points.map((each) => each.percentage)],
      series: [line("Chance", "accent", { fill: `${colour("accent")}33`, value: (_, value) => (value === null ? "-" : `${value}%`) })],
      x: byDay ? {} : { series: { label: "At least" } },
      y: { values: (_, ticks) => ticks.map((tick) => `${tick}%`) },
      time: byDay,
    });
  },
  columns: ["Chance", "Answer"],
  rows: (answer) =>
    [50, 70, 85, 95].map((chance) => [
      `${chance}%`,
      answer.done_by ? answer.done_by[`p${chance}`] || "more than ten years" : `${answer.how_many[`p${chance}`]} tasks`,
    ]),
};
