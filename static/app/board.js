// The board: a column with a limit for each state. Cards are moved by mouse, touch or key.
import { h } from "../shared/dom.js";
import { number } from "../shared/format.js";
import { setState } from "./actions.js";
import { change, now } from "./address.js";
import { stateIcon } from "./icons.js";
import { activate, active, isMarked, mark, marked } from "./marks.js";
import { may, stateOf, statesOf } from "./model.js";
import { facts, priorityMark, stateButton, titleLink } from "./row.js";
import * as store from "./store.js";

const STEP = 50;

export function taskBoard(place) {
  const columns = h("div", { className: "columns", onkeydown, onclick: onClick, onfocusin });
  place.replaceChildren(columns);
  let order = [];
  let shown = new Map();
  let drawn = new Map();
  let columnsDrawn = new Map();

  const projectId = () => (now().project ? Number(now().project) : null);

  function update() {
    const states = statesOf(projectId());
    const sorted = new Map(states.map((state) => [state.key, []]));
    for (const task of store.all())
      (
        sorted.get(stateOf(task)?.key) || sorted.get(states.find((state) => state.status === task.status).key)
      ).push(task);
    order = [...sorted.values()].map((tasks) => tasks.map((task) => task.id));
    if (active() === null || !order.some((ids) => ids.includes(active())))
      activate(order.find((ids) => ids.length)?.[0] ?? null);
    const focused = document.activeElement?.closest?.(".task");
    const focusedId = focused && columns.contains(focused) ? Number(focused.dataset.id) : null;
    const old = drawn;
    drawn = new Map();
    const oldColumns = columnsDrawn;
    columnsDrawn = new Map();
    const tops = [...columns.querySelectorAll(".cards")].map((each) => each.scrollTop);
    const left = columns.scrollLeft;
    const next = states.map((state) => keptColumn(state, sorted.get(state.key), old, oldColumns));
    next.forEach((each, at) => columns.children[at] !== each && columns.insertBefore(each, columns.children[at] || null));
    while (columns.children.length > next.length) columns.lastChild.remove();
    columns.querySelectorAll(".cards").forEach((each, at) => (each.scrollTop = tops[at] || 0));
    columns.scrollLeft = left;
    if (focusedId !== null) drawn.get(focusedId)?.element.focus({ preventScroll: true });
  }

  // The column as it is in the document if it would look the same: most changes concern one or two columns.
  function keptColumn(state, tasks, old, oldColumns) {
    const shape = [state, tasks.length, ...tasks.slice(0, shown.get(state.key) || STEP)];
    const before = oldColumns.get(state.key);
    const isSame = before?.shape.length === shape.length && shape.every((each, at) => each === before.shape[at]);
    if (isSame) {
      for (const task of shape.slice(2)) {
        drawn.set(task.id, old.get(task.id));
        dress(old.get(task.id).element, task);
      }
    }
    const element = isSame ? before.element : column(state, tasks, old);
    columnsDrawn.set(state.key, { shape, element });
    return element;
  }

  function column(state, tasks, old) {
    const most = shown.get(state.key) || STEP;
    const limit = state.wip_limit;
    const isFull = limit !== null && limit !== undefined && tasks.length >= limit;
    const isOver = isFull && tasks.length > limit;
    const count = limit ? `${number(tasks.length)} / ${number(limit)}` : number(tasks.length);
    const said = limit
      ? `${tasks.length} of at most ${limit}${isOver ? ", too many" : isFull ? ", full" : ""}`
      : `${tasks.length}`;
    const rest = tasks.length - most;
    return h(
      "section",
      {
        className: `column${isOver ? " over" : isFull ? " full" : ""}`,
        "data-key": state.key,
        "aria-label": `${state.name}, ${said}`,
        ondragover,
        ondragleave,
        ondrop: (event) => drop(event, state),
      },
      h(
        "h2",
        {},
        stateIcon(state.status),
        h("span", {}, state.name),
        h("span", { className: "count" }, count),
      ),
      h(
        "div",
        {
          className: "cards",
          role: "list",
          "aria-label": state.name,
          tabIndex: tasks.length ? undefined : -1,
        },
        tasks.slice(0, most).map((task) => card(task, old)),
      ),
      tasks.length ? null : h("p", { className: "muted none" }, "Nothing here"),
      rest > 0
        ? h(
            "button",
            {
              type: "button",
              className: "more",
              onclick: () => (shown.set(state.key, most + STEP * 4), update()),
            },
            `Show more of ${number(rest)}`,
          )
        : null,
    );
  }

  function card(task, old) {
    const before = old.get(task.id);
    const element = before && before.task === task ? before.element : make(task);
    drawn.set(task.id, { task, element });
    dress(element, task);
    return element;
  }

  function make(task) {
    return h(
      "div",
      {
        className: `task${task.status === "completed" ? " done" : ""}`,
        role: "listitem",
        "data-id": task.id,
        draggable: may("member", task.project_id) ? "true" : "false",
        ondragstart: (event) => drag(event, task),
        ondragend: (event) => event.target.classList.remove("dragged"),
      },
      h("div", { className: "signs" }, stateButton(task), titleLink(task)),
      h("div", { className: "facts" }, priorityMark(task), facts(task)),
    );
  }

  function dress(element, task) {
    const isActive = task.id === active();
    element.tabIndex = isActive ? 0 : -1;
    element.classList.toggle("active", isActive);
    element.classList.toggle("marked", isMarked(task.id));
    element.classList.toggle("open", String(task.id) === now().task);
  }

  function draw() {
    for (const { task, element } of drawn.values()) dress(element, task);
  }

  // -- by mouse ------------------------------------------------------------------------------------

  function drag(event, task) {
    event.dataTransfer.setData("text/plain", String(task.id));
    event.dataTransfer.effectAllowed = "move";
    event.target.classList.add("dragged");
  }
  function ondragover(event) {
    event.preventDefault();
    event.currentTarget.classList.add("target");
  }
  function ondragleave(event) {
    if (!event.currentTarget.contains(event.relatedTarget)) event.currentTarget.classList.remove("target");
  }
  function drop(event, state) {
    event.preventDefault();
    event.currentTarget.classList.remove("target");
    const task = store.get(event.dataTransfer.getData("text/plain"));
    if (task) move(isMarked(task.id) ? marked() : [task], state.key);
  }
  function move(tasks, key) {
    const there = tasks.filter((task) => stateOf(task).key !== key);
    if (there.length) setState(there, key);
  }

  // -- by key --------------------------------------------------------------------------------------

  function onkeydown(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const down = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!across && !down) return;
    event.preventDefault();
    if (across && event.shiftKey) shift(across);
    else if (across) sideways(across);
    else stepBy(down);
  }

  const at = () => {
    const column = order.findIndex((ids) => ids.includes(active()));
    return [column, column < 0 ? -1 : order[column].indexOf(active())];
  };

  function stepBy(by) {
    const [column, row] = at();
    if (column >= 0) focus(order[column][Math.max(0, Math.min(order[column].length - 1, row + by))]);
  }

  function sideways(by) {
    const [column, row] = at();
    for (let next = column + by; order[next]; next += by) {
      if (order[next].length) return focus(order[next][Math.min(row, order[next].length - 1)]);
    }
    return null;
  }

  // The card moves to the next state.
  function shift(by) {
    const task = store.get(active());
    const states = statesOf(projectId());
    const next = task && states[states.findIndex((state) => state.key === stateOf(task).key) + by];
    if (next) setState([task], next.key);
  }

  function focus(id) {
    activate(id);
    draw();
    const element = drawn.get(id)?.element;
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function onfocusin(event) {
    const task = event.target.closest(".task");
    if (task) activate(Number(task.dataset.id));
  }

  function onClick(event) {
    const task = event.target.closest(".task");
    if (!task || event.target.closest("a, button, input")) return;
    const id = Number(task.dataset.id);
    if (event.ctrlKey || event.metaKey || event.shiftKey) mark(id);
    else change({ task: String(id) });
  }

  return {
    update,
    draw,
    step: stepBy,
    shift,
    focus: () => focus(active()),
    order: () => order.flat(),
    reset: update,
    leave: () => undefined,
  };
}
