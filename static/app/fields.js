// The fields of the open task. A field is sent when it loses the focus.
import { act } from "../shared/act.js";
import { h, say } from "../shared/dom.js";
import { LoggedOut } from "../shared/session.js";
import { assign, moved } from "./actions.js";
import { change } from "./address.js";
import * as api from "./api.js";
import { addCalendar } from "./calendar.js";
import { PRIORITIES, knowName, may, membersOf, model, nameOf, projectOf, stateOf, statesOf } from "./model.js";
import { sendText } from "./kept.js";
import { open, reload, save } from "./opened.js";
import { due, dueText, isOverdue, moment, tagsOf, tagsText } from "./words.js";

const place = document.getElementById("panel");

// The value that each field shows.
const SHOWN = {
  title: (task) => task.title,
  description: (task) => task.description || "",
  tags: (task) => tagsText(task.tags),
  due_at: (task) => dueText(task.due_at),
  project: (task) => task.project,
  state: (task) => stateOf(task).key,
  priority: (task) => String(task.priority),
  project_id: (task) => String(task.project_id ?? ""),
  user_id: (task) => String(task.user_id),
};

// The texts that could not be sent, by the task's id and the field's name: they are there again with the task.
// Each has the value that the person saw, so that a change by others in between is noticed.
export const unsent = new Map();

// The value that the person saw when they began to type, by the control.
const seen = new WeakMap();

function startTyping(control, before) {
  control.dataset.dirty = "1";
  seen.set(control, before);
}

// A field that is sent when it loses the focus with another value.
export function editable(name, read, properties, kind = "input") {
  const { task } = open;
  const key = `${task.id} ${name}`;
  // The panel may have been drawn again while a text was sent.
  const current = () => (open.task?.id === task.id && place.querySelector(`[name="${name}"]`)) || control;
  const clean = () => {
    delete current().dataset.dirty;
    current().removeAttribute("aria-invalid");
    unsent.delete(key);
  };
  const control = h(kind, {
    name,
    disabled: !may("member", task.project_id),
    value: unsent.get(key)?.typed ?? SHOWN[name](task),
    oninput: () => control.dataset.dirty || startTyping(control, open.task[name]),
    onkeydown(event) {
      if (event.isComposing) return;
      if (event.key === "Enter" && (kind === "input" || name === "title" || event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        control.blur();
      }
      if (event.key === "Escape" && control.dataset.dirty) {
        event.stopPropagation();
        control.value = SHOWN[name](open.task);
        clean();
      }
    },
    onblur: act(async () => {
      // A field that leaves the page loses the focus too, perhaps when another task is open.
      if (!control.dataset.dirty || open.task?.id !== task.id) return;
      const sent = stateOfField(control);
      const { before, typed } = sent;
      const value = read(typed);
      try {
        if (value !== undefined && JSON.stringify(value) !== JSON.stringify(before))
          await save({ [name]: value }, { [name]: before });
      } catch (error) {
        // The text stays, to be corrected or sent again. Escape gives it up.
        current().setAttribute("aria-invalid", "true");
        unsent.set(key, sent);
        if (error instanceof LoggedOut) throw error;
        throw Object.assign(error, { message: `Not saved: ${error.message}` });
      }
      // The person may have typed more meanwhile.
      if (document.activeElement !== current() && current().value === typed) clean();
      else if (open.task?.id === task.id) seen.set(current(), open.task[name]);
      refill();
    }),
    ...properties,
  });
  // A text that could not be sent is to be sent again.
  if (unsent.has(key)) {
    startTyping(control, unsent.get(key).before);
    control.setAttribute("aria-invalid", "true");
  }
  return control;
}

// The text in a field, with the value that the person saw.
const stateOfField = (control) => ({ typed: control.value, before: seen.get(control) });

// Keeps the text in a field of the open task for the time when the task is opened again.
export function leaveUnsent(control) {
  unsent.set(`${open.task.id} ${control.name}`, stateOfField(control));
}

// Takes the texts that are being typed out of the fields, which are about to be drawn again. Answers the function that
// puts them into the new fields.
export function carryTyped(controls) {
  const texts = controls.map((control) => [control.name, stateOfField(control)]);
  // A field that leaves the page loses the focus, and is not to be sent by that.
  for (const control of controls) delete control.dataset.dirty;
  return () => {
    for (const [name, { typed, before }] of texts) {
      const control = place.querySelector(`[name="${name}"]`);
      if (!control) continue;
      control.value = typed;
      startTyping(control, before);
    }
  };
}

// Sends again what was typed while the server could not be reached.
export function sendUnsent() {
  for (const control of place.querySelectorAll("[data-dirty]"))
    if (control !== document.activeElement) control.dispatchEvent(new FocusEvent("blur"));
}

function labelled(label, control, more = null) {
  control.id = `task-${control.name}`;
  return h("div", { className: "pair" }, h("label", { htmlFor: control.id }, label), more, control);
}

// The due date as people say it, beside the field that has it as it is typed.
const meant = (task) => (task.due_at ? due(task.due_at) : "");

function choice(name, options, value, changed) {
  return h(
    "select",
    {
      name,
      disabled: !may("member", open.task.project_id),
      onchange: act((event) => changed(event.target.value)),
    },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
}

function readDue(text) {
  if (!text.trim()) return null;
  const at = moment(text.trim());
  if (at) return at.toISOString();
  say(`"${text}" is no time: try friday, tomorrow 14:00, today+7d or 2026-12-31.`, 12);
  return undefined;
}

const readTags = (text) => tagsOf(text, ",", (word) => word.replace(/^#/, ""));

// Shows the current task, except in a field where somebody is typing.
export function refill() {
  if (!open.task) return;
  for (const [name, show] of Object.entries(SHOWN)) {
    const control = place.querySelector(`[name="${name}"]`);
    if (!control || control.dataset.dirty) continue;
    if (control.value !== show(open.task)) control.value = show(open.task);
    if (name === "title") grow(control);
  }
  place.querySelector(".meant").textContent = meant(open.task);
  place.querySelector("h2").textContent = open.task.title;
}

function dueField(task) {
  const control = editable("due_at", readDue, { placeholder: "friday, tomorrow 14:00" });
  const said = h("span", { className: isOverdue(task) ? "meant problem" : "meant" }, meant(task));
  const pair = labelled("Due", control, said);
  addCalendar(control, () => {
    if (!control.dataset.dirty) startTyping(control, open.task.due_at);
    control.dispatchEvent(new FocusEvent("blur"));
  });
  return pair;
}

export function fields(task) {
  const states = statesOf(task.project_id).map((state) => [state.key, state.name]);
  const setState = (key) => save(task.project_id ? { state: key } : { status: key });
  const homes = [
    ["", task.project_id ? "Nobody else's" : `Only mine (${task.project})`],
    ...model.projects
      .filter((each) => !each.archived_at || each.id === task.project_id)
      .map((each) => [String(each.id), each.name]),
  ];
  return h(
    "div",
    { className: "pairs" },
    labelled("State", choice("state", states, stateOf(task).key, setState)),
    labelled(
      "Priority",
      choice(
        "priority",
        PRIORITIES.map((name, at) => [String(at), name]),
        String(task.priority),
        (value) => save({ priority: Number(value) }),
      ),
    ),
    dueField(task),
    labelled("Tags", editable("tags", readTags, { placeholder: "writing, urgent" })),
    homes.length > 1
      ? labelled(
          "Project",
          choice("project_id", homes, task.project_id ? String(task.project_id) : "", async (value) => {
            const before = open.task;
            const saved = await save({ project_id: value ? Number(value) : null });
            if (String(saved.project_id ?? "") === value)
              await moved(before, saved, value ? projectOf(value).name : "no shared project");
          }),
        )
      : null,
    task.project_id
      ? null
      : labelled(
          "Label",
          editable("project", (text) => text.trim() || undefined, { maxLength: 100 }),
        ),
    owner(task),
  );
}

function owner(task) {
  if (task.project_id) {
    const control = choice(
      "user_id",
      [[String(task.user_id), nameOf(task.user_id)]],
      String(task.user_id),
      async (value) => {
        await assign([task], Number(value));
        // The server may have refused.
        refill();
        await reload();
      },
    );
    act(async () => {
      const members = await membersOf(task.project_id);
      const others = members.filter((each) => each.role !== "viewer" && each.user_id !== task.user_id);
      control.append(...others.map((each) => h("option", { value: String(each.user_id) }, each.username)));
    })();
    return labelled("Owner", control);
  }
  const hand = async (name) => {
    const found = await api.account.lookup(name);
    knowName(found.id, found.username);
    await assign([task], found.id);
    if (open.task?.id === task.id) change({ task: null });
  };
  const input = h("input", {
    name: "owner",
    value: nameOf(task.user_id),
    autocapitalize: "none",
    onchange: act(
      (event) =>
        event.target.value.trim() &&
        event.target.value.trim() !== nameOf(task.user_id) &&
        hand(event.target.value.trim()),
    ),
  });
  return labelled("Owner", input);
}

export function blockForm(task) {
  const input = h("input", {
    name: "reason",
    required: true,
    maxLength: 500,
    placeholder: "What is it waiting for?",
    "aria-label": "Why it is blocked",
    "data-keep": "1",
  });
  return h(
    "details",
    { className: "block", ontoggle: (event) => event.target.open && input.focus() },
    h("summary", {}, "Mark as blocked"),
    h(
      "form",
      {
        className: "line",
        onsubmit: act(
          async (event) => (
            event.preventDefault(),
            await sendText(task.id, input, (reason) => api.tasks.block(task.id, reason)),
            await reload()
          ),
        ),
      },
      input,
      h("button", { type: "submit" }, "Block"),
    ),
  );
}

// A text area as high as its content.
export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}
