// The list: a row for each task, in groups.
import { h } from "../shared/dom.js";
import { number } from "../shared/format.js";
import { change, keepNoPlace, keepPlaceOf, now } from "./address.js";
import { stateIcon } from "./icons.js";
import { activate, active, inPlaceOf, isMarked, markTo } from "./marks.js";
import { PRIORITIES, nameOf, stateOf, statesOf } from "./model.js";
import { nearView } from "./near.js";
import { taskRow } from "./row.js";
import * as store from "./store.js";
import { editTitle, editedId, endEditing, showUnsaved, watchEdited } from "./titles.js";
import { due } from "./words.js";

const HEAD = 36;
const narrow = matchMedia("(max-width: 640px)");

const rowHeight = () => (narrow.matches ? 58 : 40);

const GROUPS = {
  // States of several projects that have the same name are one group.
  state: (task) => `${task.status} ${stateOf(task).name}`,
  priority: (task) => task.priority,
  project: (task) => task.project,
  owner: (task) => nameOf(task.user_id),
  due: (task) => (task.due_at ? due(task.due_at).split(",")[0] : "No date"),
};

function groupsOf(tasks) {
  const asked = now().group;
  if (asked === "none") return [{ title: null, tasks }];
  const name = Object.hasOwn(GROUPS, asked) ? asked : "state";
  const found = new Map();
  for (const task of tasks) {
    const key = GROUPS[name](task);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(task);
  }
  let keys = [...found.keys()];
  if (name === "priority") keys.sort((a, b) => b - a);
  if (name === "state") keys = inOrder(keys, tasks);
  return keys.map((key) => ({ ...titled(name, key, found.get(key)), tasks: found.get(key) }));
}

// Tasks in progress come first, completed tasks last.
const WEIGHT = { in_progress: 0, pending: 1, completed: 2 };

function inOrder(keys, tasks) {
  const place = new Map();
  for (const task of tasks) {
    const key = GROUPS.state(task);
    if (place.has(key)) continue;
    place.set(key, WEIGHT[task.status] * 100 + statesOf(task.project_id).indexOf(stateOf(task)));
  }
  return keys.sort((a, b) => place.get(a) - place.get(b));
}

function titled(name, key, tasks) {
  if (name === "priority") return { title: PRIORITIES[key] };
  if (name !== "state") return { title: key };
  return { title: stateOf(tasks[0]).name, status: tasks[0].status };
}

// The list in `place`, a scrolling element.
export function taskList(place) {
  const body = h("div", { className: "rows", role: "rowgroup" });
  const grid = h(
    "div",
    {
      className: "grid",
      role: "grid",
      "aria-label": "Tasks",
      "aria-multiselectable": "true",
      onfocusin,
      onclick: onClick,
      ondblclick: onDoubleClick,
      onmousedown: (event) => event.detail === 1 && (openBefore = now().task),
      onkeydown,
    },
    body,
  );
  place.replaceChildren(grid);
  let [lines, order] = [[], []];
  // How far the list was scrolled when this address was left.
  let former = history.state?.top || 0;
  keepPlaceOf(() => ({ top: place.scrollTop }));
  let isBack = false;
  // The task that is active only because it was the first one: those that arrive later may come before it. It is null
  // once the person has been at a task of this list.
  let first;
  // The task that was open before a double click.
  let openBefore;
  const { state } = store;
  const near = nearView(place, body, {
    keyOf: (line) => (line.task ? line.task.id : `head ${line.head.status} ${line.head.title}`),
    versionOf: (line) => line.task || `${line.head.tasks.length}`,
    heightOf: (line) => (line.task ? rowHeight() : HEAD),
    make: (line) => (line.task ? rowOf(line.task) : head(line.head)),
    dress,
    // The focused row stays in the document, or the keyboard would lose its place.
    stays: () => [active()],
    isFrozen: (key) => key === editedId(),
    pinned: editedId,
  });

  function update() {
    const before = order;
    const hadFocus = near.elementOf(active())?.contains(document.activeElement);
    watchEdited();
    lines = [];
    order = [];
    const groups = groupsOf(store.all());
    for (const group of groups) {
      if (group.title !== null) lines.push({ head: group });
      for (const task of group.tasks) {
        lines.push({ task });
        order.push(task.id);
      }
    }
    grid.setAttribute("aria-rowcount", state.isLoading ? -1 : lines.length);
    const there = new Set(order);
    if (active() === first || !there.has(active())) {
      const next = first === null ? inPlaceOf(active(), before, there) : null;
      if (next === null) [first] = order;
      activate(next ?? first ?? null);
    }
    near.set(lines);
    if (former && !state.isLoading) goBack();
    // The keyboard goes on where the row was.
    if (hadFocus && !grid.contains(document.activeElement)) near.elementOf(active())?.focus({ preventScroll: true });
  }

  function goBack() {
    isBack = !place.scrollTop;
    if (isBack) place.scrollTop = former;
    former = 0;
    near.draw();
  }

  function dress(element, line, at) {
    element.setAttribute("aria-rowindex", at + 1);
    if (!line.task) return;
    const isActive = line.task.id === active();
    element.tabIndex = isActive ? 0 : -1;
    element.classList.toggle("active", isActive);
    element.classList.toggle("marked", isMarked(line.task.id));
    element.classList.toggle("open", String(line.task.id) === now().task);
    element.setAttribute("aria-selected", String(isMarked(line.task.id)));
    element.querySelector(".box input").checked = isMarked(line.task.id);
  }

  function rowOf(task) {
    const made = taskRow(task, () => order);
    showUnsaved(made.querySelector(".name"), task, () => edit(task.id));
    return made;
  }

  function head({ title, status, tasks }) {
    return h(
      "div",
      { className: "head", role: "row" },
      h(
        "div",
        { role: "gridcell" },
        status ? stateIcon(status) : null,
        h("strong", { dir: "auto" }, title),
        h("span", { className: "muted" }, number(tasks.length)),
      ),
    );
  }

  function onfocusin(event) {
    const row = event.target.closest(".row");
    if (row) ((first = null), activate(Number(row.dataset.id)));
  }

  function onClick(event) {
    const row = event.target.closest(".row");
    if (!row || event.target.closest("a, button, input")) return;
    const id = Number(row.dataset.id);
    if (event.shiftKey) markTo(id, order);
    else change({ task: String(id) });
  }

  function onDoubleClick(event) {
    const row = event.target.closest(".row");
    if (!row || event.shiftKey || event.ctrlKey || event.metaKey || event.target.closest("button, input")) return;
    event.preventDefault();
    // The first click has opened the task.
    if (openBefore !== row.dataset.id) history.back();
    edit(Number(row.dataset.id));
  }

  // Edits the title in its row.
  function edit(id = active()) {
    const task = store.get(id);
    if (!task) return;
    bring(id);
    // Somebody else may have taken the task out of the list just now.
    const row = near.elementOf(id);
    if (!row) return;
    editTitle(row.querySelector(".name"), task, (isByKey) => {
      near.redo(id);
      near.draw();
      if (isByKey) near.elementOf(id)?.focus({ preventScroll: true });
    });
  }

  function onkeydown(event) {
    if (event.target.matches(".edit")) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -Infinity, End: Infinity }[
      event.key
    ];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    stepBy(step, event.shiftKey);
  }

  function stepBy(by, isMarking = false) {
    if (!order.length) return;
    const at = Math.max(0, Math.min(order.length - 1, Math.max(order.indexOf(active()), 0) + by));
    if (isMarking) (markTo(active(), order), markTo(order[at], order));
    focus(order[at]);
  }

  // Brings a task into sight, with room for the heading of its group, which is not sticky.
  function bring(id) {
    activate(id);
    near.bring(id, HEAD);
  }

  function focus(id) {
    bring(id);
    near.elementOf(id)?.focus({ preventScroll: true });
    // The list itself may be partly out of sight.
    near.elementOf(id)?.scrollIntoView({ block: "nearest" });
  }

  const reset = () => {
    endEditing();
    near.forget();
  };
  narrow.addEventListener("change", reset);

  return {
    update,
    draw: near.draw,
    step: stepBy,
    edit,
    focus() {
      if (isBack) near.elementOf(active())?.focus({ preventScroll: true });
      else focus(active());
      isBack = false;
    },
    forget: near.forget,
    order: () => order,
    leave() {
      endEditing();
      keepNoPlace();
      near.leave();
      narrow.removeEventListener("change", reset);
    },
  };
}
