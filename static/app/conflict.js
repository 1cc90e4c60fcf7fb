// Changes of what somebody else may have changed first. Shows both versions then, and asks which one to keep.
import { h } from "../shared/dom.js";
import { dialog } from "./dialog.js";
import { PRIORITIES, projectOf, same, statesOf } from "./model.js";
import { due } from "./words.js";

const NAMES = {
  title: "Title",
  description: "Description",
  status: "Status",
  state: "State",
  priority: "Priority",
  due_at: "Due",
  tags: "Tags",
  project: "Project",
  project_id: "Project",
  name: "Name",
  states: "States",
};

const stateWords = ({ name, status, wip_limit: limit, wip_policy: policy, waiting }) => {
  const atMost = limit ? `, at most ${limit}${policy === "block" ? " and no more" : ""}` : "";
  return `${name} (${WORDS.status(status).toLowerCase()}${atMost}${waiting ? ", waiting" : ""})`;
};

// The words for the values that are not words themselves; `theirs` has the task's project.
const WORDS = {
  due_at: (value) => due(value),
  priority: (value) => PRIORITIES[value],
  project_id: (value) => projectOf(value)?.name || "another project",
  state: (value, theirs) => statesOf(theirs.project_id).find(({ key }) => key === value)?.name || value,
  states: (value) => value.map(stateWords).join("\n"),
  status: (value) => statesOf(null).find(({ key }) => key === value).name,
  tags: (value) => value.join(", ") || "nothing",
};

function shown(name, value, theirs) {
  if (value === null || value === undefined || value === "") return "nothing";
  return WORDS[name] ? WORDS[name](value, theirs) : value;
}

// The fields that somebody else changed too, to another value.
function disputed(fields, before, theirs) {
  return Object.keys(fields).filter(
    (name) => !same(before[name], theirs[name]) && !same(fields[name], theirs[name]),
  );
}

// Shows both versions; answers "mine", "theirs" or null.
function choose(names, fields, theirs) {
  return new Promise((resolve) => {
    let answer = null;
    const pick = (value) => () => {
      answer = value;
      element.close();
    };
    const row = (name) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, NAMES[name] || name),
        h("td", {}, shown(name, fields[name], theirs)),
        h("td", {}, shown(name, theirs[name], theirs)),
      );
    const element = dialog(
      "Somebody else was first",
      h(
        "div",
        { className: "stack" },
        h("p", {}, "This was changed while you were at it. Which is to stay?"),
        h(
          "table",
          { className: "both" },
          h(
            "thead",
            {},
            h("tr", {}, h("td", {}), h("th", { scope: "col" }, "Yours"), h("th", { scope: "col" }, "Theirs")),
          ),
          h("tbody", {}, names.map(row)),
        ),
        h(
          "p",
          { className: "buttons" },
          h("button", { type: "button", onclick: pick("theirs") }, "Take theirs"),
          h("button", { type: "button", className: "main", onclick: pick("mine") }, "Keep mine"),
        ),
      ),
      { wide: true },
    );
    element.addEventListener("close", () => resolve(answer));
  });
}

// Sends fields of a task or project, of which `theirs` is the newest version that is known. If somebody else changed
// the same fields since `before`, the person chooses. Answers the version that stays, and the names of the fields that
// the person has changed in it. `more` is sent along.
export async function sendAgreed(resource, before, fields, theirs, more = {}) {
  for (;;) {
    const names = disputed(fields, before, theirs.value);
    // If they changed other fields, both changes stay.
    const answer = names.length ? await choose(names, fields, theirs.value) : "mine";
    if (answer === null) throw Object.assign(new Error("choose which version stays."), { status: 412 });
    if (answer === "theirs") return { given: theirs, names: [] };
    Object.assign(before, Object.fromEntries(names.map((name) => [name, theirs.value[name]])));
    try {
      const given = await resource.change(before.id, { ...fields, ...more }, theirs.etag);
      return { given, names: Object.keys(fields) };
    } catch (error) {
      if (error.status !== 412) throw error;
    }
    theirs = await resource.get(before.id);
  }
}
