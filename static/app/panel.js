// The panel of one task. A field is sent when it loses the focus, if nobody else changed it first.
import { act } from "../shared/act.js";
import { h, say } from "../shared/dom.js";
import { moment as shownMoment } from "../shared/format.js";
import { remove, short, toggle } from "./actions.js";
import { change, now } from "./address.js";
import * as api from "./api.js";
import { once } from "./clicks.js";
import { commentList } from "./comments.js";
import { blockForm, carryTyped, editable, fields, grow, leaveUnsent, refill } from "./fields.js";
import { historyList } from "./history.js";
import { icon, stateIcon } from "./icons.js";
import { activate } from "./marks.js";
import { may, mayDelete, membersOf, model, projectOf, statesOf } from "./model.js";
import { kept } from "./kept.js";
import { onOpen, open, reload, take } from "./opened.js";
import * as store from "./store.js";

const [place, content] = [document.getElementById("panel"), document.getElementById("content")];
const narrow = matchMedia("(max-width: 900px)");
// On a narrow page the panel lies over the tasks, which keys and screen readers do not reach then.
const cover = () => (content.inert = narrow.matches && !place.hidden);
narrow.addEventListener("change", cover);

export const openId = () => open.task?.id ?? null;

// Counts the tasks that were asked for, so that only the last one is shown.
let turn = 0;

export function close() {
  turn++;
  keepTexts();
  // The session may end while somebody is typing. A text that is being sent just now is forgotten when it has arrived.
  if (open.task?.id === shownId) typed().forEach(leaveUnsent);
  open.task = shape = shownId = null;
  place.hidden = true;
  place.replaceChildren();
  document.body.classList.remove("panel-open");
  cover();
}

// Closes the panel, whose text is sent and whose focus goes to the row of the task.
function leave() {
  const row = place.contains(document.activeElement)
    ? document.querySelector(`#content [data-id="${openId()}"]`)
    : null;
  leaveField();
  close();
  row?.focus({ preventScroll: true });
  return null;
}

export const show = act(async (id) => {
  const mine = ++turn;
  if (open.task?.id === Number(id)) return null;
  if (!id) return leave();
  place.hidden = false;
  document.body.classList.add("panel-open");
  const focused = document.activeElement;
  cover();
  const known = store.get(id);
  if (!open.task) place.replaceChildren(h("p", { className: "muted" }, known ? known.title : "Loading"));
  try {
    const { value, etag } = await api.tasks.get(id);
    await membersOf(value.project_id);
    if (mine !== turn) return null;
    leaveField();
    take({ value, etag });
    draw();
    activateOpen();
    // Somebody who has begun to type elsewhere meanwhile goes on typing.
    if (document.activeElement === focused || !isTyping()) place.querySelector("h2").focus({ preventScroll: true });
  } catch (error) {
    if (error.status === undefined) throw error;
    if (mine !== turn) return null;
    leaveField();
    keepTexts();
    open.task = shownId = null;
    // A mistyped address has no number of a task.
    const isNone = [404, 422].includes(error.status);
    place.replaceChildren(
      h("div", { className: "panel-top" }, closeButton()),
      h(
        "p",
        { className: "notice" },
        isNone ? "This task is not there, or not yours to see." : `${error.message} `,
        isNone ? null : h("button", { type: "button", onclick: () => show(id) }, "Retry"),
      ),
    );
  }
  return null;
});

// Makes the open task the active one of the list, if it is there: the keyboard goes on there when the task is closed.
export function activateOpen() {
  if (open.task && store.get(open.task.id)) activate(open.task.id);
}

// Ends the typing in the open task, which sends the text, before another task is the open one.
function leaveField() {
  if (place.contains(document.activeElement)) document.activeElement.blur();
}

const isTyping = () => document.activeElement?.matches("textarea, select, input:not([type=checkbox])");

// The fields of the panel with text that is not sent yet.
const typed = () => [...place.querySelectorAll("[data-dirty]")];

// Shows changes by others, unless somebody is typing in a field of the task.
export const refresh = act(async (event) => {
  if (!open.task) return null;
  if (event.type === "task.deleted") return gone();
  if (event.type.startsWith("comment.") || event.type === "task.missed") place.querySelector(".talk")?.load();
  if (event.type.startsWith("comment.")) return null;
  const { updated_at: at } = event.data.task || {};
  if (event.type.startsWith("task.") && at === open.task.updated_at) return null;
  const { id } = open.task;
  const newest = await api.tasks.get(id).catch((error) => error);
  if (open.task?.id !== id) return null;
  if (newest.status === 404) return gone("is no longer there, or yours to see");
  if (newest instanceof Error) throw newest;
  const { value, etag } = newest;
  const isNews = value.updated_at !== open.task.updated_at;
  take({ value, etag });
  if (typed().length) {
    if (isNews) say("Somebody else has just changed this task.");
    return refill();
  }
  return drawNewest();
});

// Draws everything again, and leaves the focus and the caret where they are.
function drawAround() {
  const control = place.contains(document.activeElement) ? document.activeElement : null;
  const [from, to] = [control?.selectionStart, control?.selectionEnd];
  draw();
  if (!control) return;
  const again = sameAs(control);
  again.focus({ preventScroll: true });
  if (again.setSelectionRange && from !== null && from !== undefined) again.setSelectionRange(from, to);
}

// Finds a control again after drawing. If it is gone, the heading gets the focus: letters that are typed outside of the
// panel would act on tasks.
function sameAs(control) {
  if (control.isConnected) return control;
  const keyOf = (each) => each.name || each.getAttribute("aria-label") || each.className;
  const isSame = (each) => keyOf(each) && keyOf(each) === keyOf(control);
  return [...place.querySelectorAll(control.tagName)].find(isSame) || place.querySelector("h2");
}

// Draws a changed task, with its newest history.
function drawNewest() {
  const past = place.querySelector(".past");
  if (past?.open) past.load();
  return drawAround();
}

// Shows the open task after a change of its project, such as of its states or of the person's role there.
// A project that the person has lost is left in a moment.
export const redraw = () => {
  const id = open.task?.project_id;
  if (place.querySelector(".task-title") && (!id || projectOf(id))) drawAround();
};

function gone(why = "was deleted") {
  for (const control of typed()) delete control.dataset.dirty;
  say(`"${short(open.task.title)}" ${why}.`);
  change({ task: null });
}

// -- showing ----------------------------------------------------------------------------------------

const closeButton = () =>
  h(
    "button",
    {
      type: "button",
      className: "bare",
      "aria-label": "Close (Escape)",
      onclick: () => change({ task: null }),
    },
    icon("close"),
  );

// The structure of the panel: while it stays the same, only the values are updated.
const shapeOf = (task) =>
  JSON.stringify([
    task.id,
    task.project_id,
    task.status,
    task.blocked_at,
    task.blocked_reason,
    task.user_id,
    may("member", task.project_id),
    mayDelete(task),
    statesOf(task.project_id),
    model.projects.length,
  ]);
let shape = null;
let shownId = null;
// The task and the rights for which the parts with texts of their own were made.
let madeFor = null;

function keepTexts() {
  const texts = [...place.querySelectorAll("[data-keep]")].map(({ name, value }) => [name, value]);
  if (shownId !== null) kept.set(shownId, texts.filter(([, value]) => value));
}

function draw() {
  const { task } = open;
  if (shape === shapeOf(task) && place.querySelector(".task-title")) return refill();
  shape = shapeOf(task);
  const isWriter = may("member", task.project_id);
  const scroll = place.scrollTop;
  keepTexts();
  const putTyped = shownId === task.id ? carryTyped(typed()) : () => undefined;
  shownId = task.id;
  // Somebody may be writing in such a part while others change the task: it stays as it is.
  const before = madeFor;
  madeFor = JSON.stringify([task.id, task.project_id, isWriter, may("manager", task.project_id)]);
  const lasting = (name, make) => (before === madeFor && place.querySelector(name)) || make(task);
  const title = editable(
    "title",
    (text) => text.replace(/\s*\n\s*/g, " ").trim() || undefined,
    { className: "task-title", maxLength: 500, "aria-label": "Title", rows: 1 },
    "textarea",
  );
  const heading = h("h2", { className: "unseen", tabIndex: -1 }, task.title);
  const parts = [
    h(
      "div",
      { className: "panel-top" },
      h(
        "button",
        {
          type: "button",
          className: "state big",
          disabled: !isWriter,
          onclick: once(async () => (await toggle([task]), await act(reload)())),
        },
        stateIcon(task.status),
        task.status === "completed" ? "Open again" : "Complete",
      ),
      h("span", { className: "muted" }, `#${task.id}`),
      mayDelete(task)
        ? h(
            "button",
            {
              type: "button",
              className: "bare",
              "aria-label": "Delete",
              title: "Delete (Delete)",
              onclick: () => (change({ task: null }), remove([task])),
            },
            icon("trash"),
          )
        : null,
      closeButton(),
    ),
    heading,
    title,
    task.blocked_at
      ? h(
          "p",
          { className: "notice blocked" },
          icon("blocked"),
          h("span", {}, "Blocked: ", task.blocked_reason),
          isWriter
            ? h(
                "button",
                {
                  type: "button",
                  onclick: act(async () => (await api.tasks.unblock(task.id), await reload())),
                },
                "Unblock",
              )
            : null,
        )
      : null,
    fields(task),
    h(
      "div",
      { className: "pair tall" },
      h("label", { htmlFor: "task-description" }, "Description"),
      editable(
        "description",
        (text) => text.trim() || null,
        { id: "task-description", rows: 4, maxLength: 65536, placeholder: "Nothing yet" },
        "textarea",
      ),
    ),
    task.blocked_at || task.status === "completed" || !isWriter ? null : lasting(".block", blockForm),
    lasting(".talk", commentList),
    lasting(".past", historyList),
    h(
      "p",
      { className: "muted" },
      `Created ${shownMoment(task.created_at)}${task.completed_at ? `, completed ${shownMoment(task.completed_at)}` : ""}`,
    ),
  ];
  place.replaceChildren(...parts.filter(Boolean));
  putTyped();
  grow(title);
  title.addEventListener("input", () => grow(title));
  for (const [name, value] of kept.get(task.id) || [])
    for (const each of place.querySelectorAll(`[data-keep][name="${name}"]`)) each.value = value;
  place.scrollTop = scroll;
  return null;
}

onOpen(drawNewest);
