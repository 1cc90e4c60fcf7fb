// The board: a column with a limit for each state. Cards are moved by mouse, touch or key.
import { h } from "../shared/dom.js";
import { number } from "../shared/format.js";
import { setState } from "./actions.js";
import { change, keepNoPlace, keepPlaceOf, now } from "./address.js";
import { stateIcon } from "./icons.js";
import { activate, active, inPlaceOf, isMarked, mark, marked } from "./marks.js";
import { may, stateOf, statesOf } from "./model.js";
import { nearView } from "./near.js";
import { facts, priorityMark, stateButton, titleLink } from "./row.js";
import * as store from "./store.js";

const GAP = 8;

export function taskBoard(place) {
  const columns = h("div", { className: "columns", onkeydown, onclick: onClick, onfocusin });
  place.replaceChildren(columns);
  // The ids of the tasks in each column, and the columns by the keys of their states.
  let order = [];
  let shown = new Map();
  // The card that is being dragged stays in the document, or the browser would end the drag.
  let draggedId = null;
  // The places of the board and its columns when this address was left.
  let leftAt = history.state?.columns ? history.state : null;
  let [isBack, isGoingBack] = [false, false];
  keepPlaceOf(() => ({
    left: columns.scrollLeft,
    columns: [...shown].map(([key, { near }]) => [key, near.where()]),
  }));

  const projectId = () => (now().project ? Number(now().project) : null);

  function update() {
    const states = statesOf(projectId());
    const sorted = new Map(states.map((state) => [state.key, []]));
    for (const task of store.all())
      (
        sorted.get(stateOf(task)?.key) || sorted.get(states.find((state) => state.status === task.status).key)
      ).push(task);
    const former = order.find((ids) => ids.includes(active())) || [];
    order = [...sorted.values()].map((tasks) => tasks.map((task) => task.id));
    const there = new Set(order.flat());
    if (!there.has(active())) activate(inPlaceOf(active(), former, there) ?? order.flat()[0] ?? null);
    const focused = document.activeElement?.closest?.(".task");
    const focusedId = focused && columns.contains(focused) ? Number(focused.dataset.id) : null;
    show(states, sorted);
    if (leftAt && !store.state.isLoading) goBack();
    // A card that went to another column takes the focus along, and one that has gone leaves it to the next one.
    if (focusedId !== null && !columns.contains(document.activeElement))
      focus(there.has(focusedId) ? focusedId : active());
  }

  function goBack() {
    // Somebody who has scrolled meanwhile stays there.
    isBack = [columns, ...columns.querySelectorAll(".cards")].every((each) => !each.scrollTop && !each.scrollLeft);
    if (isBack) {
      for (const [key, place] of leftAt.columns) if (place) shown.get(key)?.near.goTo(place);
      columns.scrollLeft = leftAt.left;
    }
    leftAt = null;
  }

  // Keeps the columns whose states are still there, so that they stay where they were scrolled to.
  function show(states, sorted) {
    const before = shown;
    shown = new Map(states.map(({ key }) => [key, before.get(key) || column(key)]));
    for (const [key, { element, near }] of before) {
      if (shown.has(key)) continue;
      near.leave();
      element.remove();
    }
    [...shown.values()].forEach(
      ({ element }, at) =>
        columns.children[at] !== element && columns.insertBefore(element, columns.children[at] || null),
    );
    for (const state of states) shown.get(state.key).refill(state, sorted.get(state.key));
  }

  function column(key) {
    const head = h("h2", {});
    const list = h("div", { role: "list" });
    const cards = h("div", { className: "cards" }, list);
    const none = h("p", { className: "muted none" }, "Nothing here");
    const element = h(
      "section",
      { className: "column", "data-key": key, ondragover, ondragleave, ondrop: (event) => drop(event, key) },
      head,
      cards,
      none,
    );
    let [length, first, stop] = [0, null, null];
    // The card by which the Tab key enters the column: the active one, or else the one that was it last.
    const tabStop = () => {
      if (near.has(active())) stop = active();
      return near.has(stop) ? stop : first;
    };
    const near = nearView(cards, list, {
      keyOf: (task) => task.id,
      versionOf: (task) => task,
      gap: GAP,
      make,
      dress(card, task, at) {
        dress(card, task, task.id === tabStop());
        // Screen readers are told of the cards that are not in the document too.
        card.setAttribute("aria-posinset", at + 1);
        card.setAttribute("aria-setsize", length);
      },
      stays: () => [tabStop(), draggedId],
    });
    function refill(state, tasks) {
      ({ length } = tasks);
      first = tasks[0]?.id ?? null;
      name(element, head, state, length);
      list.setAttribute("aria-label", state.name);
      cards.hidden = !length;
      none.hidden = Boolean(length);
      near.set(tasks);
    }
    return { element, near, refill };
  }

  // The name, the number and the limit of a column.
  function name(element, head, state, length) {
    const limit = state.wip_limit;
    const isFull = Boolean(limit) && length >= limit;
    const isOver = isFull && length > limit;
    element.classList.toggle("full", isFull && !isOver);
    element.classList.toggle("over", isOver);
    const said = limit
      ? `${length} of at most ${limit}${isOver ? ", too many" : isFull ? ", full" : ""}`
      : `${length}`;
    element.setAttribute("aria-label", `${state.name}, ${said}`);
    head.replaceChildren(
      stateIcon(state.status),
      h("span", { dir: "auto" }, state.name),
      h("span", { className: "count" }, limit ? `${number(length)} / ${number(limit)}` : number(length)),
    );
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
        ondragend: (event) => (event.target.classList.remove("dragged"), (draggedId = null)),
      },
      h("div", { className: "signs" }, stateButton(task), titleLink(task)),
      h("div", { className: "facts" }, priorityMark(task), facts(task)),
    );
  }

  function dress(element, task, isTabStop) {
    element.tabIndex = isTabStop ? 0 : -1;
    element.classList.toggle("active", task.id === active());
    element.classList.toggle("marked", isMarked(task.id));
    element.classList.toggle("open", String(task.id) === now().task);
  }

  function draw() {
    for (const { near } of shown.values()) near.draw();
  }

  // -- by mouse ------------------------------------------------------------------------------------

  function drag(event, task) {
    event.dataTransfer.setData("text/plain", String(task.id));
    event.dataTransfer.effectAllowed = "move";
    draggedId = task.id;
    event.target.classList.add("dragged");
  }
  function ondragover(event) {
    event.preventDefault();
    event.currentTarget.classList.add("target");
  }
  function ondragleave(event) {
    if (!event.currentTarget.contains(event.relatedTarget)) event.currentTarget.classList.remove("target");
  }
  function drop(event, key) {
    event.preventDefault();
    event.currentTarget.classList.remove("target");
    const task = store.get(event.dataTransfer.getData("text/plain"));
    if (task) move(isMarked(task.id) ? marked() : [task], key);
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

  const columnOf = (id) => [...shown.values()].find(({ near }) => near.has(id));

  function focus(id) {
    activate(id);
    const column = columnOf(id);
    if (!column) return;
    column.near.bring(id);
    column.near.elementOf(id)?.focus({ preventScroll: true });
    intoSight(column.element);
  }

  const intoSight = (column) => column.scrollIntoView({ block: "nearest", inline: "nearest" });

  function onfocusin(event) {
    const task = event.target.closest(".task");
    if (!task) return;
    activate(Number(task.dataset.id));
    // The Tab key goes to columns out of sight. A column that is pressed at its edge stays below the pointer.
    if (!isGoingBack && event.target.matches(":focus-visible")) intoSight(task.closest(".column"));
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
    focus() {
      isGoingBack = isBack;
      if (isBack) columnOf(active())?.near.elementOf(active())?.focus({ preventScroll: true });
      else focus(active());
      [isBack, isGoingBack] = [false, false];
    },
    forget: () => shown.forEach(({ near }) => near.forget()),
    order: () => order.flat(),
    leave() {
      keepNoPlace();
      shown.forEach(({ near }) => near.leave());
    },
  };
}
