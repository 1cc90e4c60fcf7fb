// Small dialogs that change the marked tasks, or the active one.
import { act } from "../shared/act.js";
import { field, h, say } from "../shared/dom.js";
import { weekday } from "../shared/format.js";
import { addTag, assign, move, remove, setFields, setState, short, toggle, writable } from "./actions.js";
import * as api from "./api.js";
import { addCalendar } from "./calendar.js";
import { dialog, form, standBeside } from "./dialog.js";
import { stateIcon, priorityIcon } from "./icons.js";
import { clear, concerned, isMarked, marked } from "./marks.js";
import { PRIORITIES, knowName, membersOf, openProjects, statesOf } from "./model.js";
import * as store from "./store.js";
import { due, dueText, moment } from "./words.js";

const about = (tasks) => (tasks.length === 1 ? `"${short(tasks[0].title)}"` : `${tasks.length} tasks`);

// A list to choose from, by arrow keys and Enter or by a click.
function choose(title, options, chosen, near) {
  const buttons = options.map(([value, label, picture]) =>
    h(
      "button",
      { type: "button", role: "menuitem", onclick: () => (element.close(), chosen(value)) },
      picture || null,
      label,
    ),
  );
  const onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement);
    buttons[(at + step + buttons.length) % buttons.length].focus();
  };
  const element = dialog(
    title,
    h("div", { className: "menu-list", role: "menu", "aria-label": title, onkeydown }, buttons),
    { near },
  );
  buttons[0]?.focus();
}

function ask(title, label, properties, button, send, { hint = null, near = null } = {}) {
  const element = dialog(
    title,
    form(
      [
        field(label, { name: "value", required: true, autocomplete: "off", ...properties }),
        hint ? h("p", { className: "muted" }, hint) : null,
      ],
      button,
      async ({ value }) => {
        await send(value.trim());
        element.close();
      },
    ),
    { near },
  );
  element.querySelector("input").focus();
  element.querySelector("input").select();
  return element;
}

const sameProject = (tasks) => tasks.every((task) => task.project_id === tasks[0].project_id);

const PICKERS = {
  toggle: (tasks) => toggle(tasks),
  remove: (tasks) => remove(tasks) && clear(),
  state(tasks) {
    if (!sameProject(tasks)) {
      say("These tasks are of several projects, whose states differ.");
      return;
    }
    choose(
      `State of ${about(tasks)}`,
      statesOf(tasks[0].project_id).map((state) => [state.key, state.name, stateIcon(state.status)]),
      (key) => setState(tasks, key),
    );
  },
  priority(tasks, near) {
    choose(
      `Priority of ${about(tasks)}`,
      PRIORITIES.map((name, at) => [at, name, priorityIcon(at)]),
      (value) => setFields(tasks, { priority: value }, PRIORITIES[value].toLowerCase()),
      near,
    );
  },
  due(tasks, near) {
    const set = (at) =>
      setFields(tasks, { due_at: at ? at.toISOString() : null }, at ? `due ${due(at)}` : "never due");
    const read = async (value) => {
      const at = value ? moment(value) : null;
      if (value && !at)
        throw Object.assign(new Error("That is no time."), {
          errors: [{ pointer: "#/value", detail: "Try friday, tomorrow 14:00, today+7d or 2026-12-31." }],
        });
      set(at);
    };
    const [{ due_at: first }] = tasks;
    const value = tasks.every((task) => task.due_at === first) ? dueText(first) : "";
    const field = { required: false, value, placeholder: "friday, tomorrow 14:00, 2026-12-31" };
    const element = ask(`Due date of ${about(tasks)}`, "Another time", field, "Set", read, { near });
    const days = [["Today", "today"], ["Tomorrow", "tomorrow"], ["Monday", "monday"], ["In a week", "today+7d"]];
    const way = (name, at) =>
      h(
        "button",
        { type: "button", onclick: () => (element.close(), set(at)) },
        name,
        at ? h("span", { className: "muted" }, weekday(at)) : null,
      );
    element
      .querySelector("form")
      .before(
        h(
          "div",
          { className: "menu-list" },
          days.map(([name, word]) => way(name, moment(word))),
          tasks.some((task) => task.due_at) ? way("Never", null) : null,
        ),
      );
    const control = element.querySelector("form input");
    addCalendar(control, () => control.form.requestSubmit());
    control.focus();
    control.select();
    if (near) standBeside(element, near);
  },
  tag(tasks) {
    ask(
      `Tag ${about(tasks)}`,
      "Tag",
      { maxLength: 50 },
      "Add",
      (value) => void addTag(tasks, value.replace(/^#/, "")),
    );
  },
  async assign(tasks, near) {
    const [{ project_id: projectId }] = tasks;
    if (projectId && sameProject(tasks)) {
      const members = (await membersOf(projectId)).filter((each) => each.role !== "viewer");
      choose(
        `Give ${about(tasks)} to`,
        members.map((each) => [each.user_id, each.username]),
        (id) => assign(tasks, id),
        near,
      );
      return;
    }
    const give = async (value) => {
      const found = await api.account.lookup(value);
      knowName(found.id, found.username);
      await assign(tasks, found.id);
    };
    ask(`Give ${about(tasks)} to`, "Username", { autocapitalize: "none" }, "Assign", give, { near });
  },
  move(tasks, near) {
    const open = openProjects();
    choose(
      `Move ${about(tasks)} to`,
      [...open.map((each) => [each.id, each.name]), [null, "No shared project"]],
      (id) => move(tasks, id, id === null ? "no shared project" : open.find((each) => each.id === id).name),
      near,
    );
  },
  block(tasks) {
    ask(`Block ${about(tasks)}`, "What is it waiting for?", { maxLength: 500 }, "Block", async (reason) => {
      for (const task of tasks) store.put(await api.tasks.block(task.id, reason));
    });
  },
};

// Changes the marked tasks, or the active one.
export const pick = act(async (name) => {
  const tasks = writable(concerned());
  if (tasks.length) await PICKERS[name](tasks);
});

// Changes the task of a row, or all marked tasks if it is one of them, by a menu beside the clicked value.
export const pickFor = act((name, task, near) => PICKERS[name](isMarked(task.id) ? marked() : [task], near));
