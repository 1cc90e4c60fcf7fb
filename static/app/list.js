// The list. Only visible rows are in the document, however many rows there are.
import { h } from "../shared/dom.js";
import { number } from "../shared/format.js";
import { change, now } from "./address.js";
import { stateIcon } from "./icons.js";
import { activate, active, isMarked, markTo } from "./marks.js";
import { PRIORITIES, nameOf, statesOf } from "./model.js";
import { taskRow } from "./row.js";
import * as store from "./store.js";
import { editTitle, editedId, endEditing, watchEdited } from "./titles.js";
import { due } from "./words.js";

const AROUND = 12;
const HEAD = 36;
const MOST_ON_PAPER = 2000;
const narrow = matchMedia("(max-width: 640px)");

const rowHeight = () => (narrow.matches ? 58 : 40);

const GROUPS = {
  state: (task) => task.state || task.status,
  priority: (task) => task.priority,
  project: (task) => task.project,
  owner: (task) => nameOf(task.user_id),
  due: (task) => (task.due_at ? due(task.due_at).split(",")[0] : "No date"),
};

function groupsOf(tasks) {
  const name = now().group || "state";
  if (name === "none") return [{ title: null, tasks }];
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
    if (place.has(task.state)) continue;
    place.set(
      task.state || task.status,
      WEIGHT[task.status] * 100 + statesOf(task.project_id).findIndex((state) => state.key === task.state),
    );
  }
  return keys.sort((a, b) => place.get(a) - place.get(b));
}

function titled(name, key, tasks) {
  if (name === "priority") return { title: PRIORITIES[key] };
  if (name !== "state") return { title: key };
  const state = statesOf(tasks[0].project_id).find((each) => each.key === key);
  return { title: state?.name || key, status: tasks[0].status };
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
  let [lines, starts, order, drawn, onPaper] = [[], [0], [], new Map(), false];
  // The task that was open before a double click.
  let openBefore;

  function update() {
    watchEdited();
    const edited = placeOf(editedId());
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
    starts = new Array(lines.length + 1);
    starts[0] = 0;
    const height = rowHeight();
    lines.forEach((line, at) => (starts[at + 1] = starts[at] + (line.task ? height : HEAD)));
    body.style.height = `${starts.at(-1)}px`;
    // What somebody is typing stays where it is on the screen.
    if (edited !== null && placeOf(editedId()) !== null) place.scrollTop += placeOf(editedId()) - edited;
    grid.setAttribute("aria-rowcount", state.isLoading ? -1 : lines.length);
    if (active() === null || !order.includes(active())) activate(order[0] ?? null);
    draw();
  }
  const { state } = store;

  function placeOf(id) {
    const at = id === null ? -1 : lines.findIndex((line) => line.task?.id === id);
    return at < 0 ? null : starts[at];
  }

  // Finds the line at a height by binary search.
  function lineAt(top) {
    let [low, high] = [0, lines.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle + 1] <= top) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function draw() {
    const from = onPaper ? 0 : Math.max(0, lineAt(place.scrollTop) - AROUND);
    const to = onPaper
      ? Math.min(lines.length, MOST_ON_PAPER)
      : Math.min(lines.length, lineAt(place.scrollTop + place.clientHeight) + AROUND);
    const wanted = new Set();
    for (let at = from; at < to; at++) wanted.add(at);
    // The focused row stays in the document, or the keyboard would lose its place.
    const focused = lines.findIndex((line) => line.task?.id === active());
    if (focused >= 0) wanted.add(focused);
    const next = new Map();
    for (const at of [...wanted].sort((a, b) => a - b)) {
      const line = lines[at];
      const key = line.task ? line.task.id : `head ${line.head.title}`;
      const what = line.task || `${line.head.tasks.length}`;
      const old = drawn.get(key);
      const element =
        old && (old.what === what || (line.task && key === editedId()))
          ? old.element
          : line.task
            ? taskRow(line.task, () => order)
            : head(line.head);
      if (old && old.element !== element) {
        const hadFocus = old.element.contains(document.activeElement);
        old.element.replaceWith(element);
        if (hadFocus) queueMicrotask(() => element.focus());
      }
      dress(element, line, at);
      next.set(key, { element, what });
    }
    for (const [key, { element }] of drawn) if (!next.has(key)) element.remove();
    drawn = next;
    arrange([...next.values()].map(({ element }) => element));
  }

  // Puts the rows into their order. The one with the focus is not moved, because it would lose the focus.
  function arrange(elements) {
    const fixed = Math.max(0, elements.findIndex((element) => element.contains(document.activeElement)));
    if (elements.length && elements[fixed].parentNode !== body) body.append(elements[fixed]);
    for (let at = fixed - 1; at >= 0; at--)
      if (elements[at].nextSibling !== elements[at + 1]) body.insertBefore(elements[at], elements[at + 1]);
    for (let at = fixed + 1; at < elements.length; at++)
      if (elements[at].previousSibling !== elements[at - 1]) elements[at - 1].after(elements[at]);
  }

  function dress(element, line, at) {
    element.style.transform = onPaper ? "" : `translateY(${starts[at]}px)`;
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

  function head({ title, status, tasks }) {
    return h(
      "div",
      { className: "head", role: "row" },
      h(
        "div",
        { role: "gridcell" },
        status ? stateIcon(status) : null,
        h("strong", {}, title),
        h("span", { className: "muted" }, number(tasks.length)),
      ),
    );
  }

  function onfocusin(event) {
    const row = event.target.closest(".row");
    if (row) activate(Number(row.dataset.id));
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
    editTitle(drawn.get(id).element.querySelector(".name"), task, (isByKey) => {
      if (drawn.has(id)) drawn.get(id).what = null;
      draw();
      if (isByKey) drawn.get(id)?.element.focus({ preventScroll: true });
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

  // Brings a task into sight.
  function bring(id) {
    activate(id);
    const at = lines.findIndex((line) => line.task?.id === id);
    if (at < 0) return;
    // Room for the heading of the group above, which is not sticky here.
    if (starts[at] - HEAD < place.scrollTop) place.scrollTop = starts[at] - HEAD;
    else if (starts[at + 1] > place.scrollTop + place.clientHeight)
      place.scrollTop = starts[at + 1] - place.clientHeight;
    draw();
  }

  function focus(id) {
    bring(id);
    drawn.get(id)?.element.focus({ preventScroll: true });
  }

  let frame = null;
  const onscroll = () => (frame = frame || requestAnimationFrame(() => ((frame = null), draw())));
  place.addEventListener("scroll", onscroll, { passive: true });
  const observer = new ResizeObserver(draw);
  observer.observe(place);
  const reset = () => {
    endEditing();
    drawn.forEach(({ element }) => element.remove());
    drawn = new Map();
    update();
  };
  narrow.addEventListener("change", reset);
  const paper = (isOn) => () => ((onPaper = isOn), draw());
  const [before, after] = [paper(true), paper(false)];
  addEventListener("beforeprint", before);
  addEventListener("afterprint", after);

  return {
    update,
    draw,
    step: stepBy,
    edit,
    focus: () => focus(active()),
    order: () => order,
    reset,
    leave() {
      endEditing();
      observer.disconnect();
      place.removeEventListener("scroll", onscroll);
      narrow.removeEventListener("change", reset);
      removeEventListener("beforeprint", before);
      removeEventListener("afterprint", after);
    },
  };
}
