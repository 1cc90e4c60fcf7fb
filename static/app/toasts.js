// What was done just now, each with a button that takes it back for a few seconds.
import { h } from "../shared/dom.js";

const SECONDS = 7;
const place = document.getElementById("toasts");
const shown = [];

// Shows `text`; `undo` takes it back, `settle` is called when it is too late for that. Answers with what takes it away.
export function toast(text, { undo = null, settle = () => undefined, seconds = SECONDS } = {}) {
  const button = undo ? h("button", { type: "button", onclick: () => take(entry) }, "Undo") : null;
  const element = h("div", { className: "toast", role: "status" }, h("span", {}, text), button);
  const entry = { element, undo, settle, timer: null };
  const wait = () => (entry.timer = setTimeout(() => finish(entry), seconds * 1000));
  for (const event of ["mouseenter", "focusin"])
    element.addEventListener(event, () => clearTimeout(entry.timer));
  for (const event of ["mouseleave", "focusout"])
    element.addEventListener(event, () => (clearTimeout(entry.timer), wait()));
  shown.push(entry);
  place.append(element);
  while (shown.length > 3) finish(shown[0]);
  wait();
  return () => away(entry);
}

function away(entry) {
  clearTimeout(entry.timer);
  const at = shown.indexOf(entry);
  if (at < 0) return false;
  shown.splice(at, 1);
  entry.element.remove();
  return true;
}

function finish(entry) {
  if (away(entry)) entry.settle();
}

function take(entry) {
  if (away(entry)) entry.undo?.();
}

// Takes back what was done last; whether there was something.
export function undoLast() {
  const last = shown.findLast((entry) => entry.undo);
  if (last) take(last);
  return Boolean(last);
}

// Does at once what waits, before the page is left.
export function settleAll() {
  for (const entry of [...shown]) finish(entry);
}

addEventListener("pagehide", settleAll);
