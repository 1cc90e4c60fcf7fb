// The keyboard: every key with its action, and the help that `?` shows.
import { h } from "../shared/dom.js";
import { DUE_SOON, change, go, now } from "./address.js";
import { dialog } from "./dialog.js";
import { active, clear, concerned, isOpenMeant, mark, markAll, marked } from "./marks.js";
import { open } from "./opened.js";
import { palette } from "./palette.js";
import { pick } from "./pickers.js";
import { setFields } from "./actions.js";
import { undoLast } from "./toasts.js";
import { PRIORITIES } from "./model.js";

let surface = null;

// The list or board that the keys act on.
export const useSurface = (shown) => (surface = shown);

const focusOn = (selector) => {
  const element = document.querySelector(selector);
  if (element?.closest("#filters")?.hidden) document.querySelector('[aria-controls="filters"]').click();
  element?.focus();
  element?.select?.();
};

function openActive() {
  if (active() !== null) change({ task: String(active()) });
}

// In the row of the list, or in the panel if it is open or there are no rows.
function editTitle() {
  if (surface?.edit && !now().task) {
    surface.edit();
    return;
  }
  const id = isOpenMeant() ? open.task.id : active();
  if (id === null) return;
  change({ task: String(id) });
  let tries = 40;
  const wait = setInterval(() => {
    // Until it is there, the panel may show another task.
    const title = open.task?.id === id ? document.querySelector("#panel .task-title") : null;
    if (!title && --tries) return;
    clearInterval(wait);
    title?.focus();
    title?.select();
  }, 50);
}

function escape() {
  const field = document.activeElement;
  if (field?.matches("input, textarea, select")) {
    surface?.focus();
    // An empty list has nothing to give the focus to.
    if (document.activeElement === field) field.blur();
  } else if (marked().length) clear();
  else if (now().task) (change({ task: null }), surface?.focus());
}

const KEYS = [
  [
    "Moving",
    [
      [["c", "n"], "Add a task", () => focusOn("[name=quick]")],
      [["j", "ArrowDown"], "Next task", (_, event) => surface?.step(1, event.shiftKey)],
      [["k", "ArrowUp"], "Previous task", (_, event) => surface?.step(-1, event.shiftKey)],
      [["Enter", "o"], "Open the task", openActive],
      [["Escape"], "Leave a field, unmark, close the task", escape],
      [["/"], "Search", () => focusOn("[name=q]")],
      [["f"], "Filter in words", () => focusOn("[name=filter]")],
      [["v"], "List or board", () => change({ layout: now().layout === "board" ? null : "board" })],
    ],
  ],
  [
    "Going",
    [
      [["g i"], "My tasks", () => go({})],
      [["g n"], "Notifications", () => go({ page: "notifications" })],
      [["g m"], "Import", () => go({ page: "import" })],
      [["g d"], "Due in a week", () => go(DUE_SOON)],
      [["g s"], "Settings", () => go({ page: "settings" })],
      [["Control+k"], "Everything here, by a few letters", commands],
      [["?"], "This help", help],
    ],
  ],
  [
    "The marked tasks, or the one you are on",
    [
      [["d"], "Complete, or open again", () => pick("toggle")],
      [["e", "F2"], "Edit the title: Enter saves, Escape leaves it", editTitle],
      [["s"], "State", () => pick("state")],
      [["p"], "Priority", () => pick("priority")],
      [
        ["0", "1", "2", "3", "4"],
        "Priority at once, none to urgent",
        (key) =>
          concerned().length &&
          setFields(concerned(), { priority: Number(key) }, PRIORITIES[key].toLowerCase()),
      ],
      [["t"], "Due", () => pick("due")],
      [["l"], "Tag", () => pick("tag")],
      [["a"], "Assign", () => pick("assign")],
      [["m"], "Move to a project", () => pick("move")],
      [["b"], "Block", () => pick("block")],
      [["Delete", "#"], "Delete", () => pick("remove")],
      [["x"], "Mark, or unmark", () => active() !== null && mark(active())],
      [["*"], "Mark all", () => markAll(surface?.order() || [])],
      [["Shift+Up/Down"], "Mark several in the list", null],
      [["Shift+Left/Right"], "Move to the next state, on the board", null],
      [["z"], "Undo", undoLast],
    ],
  ],
];

const ONLY_KEYS = new Set(["j", "k", "0", "Escape"]);
// These lead back from the pages that have no tasks.
const ANYWHERE = new Set(KEYS.find(([title]) => title === "Going")[1].flatMap(([keys]) => keys));
const BY_KEY = new Map(
  KEYS.flatMap(([, rows]) =>
    rows.filter(([, , run]) => run).flatMap(([keys, , run]) => keys.map((key) => [key, run])),
  ),
);

export function help() {
  if (document.querySelector("dialog[open]")) return;
  const key = (name) =>
    name.split(/(?<=.)[+ ](?=.)/).map((part) => h("kbd", {}, part.replace("Arrow", "").replace("Control", "Ctrl")));
  dialog(
    "Keys",
    h(
      "div",
      { className: "keys" },
      KEYS.map(([title, rows]) =>
        h(
          "section",
          {},
          h("h3", {}, title),
          h(
            "dl",
            {},
            rows.map(([keys, what]) => h("div", {}, h("dt", {}, keys.map(key)), h("dd", {}, what))),
          ),
        ),
      ),
    ),
    { wide: true },
  );
}

// The palette has the actions that make sense without their key.
export function commands() {
  const rows = KEYS.flatMap(([, found]) => found);
  palette(rows.filter(([[key], , run]) => run && run !== commands && !ONLY_KEYS.has(key)));
}

// The time of the first key of two, behind which the second one must follow soon.
let first = -Infinity;
const SOON_MS = 2000;

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !event.altKey && !event.shiftKey) {
    event.preventDefault();
    if (document.body.classList.contains("in")) commands();
    return;
  }
  if (
    event.defaultPrevented ||
    event.isComposing ||
    event.altKey ||
    event.ctrlKey ||
    event.metaKey ||
    document.querySelector("dialog[open]") ||
    !document.body.classList.contains("in")
  )
    return;
  const target = event.target;
  const isTyping = target.matches("textarea, select, input:not([type=checkbox])");
  if (isTyping && event.key !== "Escape") return;
  // Enter stays with a focused button or link; the arrow keys belong to the list.
  if (event.key === "Enter" && target.matches("button, a, summary")) return;
  const together = event.timeStamp - first < SOON_MS ? `g ${event.key}` : event.key;
  first = together === "g" ? event.timeStamp : -Infinity;
  const run = BY_KEY.get(together);
  if (!run || !(surface || ANYWHERE.has(together))) return;
  event.preventDefault();
  run(event.key, event);
});
