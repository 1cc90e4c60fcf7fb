// Importing tasks from a file: the meaning of its columns, a preview of the first rows, and a list of the
// parts that are left out.
import { act } from "../shared/act.js";
import { h, say } from "../shared/dom.js";
import { count, cut, number } from "../shared/format.js";
import { go, now } from "./address.js";
import * as api from "./api.js";
import { TARGETS, readFile } from "./formats.js";
import { tasksFrom } from "./mapping.js";
import { PRIORITIES, STATUSES, may, openProjects } from "./model.js";
import { frame, markTyped, table } from "./page.js";
import { due } from "./words.js";

const SAMPLE = 5;
const PART = 5000;
const PART_BYTES = 24 * 1024 * 1024;

export async function importPage(place) {
  const out = h("div", { className: "stack" });
  const take = act(async (file) => {
    if (!file) return;
    markTyped(out);
    try {
      mapping(out, file.name, readFile(file.name, await file.text()));
    } catch (error) {
      out.replaceChildren(h("p", { className: "notice", role: "alert" }, error.message));
    }
  });
  const input = h("input", {
    type: "file",
    id: "import-file",
    accept: ".csv,.json,.ndjson,.jsonl,.txt,text/csv,application/json",
    onchange: () => take(input.files[0]),
  });
  const drop = h(
    "div",
    {
      className: "drop",
      ondragover: (event) => (event.preventDefault(), drop.classList.add("target")),
      ondragleave: () => drop.classList.remove("target"),
      ondrop(event) {
        event.preventDefault();
        drop.classList.remove("target");
        take(event.dataTransfer.files[0]);
      },
    },
    h("label", { htmlFor: "import-file" }, h("strong", {}, "Choose a file"), ", or drop one here"),
    input,
    h(
      "p",
      { className: "muted" },
      "CSV of Todoist, Jira, GitHub or a spreadsheet; JSON of GitHub, Trello or Vikunja; JSON, NDJSON or CSV of this program. Nothing is sent before you have seen how it comes out.",
    ),
  );
  frame(place, "Import", h("section", { className: "card" }, drop), out);
}
importPage.title = "Import";

function mapping(out, name, source) {
  const meaning = [...source.meaning];
  // The number of tasks that are imported already: the others may get another meaning.
  const progress = { done: 0 };
  const preview = h("section", { className: "card" });
  const homes = openProjects().filter((each) => may("member", each.id));
  const home = h(
    "select",
    { id: "import-home" },
    h("option", { value: "" }, "My own tasks"),
    homes.map((each) =>
      h("option", { value: each.id, selected: String(each.id) === now().project }, each.name),
    ),
  );
  const rows = source.columns.map((column, at) => {
    const sample = source.rows.map((row) => row[at]).find((cell) => cell?.toString().trim()) || "";
    const choice = h(
      "select",
      {
        "aria-label": `${column || "A column without a name"} means`,
        onchange: () => ((meaning[at] = choice.value), show()),
      },
      TARGETS.map(([value, label]) => h("option", { value, selected: value === meaning[at] }, label)),
    );
    return [
      h("span", {}, column || "(no name)"),
      h("span", { className: "muted sample" }, cut(sample.toString(), 60)),
      choice,
    ];
  });

  function show() {
    const { tasks, notes } = tasksFrom(source, meaning);
    const left = source.columns.filter(
      (column, at) => !meaning[at] && source.rows.some((row) => row[at]?.toString().trim()),
    );
    const missing = [...left.map((column) => `the column ${column || "without a name"}`), ...source.left];
    const { done } = progress;
    const parts = partsOf(tasks.slice(done));
    const button = h(
      "button",
      {
        type: "button",
        className: "main",
        disabled: tasks.length <= done,
        onclick: act(() => send(out, tasks, parts, home.value, button, progress)),
      },
      importWords(tasks, done),
    );
    preview.replaceChildren(
      h("h2", {}, "As it comes out"),
      tasks.length
        ? sampleOf(tasks)
        : h("p", { className: "notice" }, "No row has a title: say which column is the title."),
      h("h3", {}, "Not taken"),
      missing.length || notes.length
        ? h(
            "ul",
            { className: "left" },
            [...missing, ...notes.slice(0, 20)].map((text) => h("li", {}, text)),
          )
        : h("p", { className: "muted" }, "Everything is taken."),
      h("div", { className: "field" }, h("label", { htmlFor: "import-home" }, "Into"), home),
      h("p", { className: "buttons" }, button),
    );
  }

  out.replaceChildren(
    h(
      "section",
      { className: "card" },
      h("h2", {}, `${name}: ${source.name}, ${count(source.rows.length, "row")}`),
      table("What the columns mean", ["Column", "For example", "Means"], rows, ""),
    ),
    preview,
  );
  show();
  preview.querySelector("button.main").focus({ preventScroll: true });
}

function sampleOf(tasks) {
  const status = Object.fromEntries(STATUSES);
  const rows = tasks
    .slice(0, SAMPLE)
    .map((task) => [
      task.title,
      status[task.status || "pending"],
      PRIORITIES[task.priority || 0],
      task.project || "General",
      (task.tags || []).join(", "),
      task.due_at ? due(task.due_at) : "",
      task.completed_at ? due(task.completed_at) : "",
    ]);
  return table(
    "The first rows",
    ["Title", "Status", "Priority", "Label", "Tags", "Due", "Completed"],
    rows,
    "",
  );
}

const importWords = (tasks, done) => `Import ${done ? "the other " : ""}${count(tasks.length - done, "task")}`;

// Splits tasks into parts that the server accepts, by number and by size.
function partsOf(tasks) {
  const parts = [];
  let [part, bytes] = [[], 0];
  for (const task of tasks) {
    const size = JSON.stringify(task).length * 2;
    if (part.length === PART || (part.length && bytes + size > PART_BYTES)) {
      parts.push(part);
      [part, bytes] = [[], 0];
    }
    part.push(task);
    bytes += size;
  }
  return [...parts, part];
}

// Sends the parts that are still to be sent. If one fails, the button sends the rest: what was imported stays.
async function send(out, tasks, parts, projectId, button, progress) {
  const done = () => progress.done;
  const enable = (isOn) => {
    for (const each of [button, ...out.querySelectorAll("select")]) each.disabled = !isOn;
  };
  // Another meaning or project while the tasks are sent would import them again.
  enable(false);
  try {
    while (parts.length) {
      button.textContent = `${number(done())} of ${number(tasks.length)}`;
      await api.tasks.send(parts[0], projectId);
      progress.done += parts.shift().length;
    }
    say(`${count(done(), "task")} imported.`);
    // The person may have gone elsewhere meanwhile.
    if (!out.isConnected) return;
    go(projectId ? { project: projectId, status: "all" } : { status: "all" });
  } catch (error) {
    enable(true);
    button.textContent = importWords(tasks, done());
    if (error.status === undefined) throw error;
    if (!out.isConnected)
      say(`The import has ended: ${error.message} ${number(done())} of ${number(tasks.length)} are imported.`, 0);
    const problems = (error.errors || []).slice(0, 10).map(({ pointer, detail }) => {
      const [, row, field] = /^#\/(\d+)\/?(.*)$/.exec(pointer) || [];
      return h(
        "li",
        {},
        row === undefined ? detail : `Row ${Number(row) + done() + 1}${field ? `, ${field}` : ""}: ${detail}`,
      );
    });
    // Without an answer nobody knows about the last part. Sending it again imports it only once.
    const before = done() ? `The first ${number(done())} are imported.` : error.status ? "Nothing was imported." : "";
    out.querySelector(".refused")?.remove();
    out.append(
      h(
        "div",
        { className: "notice refused", role: "alert" },
        h("p", {}, before, " ", problems.length ? "" : error.message),
        h("ul", {}, problems),
      ),
    );
  }
}
