// Actions for all marked tasks at once.
import { h } from "../shared/dom.js";
import { count } from "../shared/format.js";
import { icon } from "./icons.js";
import { clear, marked } from "./marks.js";
import { pick } from "./pickers.js";

const BUTTONS = [
  ["toggle", "Complete", "d"],
  ["state", "State", "s"],
  ["priority", "Priority", "p"],
  ["due", "Due", "t"],
  ["tag", "Tag", "l"],
  ["assign", "Assign", "a"],
  ["move", "Move", "m"],
  ["remove", "Delete", "Delete"],
];

export function bulkBar() {
  const words = h("strong", { "aria-live": "polite" });
  const element = h(
    "div",
    { className: "bulk", role: "toolbar", "aria-label": "Marked tasks", hidden: true },
    words,
    BUTTONS.map(([name, label, key]) =>
      h("button", { type: "button", title: `${label} (${key})`, onclick: () => pick(name) }, label),
    ),
    h(
      "button",
      { type: "button", className: "bare", "aria-label": "Unmark all (Escape)", onclick: clear },
      icon("close"),
    ),
  );
  function update() {
    const { length } = marked();
    element.hidden = length === 0;
    words.textContent = count(length, "task");
  }
  return { element, update };
}
