// A task's row in the list, and the parts that the list and the board share.
import { h } from "../shared/dom.js";
import { moment } from "../shared/format.js";
import { toggle } from "./actions.js";
import { follow, href, now } from "./address.js";
import { once } from "./clicks.js";
import { avatar, icon, priorityIcon, stateIcon } from "./icons.js";
import { isMarked, mark, markTo } from "./marks.js";
import { PRIORITIES, may, model, nameOf, stateOf } from "./model.js";
import { pickFor } from "./pickers.js";
import { due, isOverdue } from "./words.js";

const taskHref = (task) => href({ ...now(), task: String(task.id) });

// Whether the end of a link's text has no room in the row or on the card.
const isCut = (link) =>
  [link, link.parentElement].some(
    (each) => each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1,
  );

export function titleLink(task) {
  return h(
    "a",
    {
      className: "title",
      href: taskHref(task),
      tabIndex: -1,
      // A title that is cut is shown whole to a mouse that rests on it. The panel shows it whole to everybody.
      onmouseenter: ({ currentTarget: link }) => (link.title = isCut(link) ? task.title : ""),
      onclick: (event) => follow({ ...now(), task: String(task.id) })(event),
    },
    task.title,
  );
}

export function stateButton(task) {
  const state = stateOf(task);
  if (!may("member", task.project_id))
    return h(
      "span",
      { className: "state", title: state.name },
      stateIcon(state.status),
      h("span", { className: "unseen" }, state.name),
    );
  const verb = task.status === "completed" ? "Open again" : "Complete";
  return h(
    "button",
    {
      type: "button",
      className: "state",
      tabIndex: -1,
      title: `${state.name}: click to ${verb.toLowerCase()}`,
      "aria-label": `${verb}: ${task.title}`,
      onclick: once(() => toggle([task])),
    },
    stateIcon(state.status),
  );
}

// A value of a task, which a click changes. A reader without the right to change it gets the value alone.
function value(task, picker, className, name, ...shown) {
  if (!may("member", task.project_id)) return h("span", { className, title: name }, shown);
  return h(
    "button",
    {
      type: "button",
      className,
      tabIndex: -1,
      title: `${name}: click to change`,
      onclick: (event) => (event.stopPropagation(), pickFor(picker, task, event.currentTarget)),
    },
    shown,
  );
}

export function priorityMark(task) {
  const name = PRIORITIES[task.priority];
  const className = task.priority ? "priority" : "priority unset";
  return value(task, "priority", className, name, priorityIcon(task.priority), h("span", { className: "unseen" }, name));
}

// The details that are shown beside a task's title.
export function facts(task) {
  const found = [];
  if (task.blocked_at)
    found.push(
      h("span", { className: "fact blocked", title: task.blocked_reason || "" }, icon("blocked"), "Blocked"),
    );
  for (const tag of task.tags.slice(0, 3)) found.push(h("span", { className: "fact tag" }, tag));
  if (task.tags.length > 3) found.push(h("span", { className: "fact" }, `+${task.tags.length - 3}`));
  if (!now().project && task.project !== "General")
    found.push(value(task, "move", "fact project", `In ${task.project}`, task.project));
  if (task.due_at && task.status !== "completed") {
    found.push(
      value(
        task,
        "due",
        isOverdue(task) ? "fact due late" : "fact due",
        `Due ${moment(task.due_at)}`,
        h("time", { dateTime: task.due_at }, due(task.due_at)),
      ),
    );
  }
  if (now().project && task.user_id !== model.me.id) {
    const owner = nameOf(task.user_id);
    found.push(
      value(task, "assign", "fact owner", `Owned by ${owner}`, avatar(owner), h("span", { className: "whose" }, owner)),
    );
  }
  return found;
}

// A row of the grid; `order` gives the ids in the order of the rows.
export function taskRow(task, order) {
  const box = h("input", {
    type: "checkbox",
    tabIndex: -1,
    checked: isMarked(task.id),
    "aria-label": `Mark: ${task.title}`,
    onclick: (event) => (event.stopPropagation(), event.shiftKey ? markTo(task.id, order()) : mark(task.id)),
  });
  return h(
    "div",
    { className: `row${task.status === "completed" ? " done" : ""}`, role: "row", "data-id": task.id },
    h("div", { role: "gridcell", className: "box" }, box),
    h("div", { role: "gridcell", className: "signs" }, priorityMark(task), stateButton(task)),
    // A long title is cut at its own end, which is on the left for some scripts.
    h("div", { role: "gridcell", className: "name", dir: "auto" }, titleLink(task)),
    h("div", { role: "gridcell", className: "facts" }, facts(task)),
  );
}
