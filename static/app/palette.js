// The palette: every action, place and shown task, found by a few letters.
import { h } from "../shared/dom.js";
import { go, now } from "./address.js";
import { dialog } from "./dialog.js";
import { icon, stateIcon } from "./icons.js";
import { model, openProjects } from "./model.js";
import * as store from "./store.js";

const MOST = 12;
const MOST_TASKS = 6;

const place = (picture, label, values) => ({ label, hint: "", picture: icon(picture), run: () => go(values) });

function entriesOf(actions) {
  return [
    ...actions.map(([keys, label, run]) => ({ label, hint: keys[0], picture: icon("list"), run })),
    ...openProjects().map((each) => place("project", `Go to ${each.name}`, { project: String(each.id) })),
    ...model.views.map((each) =>
      place("view", `Go to ${each.name}`, {
        view: String(each.id),
        project: each.project_id ? String(each.project_id) : undefined,
      }),
    ),
  ];
}

// Whether each word of the text begins somewhere in the label; a match at its beginning counts more.
function rank(label, words) {
  const folded = label.toLowerCase();
  if (!words.every((word) => folded.includes(word))) return 0;
  return words.every((word) => folded.startsWith(word) || folded.includes(` ${word}`)) ? 2 : 1;
}

function found(entries, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const ranked = entries
    .map((entry) => ({ entry, rank: rank(entry.label, words) }))
    .filter((each) => each.rank)
    .sort((one, other) => other.rank - one.rank)
    .map((each) => each.entry);
  if (!words.length) return ranked.slice(0, MOST);
  const tasks = store
    .all()
    .filter((task) => rank(task.title, words))
    .slice(0, MOST_TASKS)
    .map((task) => ({
      label: task.title,
      hint: `#${task.id}`,
      picture: stateIcon(task.status),
      run: () => go({ ...now(), task: String(task.id) }),
    }));
  const search = place("search", `Search my tasks for "${text.trim()}"`, { q: text.trim(), status: "all" });
  return [...ranked.slice(0, MOST - tasks.length), ...tasks, search];
}

// Shows the palette; `actions` are rows of keys, their words, and what they do.
export function palette(actions) {
  if (document.querySelector("dialog[open]")) return;
  const entries = entriesOf(actions);
  let [shown, at] = [[], 0];
  const list = h("ul", { id: "palette-list", className: "menu-list", role: "listbox", "aria-label": "Found" });
  const input = h("input", {
    "aria-label": "What do you want to do?",
    placeholder: "Type a few letters",
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    autocomplete: "off",
    oninput: show,
    onkeydown,
  });
  const element = dialog("Commands", h("div", { className: "palette stack" }, input, list));

  // The action runs once the palette is gone, because it may show a dialog of its own.
  function run(entry) {
    element.addEventListener("close", () => entry?.run());
    element.close();
  }

  function point(to) {
    at = shown.length ? (to + shown.length) % shown.length : 0;
    [...list.children].forEach((each, number) => each.setAttribute("aria-selected", String(number === at)));
    input.setAttribute("aria-activedescendant", shown.length ? `palette-${at}` : "");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  }

  function show() {
    shown = found(entries, input.value);
    list.replaceChildren(
      ...shown.map((entry, number) =>
        h(
          "li",
          { id: `palette-${number}`, role: "option", onclick: () => run(entry) },
          entry.picture,
          h("span", {}, entry.label),
          entry.hint ? h("kbd", {}, entry.hint) : null,
        ),
      ),
    );
    point(0);
  }

  function onkeydown(event) {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step && event.key !== "Enter") return;
    event.preventDefault();
    if (step) point(at + step);
    else run(shown[at]);
  }

  show();
  input.focus();
}
