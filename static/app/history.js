// The history of a task, oldest change first.
import { h } from "../shared/dom.js";
import { shortened } from "../shared/format.js";
import * as api from "./api.js";
import { avatar } from "./icons.js";
import { nameOf } from "./model.js";
import { pastLoader } from "./page.js";
import { due, passed } from "./words.js";

const KINDS = {
  created: "made it",
  updated: "changed it",
  status_changed: "moved it",
  state_changed: "moved it",
  assigned: "assigned it",
  moved: "moved it to another project",
  blocked: "blocked it",
  unblocked: "unblocked it",
  deleted: "deleted it",
  imported: "imported it",
};
const QUIET = new Set(["user_id"]);

function value(name, given) {
  if (given === null || given === undefined || given === "") return "nothing";
  if (name === "user_id") return nameOf(given);
  if (name.endsWith("_at")) return due(given);
  const text = Array.isArray(given)
    ? given.join(", ") || "nothing"
    : String(given).replace("in_progress", "in progress");
  return shortened(text, 80);
}

function entry(each) {
  const changes = Object.entries(each.changes || {}).filter(
    ([name]) => !QUIET.has(name) || each.kind === "assigned",
  );
  const isFirst = each.kind === "created" || each.kind === "imported";
  return h(
    "li",
    {},
    h(
      "p",
      {},
      avatar(nameOf(each.actor_id)),
      " ",
      h("strong", {}, nameOf(each.actor_id)),
      ` ${KINDS[each.kind] || each.kind} `,
      passed(each.created_at),
    ),
    isFirst
      ? null
      : h(
          "ul",
          {},
          changes.map(([name, { from, to }]) =>
            h(
              "li",
              {},
              `${name.replace("_at", "").replace("user_id", "owner").replace("_", " ")}: ${value(name, from)} → ${value(name, to)}`,
            ),
          ),
        ),
  );
}

export function historyList(task) {
  const list = h("ol", { className: "history" }, h("li", { className: "muted" }, "Loading"));
  const ask = (most) => api.tasks.history(task.id, most);
  const load = pastLoader(list, "changes", ask, ({ rows }) => rows.map(entry));
  const element = h(
    "details",
    { className: "past", ontoggle: () => element.open && load() },
    h("summary", {}, "History"),
    list,
  );
  element.load = load;
  return element;
}
