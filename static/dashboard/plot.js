// uPlot, dressed for this page: its colours, its zone, and the width of what it stands in.
import uPlot from "./uplot.js";
import { colour } from "./dom.js";
import { zone } from "./state.js";

const HEIGHT = 260;
const alive = new Set();

export const seconds = (text) => Date.parse(text) / 1000;
export const bars = uPlot.paths.bars({ size: [0.7, 48] });

export function clear() {
  for (const plot of alive) plot.remove();
  alive.clear();
}

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

export function draw(place, { data, series, x = {}, y = {}, time = true, logarithmic = false }) {
  const options = {
    width: Math.max(place.clientWidth, 240),
    height: HEIGHT,
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone()),
    scales: {
      x: { time, ...(x.range ? { range: x.range } : {}) },
      y: logarithmic
        ? { distr: 3 }
        : { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] },
    },
    axes: [axis(x), axis({ size: 72, ...y })],
    series: [x.series || {}, ...series],
    legend: { live: true },
    cursor: { drag: { x: false, y: false } },
  };
  const plot = new uPlot(options, data, place);
  const observer = new ResizeObserver(() => {
    const width = Math.max(place.clientWidth, 240);
    if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
  });
  observer.observe(place);
  alive.add({ remove: () => (observer.disconnect(), plot.destroy()) });
  return plot;
}

export function line(label, name, more = {}) {
  return { label, stroke: colour(name), width: 2, points: { show: false }, ...more };
}

export function level(label, name, dash) {
  return line(label, name, { dash, width: 1.5 });
}

export function dots(label, name) {
  return {
    label,
    stroke: colour(name),
    paths: () => null,
    points: { show: true, size: 6, fill: `${colour(name)}99`, stroke: colour(name), width: 1 },
  };
}
