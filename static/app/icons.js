// Small pictures, drawn in the colour of the text beside them.
const NAMESPACE = "http://www.w3.org/2000/svg";

function svg(name, attributes) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function drawn(className, ...parts) {
  const icon = svg("svg", {
    viewBox: "0 0 16 16",
    width: 16,
    height: 16,
    class: `icon ${className}`,
    "aria-hidden": "true",
    focusable: "false",
  });
  icon.append(...parts);
  return icon;
}

const stroke = (d, more = {}) =>
  svg("path", {
    d,
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.6,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    ...more,
  });

const PATHS = {
  inbox: "M2.5 9.5 4 3.5h8l1.5 6v3h-11zm0 0h3.2l1 1.5h2.6l1-1.5h3.2",
  project: "M2.5 4.5h4l1.5 1.5h5.5v6.5h-11z",
  view: "M2.5 4h11M4.5 8h7M6.5 12h3",
  calendar: "M3 4h10v9H3zM3 7h10M6 2.5V4m4-1.5V4",
  keys: "M2 4.5h12v7H2zM4.5 7h.1M7 7h.1M9.5 7h.1M12 7h-.1M5 9.5h6",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zm3.3-1.2L13.5 13.5",
  bell: "M4 11V7.5a4 4 0 0 1 8 0V11l1 1H3zm2.8 2.2h2.4",
  import: "M8 2.5v7.5m-3-3 3 3 3-3M3 12.5h10",
  export: "M8 10V2.5m-3 3 3-3 3 3M3 12.5h10",
  settings: "M3 4.5h6m3.5 0h.5M3 11.5h.5m3.5 0h6M10.5 2.8v3.4M5 9.8v3.4",
  chart: "M3 13V9m3.5 4V6M10 13V8m3.5 5V3.5",
  plus: "M8 3v10M3 8h10",
  close: "m4 4 8 8m0-8-8 8",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  list: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.1M2.5 8h.1M2.5 12h.1",
  board: "M3 3h3v10H3zM8 3h5v6H8z",
  blocked: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM4.2 4.2l7.6 7.6",
  edit: "m3 13 .7-2.9 7.1-7.1 2.2 2.2-7.1 7.1zm6.2-8.4 2.2 2.2",
  trash: "M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5 5 13h6l.5-8.5",
  members:
    "M6 8a2.3 2.3 0 1 0 0-4.6A2.3 2.3 0 0 0 6 8zM1.8 13c.4-2.2 2-3.3 4.2-3.3s3.8 1.1 4.2 3.3M10.5 3.6a2.2 2.2 0 0 1 0 4.2m1.4 2.2c1.3.4 2.1 1.5 2.3 3",
  help: "M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M8 12.3v.1",
};

export const icon = (name) => drawn(name, stroke(PATHS[name]));

// A circle that fills as work goes on.
export function stateIcon(status) {
  const ring = svg("circle", {
    cx: 8,
    cy: 8,
    r: 6,
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.7,
  });
  if (status === "pending") return drawn("pending", ring);
  if (status === "in_progress")
    return drawn(
      "in_progress",
      ring,
      svg("path", { d: "M8 4.2a3.8 3.8 0 0 1 0 7.6z", fill: "currentColor" }),
    );
  return drawn(
    "completed",
    svg("circle", { cx: 8, cy: 8, r: 6.8, fill: "currentColor" }),
    stroke("m5 8.2 2.1 2.1L11 6.2", { stroke: "var(--card)", "stroke-width": 1.8 }),
  );
}

// Bars that rise with the priority.
export function priorityIcon(priority) {
  if (priority === 4)
    return drawn(
      "urgent",
      svg("rect", { x: 1.5, y: 1.5, width: 13, height: 13, rx: 3, fill: "currentColor" }),
      stroke("M8 4.5v4M8 11.3v.1", { stroke: "var(--card)", "stroke-width": 1.9 }),
    );
  const bars = [0, 1, 2].map((bar) => {
    const height = priority ? 4 + bar * 3.5 : 1.6;
    return svg("rect", {
      x: 2 + bar * 4.5,
      y: priority ? 13.5 - height : 7.2,
      width: 3,
      height,
      rx: 0.8,
      fill: "currentColor",
      opacity: priority && bar < priority ? 1 : 0.35,
    });
  });
  return drawn("priority", ...bars);
}

// How many colours there are for people: see `.person-0` and the others in app.css.
const COLOURS = 8;

// A person's initials: of both words of `ada.lovelace`, or the first two letters of `ada`.
function initials(name) {
  const words = name.split(/[._-]+/).filter(Boolean);
  return (words.length > 1 ? words[0][0] + words[1][0] : name.slice(0, 2)).toUpperCase();
}

// A circle with a person's initials; a name has the same colour everywhere.
export function avatar(name) {
  let hash = 0;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619) >>> 0;
  const text = svg("text", { x: 8, y: 10.6, "text-anchor": "middle", "font-size": 7, "font-weight": 600 });
  text.textContent = initials(name);
  return drawn(`avatar person-${(hash >>> 8) % COLOURS}`, svg("circle", { cx: 8, cy: 8, r: 8 }), text);
}
