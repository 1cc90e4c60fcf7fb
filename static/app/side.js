// The navigation at the side: projects, views, notifications, settings.
import { act } from "../shared/act.js";
import { field, h, say } from "../shared/dom.js";
import { address as link } from "../shared/session.js";
import { dress } from "../shared/theme.js";
import { leaveAccount } from "./actions.js";
import { DUE_SOON, follow, go, href, now } from "./address.js";
import * as api from "./api.js";
import { confirmed, dialog, form } from "./dialog.js";
import { closeDrawer } from "./drawer.js";
import { exportDialog } from "./exporting.js";
import { avatar, icon } from "./icons.js";
import { commands, help } from "./keys.js";
import { loadMenu, loadProjects, loadViews, may, model, openProjects } from "./model.js";

const place = document.getElementById("side");
const theme = h("button", { type: "button" });
let isDressed = false;
let isArchiveOpen = false;
// The name at the foot of the menu.
let shownName = null;
let live = "";

export function newProject() {
  const element = dialog(
    "New project",
    form(
      [
        field("Name", { name: "name", required: true, maxLength: 100 }),
        field("What it is for", { name: "description", rows: 3, maxLength: 65536 }, "textarea"),
        h(
          "label",
          { className: "check" },
          h("input", { type: "checkbox", name: "adopt" }),
          "Take along my tasks that are labelled with this name",
        ),
      ],
      "Make the project",
      async ({ name, description, adopt }) => {
        const made = await api.projects.create({
          name,
          ...(description.trim() ? { description } : {}),
          adopt_tasks: adopt === "on",
        });
        await loadProjects();
        element.close();
        go({ project: String(made.id) });
        sidebar();
      },
    ),
  );
}

function renameView(view) {
  const element = dialog(
    "Rename the view",
    form(
      [field("Name", { name: "name", value: view.name, required: true, maxLength: 100 })],
      "Rename",
      async ({ name }) => {
        await api.views.change(view.id, { name });
        await loadViews();
        element.close();
        if (now().view === String(view.id)) onChange();
        else sidebar();
      },
    ),
  );
}

const removeView = act(async (view) => {
  if (!(await confirmed(`Delete the view "${view.name}"?`, "The tasks that it finds stay.", "Delete")))
    return;
  await api.views.remove(view.id);
  await loadViews();
  if (now().view === String(view.id)) go({});
  sidebar();
});

function item(picture, label, values, { badge = null, more = null } = {}) {
  const address = now();
  const isDueSoon = address.filter === DUE_SOON.filter && !address.project && !address.view;
  const isHere =
    ["page", "project", "view"].every((name) => (address[name] || "") === (values[name] || "")) &&
    isDueSoon === (values.filter === DUE_SOON.filter);
  return h(
    "li",
    {},
    h(
      "a",
      {
        href: href(values),
        onclick: (event) => (closeDrawer(), follow(values)(event)),
        "aria-current": isHere ? "page" : undefined,
      },
      icon(picture),
      // A long name is cut at its own end, which is on the left for some scripts.
      h("span", { title: label, dir: "auto" }, label),
      badge ? h("span", { className: "badge" }, badge) : null,
    ),
    more,
  );
}

const small = (picture, label, onclick) =>
  h("button", { type: "button", className: "bare", "aria-label": label, title: label, onclick }, icon(picture));

// The figures of the project that is shown, or the person's own.
const dashboard = () => link(now().project ? `/dashboard?project_id=${now().project}` : "/dashboard");

// A project's view is changed by the member who made it, and by managers.
const mayChange = (view) =>
  may("manager", view.project_id) || (view.created_by === model.me.id && may("member", view.project_id));

const projectItem = (each) => item("project", each.name, { project: String(each.id) });

function archive() {
  const found = model.projects.filter((each) => each.archived_at);
  if (!found.length) return null;
  const isHere = found.some((each) => String(each.id) === now().project);
  return h(
    "details",
    { open: isArchiveOpen || isHere, ontoggle: (event) => (isArchiveOpen = event.target.open) },
    h("summary", {}, `Archived (${found.length})`),
    h("ul", {}, found.map(projectItem)),
  );
}

const loadAgain = act(async () => (await loadMenu(), onChange()));

function trouble(name) {
  if (!model.trouble.has(name)) return null;
  const retry = h("button", { type: "button", className: "link", onclick: loadAgain }, "Retry");
  return h("li", { className: "muted trouble" }, h("span", {}, model.trouble.get(name), " ", retry));
}

export function tellLive(state) {
  live = state;
  const mark = document.getElementById("live");
  if (!mark) return;
  mark.className = state === "live" ? "live now" : "live";
  mark.textContent = { live: "Live", polling: "Every 15 s", waiting: "Reconnecting" }[state] || "";
}

// By which a link or button is found again in a menu that was drawn again. The heading of the archive has a number.
const sameness = (control) =>
  control.getAttribute("href") ||
  (control.matches("summary") ? "summary" : control.getAttribute("aria-label") || control.textContent);

export function sidebar() {
  // The archive may have been unfolded just now, which its event tells a moment later.
  isArchiveOpen = place.querySelector("details")?.open ?? isArchiveOpen;
  const nav = menu();
  // A menu that stays as it is stays in the page, because somebody may be pressing one of its links.
  const isSame = place.querySelector("nav")?.outerHTML === nav.outerHTML;
  if (isSame && shownName === model.me.username) return;
  shownName = model.me.username;
  const focused = place.contains(document.activeElement) ? sameness(document.activeElement) : null;
  place.replaceChildren(nav, foot());
  if (!isDressed) dress(theme);
  isDressed = true;
  tellLive(live);
  if (focused)
    [...place.querySelectorAll("a, button, summary")].find((each) => sameness(each) === focused)?.focus();
}

const menu = () =>
  h(
    "nav",
    { "aria-label": "Pages" },
    h(
      "div",
      { className: "brand" },
      h("a", { href: link("/") }, "Task Platform"),
      small("close", "Close the menu", closeDrawer),
    ),
    h(
      "ul",
      {},
      item("inbox", "My tasks", {}),
      item("calendar", "Due in a week", DUE_SOON),
      item("bell", "Notifications", { page: "notifications" }, { badge: model.unread || null }),
    ),
    h(
      "div",
      { className: "group" },
      h("h2", {}, "Projects"),
      small("plus", "New project", newProject),
    ),
    h(
      "ul",
      {},
      openProjects().map(projectItem),
      openProjects().length ? null : trouble("projects") || h("li", { className: "muted" }, "None yet"),
    ),
    archive(),
    model.views.length || model.trouble.has("views")
      ? h("div", { className: "group" }, h("h2", {}, "Views"))
      : null,
    h(
      "ul",
      {},
      model.views.map((each) =>
        item(
          "view",
          each.name,
          { view: String(each.id), project: each.project_id ? String(each.project_id) : undefined },
          {
            more: mayChange(each) && [
              small("edit", `Rename the view ${each.name}`, () => renameView(each)),
              small("close", `Delete the view ${each.name}`, () => removeView(each)),
            ],
          },
        ),
      ),
      trouble("views"),
    ),
    h("div", { className: "group" }, h("h2", {}, "More")),
    h(
      "ul",
      {},
      item("import", "Import", { page: "import" }),
      h(
        "li",
        {},
        h("button", { type: "button", className: "item", onclick: exportDialog }, icon("export"), "Export"),
      ),
      h("li", {}, h("a", { href: dashboard() }, icon("chart"), h("span", {}, "Dashboard"))),
      item("settings", "Settings", { page: "settings" }),
      h(
        "li",
        {},
        h("button", { type: "button", className: "item", onclick: commands }, icon("help"), "Commands"),
      ),
      h("li", {}, h("button", { type: "button", className: "item", onclick: help }, icon("keys"), "Keys")),
    ),
  );

const foot = () =>
  h(
    "div",
    { className: "foot" },
    h("span", { className: "me" }, avatar(model.me.username), model.me.username),
    h("span", { id: "live", className: "live" }),
    theme,
    h("button", { type: "button", id: "log-out", onclick: leave }, "Log out"),
  );

export const clearSide = () => place.replaceChildren();

let onChange = () => undefined;
// Calls a listener when what the page shows beside the menu may be out of date.
export const whenChanged = (listener) => (onChange = listener);

let onLeave = () => undefined;
export const whenLeaving = (listener) => (onLeave = listener);

async function leave() {
  let message = "";
  try {
    await leaveAccount();
  } catch (error) {
    message = `${error.message} The session may still be open.`;
  }
  onLeave();
  say(message, 0);
}
