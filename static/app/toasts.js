// Messages about recent actions, each with a button to undo it for a few seconds.
import { h } from "../shared/dom.js";

const SECONDS = 7;
const place = document.getElementById("toasts");
const shown = [];

// Shows `text`. `undo` undoes the action. `settle` is called when the time for undoing is over; it is told whether the
// page is being left. Returns a function that removes the message.
export function toast(text, { undo = null, settle = () => undefined, seconds = SECONDS } = {}) {
  const button = undo ? h("button", { type: "button", onclick: () => take(entry) }, "Undo") : null;
  const element = h("div", { className: "toast" }, h("span", {}, text), button);
  const entry = { element, undo, settle, timer: null, before: null };
  const wait = () => (entry.timer = setTimeout(() => finish(entry), seconds * 1000));
  element.addEventListener("focusin", ({ relatedTarget }) => (entry.before = relatedTarget));
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
  const hadFocus = entry.element.contains(document.activeElement);
  entry.element.remove();
  if (hadFocus) giveFocus(entry.before);
  return true;
}

// The focus goes back to where it was, or to the active task if that is drawn again.
function giveFocus(before) {
  const content = document.getElementById("content");
  (before?.isConnected ? before : content.querySelector(".active") || content).focus({ preventScroll: true });
}

const finish = (entry, isLeaving = false) => (away(entry) ? entry.settle(isLeaving) : null);

function take(entry) {
  if (away(entry)) entry.undo?.();
}

// Undoes the last action; answers whether there was one.
export function undoLast() {
  const last = shown.findLast((entry) => entry.undo);
  if (last) take(last);
  return Boolean(last);
}

// Finishes all waiting actions at once, before the page or the account is left.
export const settleAll = (isLeaving = false) => Promise.all([...shown].map((entry) => finish(entry, isLeaving)));

addEventListener("pagehide", () => settleAll(true));
