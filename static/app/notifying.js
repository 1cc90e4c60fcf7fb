// Notifications, and their delivery by mail.
import { act } from "../shared/act.js";
import { describe, h } from "../shared/dom.js";
import { number } from "../shared/format.js";
import { go, href, isForNewTab, now } from "./address.js";
import * as api from "./api.js";
import { isOwnDoing, loadUnread, loadViews, membersOf, model, nameOf, openProjects } from "./model.js";
import { frame, loadAll, section } from "./page.js";
import { sidebar } from "./side.js";
import { inTurn } from "./turns.js";
import { isOverdue, passed } from "./words.js";

const KINDS = {
  created: "You made",
  completed: "Completed",
  assigned: "Assigned to you",
  due_soon: "Due soon",
  overdue: "Overdue",
  added_to_project: "Added to a project",
  mentioned: "You were mentioned",
  commented: "A comment on your task",
};
// A kind that has no name here yet is shown by its key in words.
const kindName = (kind) => KINDS[kind] || (kind[0].toUpperCase() + kind.slice(1)).replaceAll("_", " ");
// The server takes the beginning of a day that a task is due on as its time, and reminds of it as overdue.
const nameOfOne = (each) =>
  each.kind === "overdue" && !isOverdue({ due_at: each.due_at }) ? "Due today" : kindName(each.kind);
const WAYS = [
  ["at_once", "At once"],
  ["daily", "Once a day"],
  ["never", "Never"],
];

// The list on the page.
let told = null;

export async function notificationsPage(place) {
  told = section("Latest", "", list);
  const ways = section("By mail", "All of them are listed above in any case.", preferences);
  frame(place, "Notifications", told, ways);
  await loadAll([told, ways]);
}
notificationsPage.title = "Notifications";

async function seen() {
  await loadUnread();
  sidebar();
}

// Counts what is unread again, and lists it again if the list is on the page.
export async function loadTold() {
  const before = model.unread;
  await seen();
  if (now().page === "notifications" && model.unread !== before) await told.load();
}

// No event tells of views, or of notifications that were read. Another tab or device may have changed them.
addEventListener(
  "focus",
  act(async () => {
    if (!model.me) return;
    await Promise.all([loadViews(), loadTold()]);
    if (model.me) sidebar();
  }),
);

async function list(load) {
  // The names of members are those of the accounts that a notification may be about.
  const [found] = await Promise.all([
    api.notifications.list(),
    ...openProjects().map((each) => membersOf(each.id)),
  ]);
  const own = found.filter(isOwnDoing);
  const others = found.filter((each) => !isOwnDoing(each));
  const rows = (some) => h("ul", { className: "told" }, some.map((each) => one(each, load)));
  const all = h(
    "button",
    {
      type: "button",
      onclick: act(async () => (await api.notifications.readAll(), await load(), await seen())),
    },
    "Mark all as read",
  );
  return [
    found.some((each) => !each.read_at) ? h("p", { className: "buttons" }, all) : null,
    others.length
      ? rows(others)
      : h("p", { className: "muted" }, "Nothing new: what others do to your tasks is told here."),
    own.length
      ? h("details", {}, h("summary", {}, `What you did yourself (${number(own.length)})`), rows(own))
      : null,
  ];
}

// The project of a task that is still there.
async function projectIdOf(taskId) {
  try {
    return (await api.tasks.get(taskId)).value.project_id;
  } catch (error) {
    if (error.status !== 404) throw error;
    return null;
  }
}

function one(each, load) {
  const values = each.task_id
    ? { task: String(each.task_id) }
    : each.project_id
      ? { project: String(each.project_id) }
      : {};
  // A task is opened where it belongs, among the tasks of its project.
  const open = act(async (event) => {
    if (isForNewTab(event)) return;
    event.preventDefault();
    const project = each.task_id ? await projectIdOf(each.task_id) : each.project_id;
    // The person may have gone elsewhere meanwhile.
    if (now().page !== "notifications") return;
    go({ ...values, project: project ? String(project) : undefined });
    if (!each.read_at) (await api.notifications.read(each.id), await seen());
  });
  const entry = h(
    "li",
    { className: each.read_at ? "" : "unread" },
    h(
      "span",
      {},
      h("strong", {}, nameOfOne(each)),
      ": ",
      h("a", { href: href(values), onclick: open }, each.task_title || each.project_name || "a task"),
    ),
    h(
      "span",
      { className: "muted" },
      each.actor_id === model.me.id || each.actor_id === null ? "" : `${nameOf(each.actor_id)}, `,
      passed(each.created_at),
    ),
    each.read_at
      ? null
      : h(
          "button",
          {
            type: "button",
            onclick: act(async () => (await api.notifications.read(each.id), await load(), await seen())),
          },
          "Read",
        ),
  );
  return describe(entry, entry.firstChild);
}

async function preferences() {
  const chosen = await api.notifications.preferences();
  const change = (kind) =>
    act(async ({ target }) => {
      try {
        await inTurn(["preferences"], () => api.notifications.prefer({ [kind]: target.value }));
        chosen[kind] = target.value;
      } catch (error) {
        target.value = chosen[kind];
        throw error;
      }
    });
  return h(
    "div",
    { className: "pairs" },
    Object.entries(chosen).map(([kind, value]) =>
      h(
        "div",
        { className: "pair" },
        h("label", { htmlFor: `mail-${kind}` }, kindName(kind)),
        h(
          "select",
          { id: `mail-${kind}`, onchange: change(kind) },
          WAYS.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
        ),
      ),
    ),
  );
}
