// Adds a task from one line, and shows while typing how the line is understood.
import { act } from "../shared/act.js";
import { completed } from "../shared/completing.js";
import { h, say } from "../shared/dom.js";
import { short } from "./actions.js";
import { now } from "./address.js";
import * as api from "./api.js";
import { icon } from "./icons.js";
import { activate } from "./marks.js";
import { pastedLines } from "./pasted.js";
import { PRIORITIES, may, openProjects, project, projectOf } from "./model.js";
import * as store from "./store.js";
import { due, taskFrom } from "./words.js";

const PART = /[#@]"[^"]*$|\S*$/;
const DAYS = ["today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday", "today+7d", "today+1mo"];
const quoted = (text) => (/[\s"]/.test(text) ? `"${text.replaceAll('"', "")}"` : text);
const among = (values) => [...new Set(values)].sort();

// A label that no task on the page has may be a mistyped project.
const isNew = (label) => Boolean(label) && !store.all().some((task) => task.project === label);
const noProject = (label) => `no open project is named ${label}`;

// The words that may follow: tags and projects that there are, priorities and days.
function offers(head, begun) {
  if (begun[0] === "#") return among(store.all().flatMap((task) => task.tags)).map((tag) => `#${quoted(tag)}`);
  if (begun[0] === "@") {
    const labels = store.all().map((task) => task.project);
    return among([...openProjects().map((each) => each.name), ...labels]).map((name) => `@${quoted(name)}`);
  }
  if (begun[0] === "!") return ["!low", "!medium", "!high", "!urgent"];
  if (/^due:/i.test(begun)) return DAYS.map((day) => `due:${day}`);
  return /(^|\s)due:?\s$/i.test(head) ? DAYS : [];
}

// The line that is being written: the page may be drawn again, or the session may end, before it is sent.
let draft = "";

export function quickAdd() {
  const input = h("input", {
    className: "quick",
    name: "quick",
    placeholder: "Add a task: #tag !priority @project due tomorrow",
    "aria-label": "Add a task",
    "aria-describedby": "quick-read",
    maxLength: 700,
    value: draft,
    oninput: show,
  });
  // The project whose name is above the line: another one may be on its way already.
  const here = project();
  const read = h("p", { className: "quick-read", id: "quick-read", "aria-live": "polite" });
  const element = h(
    "form",
    { className: "add", onsubmit: act(send) },
    icon("plus"),
    h("div", { className: "offering" }, input, completed(input, "What could be meant", PART, offers)),
    h("button", { type: "submit", className: "main" }, "Add"),
    read,
    pastedLines(input, taskOf, factsOf),
  );

  function placed(task) {
    return here && !task.project_id && !task.project ? { ...task, project_id: here.id } : task;
  }

  function understood(line) {
    const { task, problems } = taskFrom(line, openProjects());
    return { task: placed(task), problems };
  }

  // A line that is not understood is a title as a whole.
  function taskOf(line) {
    const { task, problems } = understood(line);
    return task.title && !problems.length ? task : placed({ title: line });
  }

  function factsOf(task) {
    return [
      ...(task.tags || []).map((tag) => h("span", { className: "fact tag" }, tag)),
      task.priority ? h("span", { className: "fact" }, PRIORITIES[task.priority]) : null,
      task.project_id && task.project_id !== here?.id
        ? h("span", { className: "fact project" }, `in ${projectOf(task.project_id).name}`)
        : null,
      task.project ? h("span", { className: "fact project" }, `labelled ${task.project}`) : null,
      isNew(task.project) ? h("span", {}, noProject(task.project)) : null,
      task.due_at ? h("span", { className: "fact due" }, `due ${due(task.due_at)}`) : null,
    ].filter(Boolean);
  }

  function show() {
    draft = input.value;
    if (!input.value.trim()) return read.replaceChildren();
    const { task, problems } = understood(input.value);
    return read.replaceChildren(
      ...factsOf(task),
      ...problems.map((text) => h("span", { className: "problem" }, text)),
    );
  }

  async function send(event) {
    event.preventDefault();
    const { task, problems } = understood(input.value);
    if (problems.length) return;
    if (!task.title) {
      say("A task needs a title.");
      return;
    }
    const line = input.value;
    const warning = isNew(task.project) ? ` It is only labelled: ${noProject(task.project)}.` : "";
    input.value = "";
    show();
    try {
      const made = await api.tasks.create(task);
      store.put(made);
      if (store.get(made.id)) activate(made.id);
      say(`Added "${short(made.title)}"${store.get(made.id) ? "" : ", which the filters hide"}.${warning}`);
    } catch (error) {
      giveBack(line, error);
      throw error;
    }
  }

  // The page may have been drawn again, and the next line be begun.
  function giveBack(line, error) {
    const place = input.isConnected ? input : document.querySelector(".quick");
    if (place?.value || (!place && draft)) error.message = `"${line}" was not added: ${error.message}`;
    else if (!place) draft = line;
    else {
      place.value = line;
      place.dispatchEvent(new Event("input"));
    }
  }

  // A viewer can't add tasks, and nobody can to an archived project.
  const isClosed = now().project && !may("member", Number(now().project));
  if (!isClosed) show();
  return isClosed ? null : element;
}
