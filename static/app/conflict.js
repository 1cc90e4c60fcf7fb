// A conflict: somebody else changed the task first. Shows both versions and asks which one to keep.
import { h } from "../shared/dom.js";
import { dialog } from "./dialog.js";
import { same } from "./model.js";
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
  user_id: "Owner",
};

function shown(name, value) {
  if (value === null || value === undefined || value === "") return "nothing";
  if (name === "due_at") return due(value);
  return Array.isArray(value) ? value.join(", ") || "nothing" : String(value);
}

// The fields that somebody else changed too, to another value.
export function disputed(fields, before, theirs) {
  return Object.keys(fields).filter(
    (name) => !same(before[name], theirs[name]) && !same(fields[name], theirs[name]),
  );
}

// Shows both versions; answers "mine", "theirs" or null.
export function choose(names, fields, theirs) {
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
        h("td", {}, shown(name, fields[name])),
        h("td", {}, shown(name, theirs[name])),
      );
    const element = dialog(
      "Somebody else was first",
      h(
        "div",
        { className: "stack" },
        h("p", {}, "The task was changed while you were at it. Which is to stay?"),
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
