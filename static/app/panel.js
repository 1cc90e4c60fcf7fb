// One task, changed in place: each field is sent when it is left, if nobody else was first.
import { h, say } from "../shared/dom.js";
import { moment as shownMoment } from "../shared/format.js";
import { act, assign, remove, toggle } from "./actions.js";
import { change, now } from "./address.js";
import * as api from "./api.js";
import { commentList } from "./comments.js";
import { choose, disputed } from "./conflict.js";
import { historyList } from "./history.js";
import { icon, stateIcon } from "./icons.js";
import { PRIORITIES, knowName, may, membersOf, model, nameOf, stateOf, statesOf } from "./model.js";
import * as store from "./store.js";
import { dueText, moment } from "./words.js";

const place = document.getElementById("panel");
let open = null;

export const openId = () => open?.task.id ?? null;

export function close() {
  open = shape = null;
  place.hidden = true;
  place.replaceChildren();
  document.body.classList.remove("panel-open");
}

export const show = act(async (id) => {
  if (!id) return close();
  if (open?.task.id === Number(id)) return null;
  place.hidden = false;
  document.body.classList.add("panel-open");
  const known = store.get(id);
  if (!open) place.replaceChildren(h("p", { className: "muted" }, known ? known.title : "Loading"));
  try {
    const { value, etag } = await api.tasks.get(id);
    if (now().task !== String(id)) return null;
    open = { task: value, etag };
    await membersOf(value.project_id);
    draw();
    place.querySelector("h2").focus({ preventScroll: true });
  } catch (error) {
    if (!error.status) throw error;
    open = null;
    place.replaceChildren(h("div", { className: "panel-top" }, closeButton()), h("p", { className: "notice" }, error.status === 404 ? "This task is not there, or not yours to see." : error.message));
  }
  return null;
});

// The field of the panel that is being changed, or null.
function busy() {
  const field = place.contains(document.activeElement) ? document.activeElement : null;
  return field?.dataset.dirty ? field : null;
}

// What others did to the open task, unless a field of it is being changed.
export const refresh = act(async (event) => {
  if (!open) return null;
  if (event.type === "task.deleted") return gone();
  const { updated_at: at } = event.data.task || {};
  if (event.type.startsWith("task.") && at === open.task.updated_at) return null;
  const { value, etag } = await api.tasks.get(open.task.id);
  if (open?.task.id !== value.id) return null;
  const field = busy();
  if (field) {
    // The tag stays the old one, so that sending the field shows both.
    open.task = { ...value, [field.name]: open.task[field.name] };
    say("Somebody else has just changed this task.");
    return null;
  }
  open = { task: value, etag };
  if (event.type.startsWith("comment.")) place.querySelector(".talk")?.load();
  if (place.querySelector(".past")?.open) place.querySelector(".past").load();
  return drawAround();
});

// Draws all anew, and leaves the focus and the caret where they are.
function drawAround() {
  const field = place.contains(document.activeElement) ? document.activeElement : null;
  const [name, from, to] = [field?.name, field?.selectionStart, field?.selectionEnd];
  draw();
  const again = name ? place.querySelector(`[name="${name}"]`) : null;
  again?.focus({ preventScroll: true });
  if (again?.setSelectionRange && from !== null && from !== undefined) again.setSelectionRange(from, to);
}

function gone() {
  say(`"${open.task.title}" was deleted.`);
  change({ task: null });
}

// -- changing ---------------------------------------------------------------------------------------

let queue = Promise.resolve();

// One change after the other, so that none is taken for somebody else's.
function save(fields) {
  const before = { ...open.task };
  queue = queue.catch(() => undefined).then(() => send(before, fields));
  return queue;
}

async function send(before, fields) {
  let etag = open?.task.id === before.id ? open.etag : undefined;
  for (;;) {
    try {
      return took(await api.tasks.change(before.id, fields, etag));
    } catch (error) {
      if (error.status !== 412) {
        if (open?.task.id === before.id) draw();
        throw error;
      }
    }
    const theirs = await api.tasks.get(before.id);
    const names = disputed(fields, before, theirs.value);
    // What they changed is something else: both changes stay.
    if (names.length && (await choose(names, fields, theirs.value)) !== "mine") return took(theirs);
    Object.assign(before, Object.fromEntries(names.map((name) => [name, theirs.value[name]])));
    etag = theirs.etag;
  }
}

function took({ value, etag }) {
  store.put(value);
  if (open?.task.id !== value.id) return;
  open = { task: value, etag };
  drawAround();
}

const reload = async () => took(await api.tasks.get(open.task.id));

// What each field shows of a task.
const SHOWN = {
  title: (task) => task.title,
  description: (task) => task.description || "",
  tags: (task) => task.tags.join(", "),
  due_at: (task) => dueText(task.due_at),
  project: (task) => task.project,
  state: (task) => stateOf(task).key,
  priority: (task) => String(task.priority),
  project_id: (task) => String(task.project_id ?? ""),
};

// A field that is sent when it is left with another value.
function editable(name, read, properties, kind = "input") {
  const control = h(kind, {
    name,
    disabled: !may("member", open.task.project_id),
    value: SHOWN[name](open.task),
    oninput: () => (control.dataset.dirty = "1"),
    onkeydown(event) {
      if (event.key === "Enter" && (kind === "input" || name === "title" || event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        control.blur();
      }
      if (event.key === "Escape" && control.dataset.dirty) {
        event.stopPropagation();
        control.value = SHOWN[name](open.task);
        delete control.dataset.dirty;
      }
    },
    onblur: act(async () => {
      if (!control.dataset.dirty) return;
      const value = read(control.value);
      const isSame = value === undefined || JSON.stringify(value) === JSON.stringify(open.task[name]);
      try {
        if (!isSame) await save({ [name]: value });
      } finally {
        // It may have been gone on with in the meantime.
        if (document.activeElement !== control) delete control.dataset.dirty;
        refill();
      }
    }),
    ...properties,
  });
  return control;
}

function labelled(label, control) {
  control.id = `task-${control.name}`;
  return h("div", { className: "pair" }, h("label", { htmlFor: control.id }, label), control);
}

function choice(name, options, value, changed) {
  return h("select", { name, disabled: !may("member", open.task.project_id), onchange: act((event) => changed(event.target.value)) }, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
}

function readDue(text) {
  if (!text.trim()) return null;
  const at = moment(text.trim());
  if (at) return at.toISOString();
  say(`"${text}" is no time: try today, tomorrow, today+7d, 2026-12-31 or 2026-12-31 14:00.`, 12);
  return undefined;
}

const readTags = (text) => [...new Set(text.split(",").map((tag) => tag.trim().replace(/^#/, "")).filter(Boolean))];

// -- showing ----------------------------------------------------------------------------------------

const closeButton = () => h("button", { type: "button", className: "bare", "aria-label": "Close (Escape)", onclick: () => change({ task: null }) }, icon("close"));

// What the panel is made of: while that stays the same, its fields are only filled again.
const shapeOf = (task) => JSON.stringify([task.id, task.project_id, task.status, task.blocked_at, task.blocked_reason, task.user_id, statesOf(task.project_id), model.projects.length]);
let shape = null;

function refill() {
  if (!open) return;
  for (const [name, show] of Object.entries(SHOWN)) {
    const control = place.querySelector(`[name="${name}"]`);
    if (!control || control.dataset.dirty) continue;
    if (control.value !== show(open.task)) control.value = show(open.task);
    if (name === "title") grow(control);
  }
  place.querySelector("h2").textContent = open.task.title;
}

function draw() {
  const { task } = open;
  if (shape === shapeOf(task) && place.querySelector(".task-title")) return refill();
  shape = shapeOf(task);
  const isWriter = may("member", task.project_id);
  const scroll = place.scrollTop;
  const texts = [...place.querySelectorAll("[data-keep]")].map((each) => [each.name, each.value]);
  const title = editable("title", (text) => text.replace(/\s*\n\s*/g, " ").trim() || undefined, { className: "task-title", maxLength: 500, "aria-label": "Title", rows: 1 }, "textarea");
  const heading = h("h2", { className: "unseen", tabIndex: -1 }, task.title);
  const parts = [
    h(
      "div",
      { className: "panel-top" },
      h("button", { type: "button", className: "state big", disabled: !isWriter, onclick: async () => (await toggle([task]), await act(reload)()) }, stateIcon(task.status), task.status === "completed" ? "Open again" : "Complete"),
      h("span", { className: "muted" }, `#${task.id}`),
      isWriter ? h("button", { type: "button", className: "bare", "aria-label": "Delete", title: "Delete (Delete)", onclick: () => (change({ task: null }), remove([task])) }, icon("trash")) : null,
      closeButton(),
    ),
    heading,
    title,
    task.blocked_at ? h("p", { className: "notice blocked" }, icon("blocked"), h("span", {}, "Blocked: ", task.blocked_reason), isWriter ? h("button", { type: "button", onclick: act(async () => (await api.tasks.unblock(task.id), await reload())) }, "Unblock") : null) : null,
    fields(task),
    h("div", { className: "pair tall" }, h("label", { htmlFor: "task-description" }, "Description"), editable("description", (text) => text.trim() || null, { id: "task-description", rows: 4, maxLength: 65536, placeholder: "Nothing yet" }, "textarea")),
    task.blocked_at || task.status === "completed" || !isWriter ? null : blockForm(task),
    commentList(task),
    historyList(task),
    h("p", { className: "muted" }, `Created ${shownMoment(task.created_at)}${task.completed_at ? `, completed ${shownMoment(task.completed_at)}` : ""}`),
  ];
  place.replaceChildren(...parts.filter(Boolean));
  grow(title);
  title.addEventListener("input", () => grow(title));
  for (const [name, value] of texts) if (value) for (const each of place.querySelectorAll(`[data-keep][name="${name}"]`)) each.value = value;
  place.scrollTop = scroll;
  return null;
}

function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

function fields(task) {
  const states = statesOf(task.project_id).map((state) => [state.key, state.name]);
  const setState = (key) => save(task.project_id ? { state: key } : { status: key });
  const homes = [["", task.project_id ? "Nobody else's" : `Only mine (${task.project})`], ...model.projects.filter((each) => !each.archived_at || each.id === task.project_id).map((each) => [String(each.id), each.name])];
  return h(
    "div",
    { className: "pairs" },
    labelled("State", choice("state", states, stateOf(task).key, setState)),
    labelled("Priority", choice("priority", PRIORITIES.map((name, at) => [String(at), name]), String(task.priority), (value) => save({ priority: Number(value) }))),
    labelled("Due", editable("due_at", readDue, { placeholder: "tomorrow, today+7d, 2026-12-31" })),
    labelled("Tags", editable("tags", readTags, { placeholder: "writing, urgent" })),
    homes.length > 1 ? labelled("Project", choice("project_id", homes, task.project_id ? String(task.project_id) : "", (value) => save({ project_id: value ? Number(value) : null }))) : null,
    task.project_id ? null : labelled("Label", editable("project", (text) => text.trim() || undefined, { maxLength: 100 })),
    owner(task),
  );
}

function owner(task) {
  if (task.project_id) {
    const control = choice("user_id", [[String(task.user_id), nameOf(task.user_id)]], String(task.user_id), async (value) => (await assign([task], Number(value)), await reload()));
    membersOf(task.project_id).then((members) => {
      const others = members.filter((each) => each.role !== "viewer" && each.user_id !== task.user_id);
      control.append(...others.map((each) => h("option", { value: String(each.user_id) }, each.username)));
    });
    return labelled("Owner", control);
  }
  const hand = async (name) => {
    const found = await api.account.lookup(name);
    knowName(found.id, found.username);
    await assign([task], found.id);
    change({ task: null });
    store.drop(task.id);
  };
  const input = h("input", { name: "owner", value: nameOf(task.user_id), autocapitalize: "none", onchange: act((event) => event.target.value.trim() && event.target.value.trim() !== nameOf(task.user_id) && hand(event.target.value.trim())) });
  return labelled("Owner", input);
}

function blockForm(task) {
  const input = h("input", { name: "reason", required: true, maxLength: 500, placeholder: "What is it waiting for?", "aria-label": "Why it is blocked", "data-keep": "1" });
  return h(
    "details",
    { className: "block" },
    h("summary", {}, "Mark as blocked"),
    h("form", { className: "line", onsubmit: act(async (event) => (event.preventDefault(), await api.tasks.block(task.id, input.value), (input.value = ""), await reload())) }, input, h("button", { type: "submit" }, "Block")),
  );
}
