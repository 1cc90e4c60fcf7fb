// Several lines that are pasted into the field for a new task: asks whether to make a task of each.
import { act } from "../shared/act.js";
import { h } from "../shared/dom.js";
import { count, number } from "../shared/format.js";
import { added } from "./actions.js";
import * as api from "./api.js";

const MOST = 1000;
const SHOWN = 3;
// The bullet or the box to tick before a line of a list.
const BULLET = /^(?:[-*•]\s+)?(?:\[[ xX]?\]\s+)?/;

// The lines that wait for an answer, and what was in the field: the page may be drawn again before that.
const NOTHING = { lines: [], typed: "" };
let waiting = NOTHING;
let isSending = false;

const linesOf = (text) => text.split(/[\r\n\u2028\u2029]+/).map((line) => line.trim()).filter(Boolean);

// Answers the place of the question about lines that are pasted into `input`. `read(line)` gives the task that a line
// means, and `factsOf(task)` its values as elements.
export function pastedLines(input, read, factsOf) {
  const place = h("div", { className: "pasted", role: "group", "aria-label": "Pasted lines", onkeydown });

  const taskOf = (line) => read(line.replace(BULLET, "") || line);

  function take(event) {
    const pasted = event.clipboardData.getData("text/plain");
    if (linesOf(pasted).length < 2) return;
    event.preventDefault();
    const { value, selectionStart: from, selectionEnd: to } = input;
    const lines = linesOf(value.slice(0, from) + pasted + value.slice(to));
    waiting = { lines, typed: value };
    show();
    place.querySelector("button").focus();
  }

  function write(text) {
    input.value = text;
    input.dispatchEvent(new Event("input"));
  }

  function show() {
    const { lines } = waiting;
    const button = (name, label, run, className = "") =>
      h("button", { type: "button", name, className, onclick: run }, label);
    const isTooMany = lines.length > MOST;
    const about = `${count(lines.length, "line")}${isTooMany ? `, at most ${number(MOST)} at once: Import takes more` : ""}`;
    place.replaceChildren(
      h("p", { className: "muted" }, about),
      h(
        "ul",
        {},
        lines.slice(0, SHOWN).map(taskOf).map((task) => h("li", {}, h("span", {}, task.title), factsOf(task))),
        lines.length > SHOWN ? h("li", { className: "muted" }, `and ${number(lines.length - SHOWN)} more`) : null,
      ),
      h(
        "p",
        { className: "buttons" },
        isTooMany ? null : button("many", `Make ${count(lines.length, "task")}`, make, "main"),
        button("one", "Keep as one line", join),
        button("none", "Cancel", close),
      ),
    );
  }

  const make = act(async () => {
    if (isSending) return;
    isSending = true;
    try {
      const tasks = await api.tasks.createAll(waiting.lines.map(taskOf));
      // The next line may be begun meanwhile.
      if (input.value === waiting.typed) write("");
      close();
      added(tasks);
    } catch (error) {
      const [{ pointer = "", detail } = {}] = error.errors || [];
      const [, at] = /^#\/operations\/(\d+)/.exec(pointer) || [];
      if (at) error.message = `Line ${Number(at) + 1}: ${detail}`;
      throw error;
    } finally {
      isSending = false;
    }
  });

  function join() {
    const line = waiting.lines.join(" ");
    close();
    write(line);
  }

  function close() {
    waiting = NOTHING;
    const hadFocus = place.contains(document.activeElement);
    // The page may have been drawn again, and show the question in another place.
    for (const each of document.querySelectorAll(".pasted")) each.replaceChildren();
    if (hadFocus) input.focus();
  }

  function onkeydown(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    close();
  }

  input.addEventListener("paste", take);
  if (waiting.lines.length) show();
  return place;
}
