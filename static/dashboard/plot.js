// uPlot with the page's colours, time zone and width.
import uPlot from "../uplot/uPlot.esm.js";
import { colour, h } from "../shared/dom.js";
import { month, shortDay, time } from "../shared/format.js";
import { shownZone } from "./state.js";

const HEIGHT = 260;
const DAY = 86400;
const NEAR = 24;
const WHOLE = [1, 2, 5]
  .flatMap((step) => Array.from({ length: 9 }, (_, power) => step * 10 ** power))
  .sort((a, b) => a - b);

export const seconds = (text) => Date.parse(text) / 1000;
export const bars = uPlot.paths.bars({ size: [0.7, 48] });

function times(_, splits, __, ___, step) {
  const zone = shownZone();
  return splits.map((split) => {
    const at = split * 1000;
    if (step >= 27 * DAY) return month(at, zone);
    const date = shortDay(at, zone);
    // Among hours, each day begins with its name.
    return step >= DAY || date !== shortDay(at - 1000, zone) ? date : time(at, zone);
  });
}

// Whole numbers only, because tasks are counted.
export const counts = { incrs: WHOLE };

function axis(more = {}) {
  return {
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    ...more,
  };
}

// The dot nearest to the pointer: its place in the data, or null.
function nearest(plot, series) {
  const { left, top } = plot.cursor;
  let [found, best] = [null, NEAR * NEAR];
  const xs = plot.data[0];
  for (const number of series) {
    const ys = plot.data[number];
    for (let at = 0; at < xs.length; at++) {
      if (ys[at] === null) continue;
      const dx = plot.valToPos(xs[at], "x") - left;
      if (Math.abs(dx) > NEAR) continue;
      const dy = plot.valToPos(ys[at], "y") - top;
      if (dx * dx + dy * dy < best) [found, best] = [at, dx * dx + dy * dy];
    }
  }
  return found;
}

// A box beside the dot under the pointer, with a link to its task.
function tips(place, { series, lines, open }) {
  const box = h("div", { className: "tip", hidden: true });
  let at = null;
  return {
    hooks: {
      init: (plot) => {
        place.append(box);
        plot.over.addEventListener("click", () => at !== null && open(at));
        plot.over.addEventListener("mouseleave", () => (box.hidden = true));
      },
      setCursor(plot) {
        at = plot.cursor.left < 0 ? null : nearest(plot, series);
        box.hidden = at === null;
        plot.over.classList.toggle("on-dot", at !== null);
        if (at === null) return;
        box.replaceChildren(...lines(at).map((line, number) => h(number ? "span" : "strong", {}, line)));
        const left = plot.over.offsetLeft + plot.cursor.left;
        box.style.left = `${Math.max(0, Math.min(left + 14, place.clientWidth - box.offsetWidth))}px`;
        box.style.top = `${plot.over.offsetTop + Math.max(0, plot.cursor.top - box.offsetHeight - 10)}px`;
      },
    },
  };
}

// Draws into `place`, and returns a function that removes the plot.
export function draw(
  place,
  { data, series, x = {}, y = {}, time: isTime = true, logarithmic = false, tip = null },
) {
  const options = {
    width: Math.max(place.clientWidth, 240),
    height: HEIGHT,
    // Half of the last name of the x axis stands to the right of the plot.
    padding: [8, 40, 0, 0],
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), shownZone()),
    scales: {
      x: { time: isTime, ...(x.range ? { range: x.range } : {}) },
      y: logarithmic
        ? { distr: 3, ...(y.range ? { range: y.range } : {}) }
        : { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] },
    },
    axes: [axis({ ...(isTime ? { values: times, space: 70 } : {}), ...x }), axis({ size: 72, ...y })],
    series: [quiet(x.series || {}), ...series.map(quiet)],
    legend: {
      live: tip === null,
      markers: {
        width: 3,
        dash: (_, number) => ["", "dotted", "dashed", "solid"][series[number - 1].strength || 3],
      },
    },
    cursor: { drag: { x: false, y: false }, points: { show: tip === null } },
    plugins: tip ? [tips(place, tip)] : [],
  };
  const plot = new uPlot(options, data, place);
  const observer = new ResizeObserver(() => {
    const width = Math.max(place.clientWidth, 240);
    if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
  });
  observer.observe(place);
  return () => (observer.disconnect(), plot.destroy());
}

// A series whose value stands in the legend only while the pointer is on the chart.
function quiet(series) {
  const shown = series.value || ((_, value) => (value === null || value === undefined ? "" : value.toLocaleString()));
  const value = (plot, found, index, at) => (at === null || at === undefined ? "" : shown(plot, found, index, at));
  return { ...series, value };
}

export function line(label, name, more = {}) {
  return { label, stroke: colour(name), width: 2, points: { show: false }, ...more };
}

export function dots(label, name) {
  return {
    label,
    stroke: colour(name),
    paths: () => null,
    points: { show: true, size: 6, fill: `${colour(name)}99`, stroke: colour(name), width: 1 },
  };
}
