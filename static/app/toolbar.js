// The toolbar above the tasks: the title, the layout, and the filters.
import { act } from "../shared/act.js";
import { field, h } from "../shared/dom.js";
import { count, number } from "../shared/format.js";
import { filterField } from "../shared/filter-field.js";
import { isFinal } from "../shared/session.js";
import { DUE_SOON, change, follow, href, now } from "./address.js";
import * as api from "./api.js";
import { dialog, form } from "./dialog.js";
import { icon } from "./icons.js";
import { PRIORITIES, STATUSES, loadViews, membersOf, model, project } from "./model.js";
import { menuButton } from "./page.js";
import { archiveNotice } from "./project.js";
import { quickAdd } from "./quick.js";
import * as store from "./store.js";

const SORTS = [
  ["", "Newest first"],
  ["created_at asc", "Oldest first"],
  ["updated_at", "Changed last"],
  ["due_at asc", "Due first"],
  ["priority", "Most urgent"],
  ["title asc", "Title"],
];
const GROUPS = [
  ["", "By state"],
  ["none", "No groups"],
  ["priority", "By priority"],
  ["project", "By project"],
  ["owner", "By owner"],
  ["due", "By due date"],
];
const STATUS = [
  ["", "Open"],
  ["all", "All"],
  ...STATUSES,
];
const FILTERS = ["q", "status", "priority", "tag", "label", "owner", "filter"];
// The project or view whose filters somebody has opened: elsewhere they are folded away again.
let openIn = null;
const placeOf = ({ project: here, view }) => `${here || ""} ${view || ""}`;

export function titleOf(address) {
  if (address.project) return project()?.name || `Project ${address.project}`;
  if (address.view) return model.views.find((view) => view.id === Number(address.view))?.name || "View";
  return address.filter === DUE_SOON.filter ? "Due in a week" : "My tasks";
}

function select(label, name, options, value, changed) {
  return h(
    "label",
    { className: "choice" },
    h("span", {}, label),
    h(
      "select",
      { name, onchange: (event) => changed(event.target.value) },
      options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
    ),
  );
}

// A text that is applied when the field loses the focus or Enter is pressed.
function text(label, name, placeholder, set, more = {}) {
  const apply = (event) => set({ [name]: event.target.value.trim() || null });
  return h(
    "label",
    { className: "choice" },
    h("span", {}, label),
    h("input", { name, value: now()[name] || "", placeholder, onchange: apply, ...more }),
  );
}

export async function toolbar() {
  const address = now();
  const shared = project();
  const members = shared ? await membersOf(shared.id) : [];
  // The link in the menu says what its own filter is.
  const isFiltered = FILTERS.some((name) => address[name] && address[name] !== DUE_SOON[name]);
  const board = address.layout === "board";
  const layout = (name, label) =>
    h(
      "a",
      {
        className: "segment",
        href: href({ ...address, layout: name }),
        onclick: follow({ ...address, layout: name }),
        "aria-current": (name === "board") === board ? "true" : undefined,
        title: `${label} (v)`,
      },
      icon(name === "board" ? "board" : "list"),
      h("span", { className: "wide-only" }, label),
    );
  const filters = h(
    "div",
    { className: "filters", id: "filters", hidden: openIn !== placeOf(address) && !isFiltered },
    filterFields(address, members),
  );
  const toggle = h(
    "button",
    {
      type: "button",
      "aria-expanded": String(!filters.hidden),
      "aria-controls": "filters",
      onclick() {
        filters.hidden = !filters.hidden;
        openIn = filters.hidden ? null : placeOf(address);
        toggle.setAttribute("aria-expanded", String(!filters.hidden));
        if (!filters.hidden) filters.querySelector("input, select").focus();
      },
    },
    icon("view"),
    h("span", { className: "wide-only" }, "Filter"),
  );
  return h(
    "header",
    { className: "bar" },
    h(
      "div",
      { className: "top" },
      menuButton(),
      h("h1", {}, titleOf(address)),
      h("span", { className: "muted", id: "count" }),
      h(
        "div",
        { className: "segments", role: "group", "aria-label": "Layout" },
        layout(null, "List"),
        layout("board", "Board"),
      ),
      toggle,
      shared
        ? h(
            "a",
            {
              className: "button",
              href: href({ page: "project", project: address.project }),
              onclick: follow({ page: "project", project: address.project }),
              title: "Members and settings",
            },
            icon("members"),
            h("span", { className: "wide-only" }, "Members and settings"),
          )
        : null,
    ),
    filters,
    archiveNotice(shared) || quickAdd(),
    h("p", { className: "problem", id: "filter-problem", role: "alert" }),
  );
}

// The field for a filter in the filter language.
let asking = null;

// Values of the shown tasks, which complete the filter.
async function known(name) {
  const read = { tag: (task) => task.tags, project: (task) => [task.project], state: (task) => [task.state] }[
    name
  ];
  return read ? [...new Set(store.all().flatMap(read))].sort().slice(0, 50) : [];
}

function filterFields(address, members) {
  const sort = address.sort ? `${address.sort}${address.order === "asc" ? " asc" : ""}` : "";
  const [, ...statuses] = STATUS;
  const board = address.layout === "board" || address.view;
  // A field that leaves the page loses the focus too, perhaps when another project is there.
  const set = (values) => !now().page && placeOf(now()) === placeOf(address) && change(values);
  asking = filterField(
    "Filter in words",
    {
      name: "filter",
      value: address.filter || "",
      placeholder: "due < today+7d and priority >= 3",
      onchange: (event) => set({ filter: event.target.value.trim() || null }),
    },
    known,
  );
  return [
    text("Search", "q", "Title", set, { type: "search" }),
    select(
      "Status",
      "status",
      board ? [["", "All"], ["open", "Open"], ...statuses.slice(1)] : STATUS,
      address.status || "",
      (value) => set({ status: value || null }),
    ),
    select(
      "Priority",
      "priority",
      [["", "Any"], ...PRIORITIES.map((name, at) => [String(at), name])],
      address.priority || "",
      (value) => set({ priority: value || null }),
    ),
    text("Tag", "tag", "Any", set),
    members.length
      ? select(
          "Owner",
          "owner",
          [["", "Anybody"], ...members.map((each) => [String(each.user_id), each.username])],
          address.owner || "",
          (value) => set({ owner: value || null }),
        )
      : text("Project label", "label", "Any", set),
    select("Order", "sort", SORTS, sort, (value) =>
      set({ sort: value.split(" ")[0] || null, order: value.split(" ")[1] || null }),
    ),
    address.layout === "board"
      ? null
      : select("Groups", "group", GROUPS, address.group || "", (value) => set({ group: value || null })),
    asking.element,
    h(
      "p",
      { className: "buttons" },
      h(
        "button",
        {
          type: "button",
          onclick: () =>
            set(Object.fromEntries([...FILTERS, "sort", "order", "group"].map((name) => [name, null]))),
        },
        "Clear",
      ),
      // The views of a project are its members', and a viewer makes none.
      project()?.role === "viewer"
        ? null
        : h("button", { type: "button", onclick: saveView }, "Save as a view"),
    ),
  ];
}

function saveView() {
  const address = now();
  const filter = store.inLanguage(address) || "id is not null";
  const element = dialog(
    "Save as a view",
    form(
      [
        field("Name", { name: "name", required: true, maxLength: 100 }),
        h("p", { className: "muted" }, "It finds: ", h("code", {}, filter)),
        h("p", { className: "muted" }, project() ? `All members of ${project().name} get it too.` : "Only you get it."),
      ],
      "Save",
      async ({ name }) => {
        const view = {
          name,
          filter,
          sort_by: address.sort,
          sort_order: address.order || (address.sort ? "desc" : undefined),
          project_id: address.project ? Number(address.project) : undefined,
        };
        const made = await api.views.create(JSON.parse(JSON.stringify(view)));
        await loadViews();
        element.close();
        change({
          view: String(made.id),
          ...Object.fromEntries([...FILTERS, "sort", "order"].map((key) => [key, null])),
        });
      },
    ),
  );
}

// Tells screen readers how many tasks a new view or filter has, once they are there.
export function tellFound(isLoading = false) {
  const isKnown = !isLoading && !store.state.error;
  document.getElementById("found").textContent = isKnown ? count(store.all().length, "task") : "";
}

// The number of tasks, and errors.
export const showCount = act(async () => {
  const place = document.getElementById("count");
  if (!place) return;
  const shown = store.all().length;
  place.textContent = store.state.isCut
    ? `the first ${number(shown)}: narrow the filter`
    : `${number(shown)}${store.state.isLoading ? "…" : ""}`;
  const problem = document.getElementById("filter-problem");
  const { error } = store.state;
  const there = (error?.errors || []).find((each) => each.pointer === "?filter");
  const address = now();
  let said = there?.detail || error?.message;
  if (there?.position === undefined || !address.filter) asking?.clear();
  else {
    const position = store.positionIn(address, there.position);
    asking?.mark(address.filter, position);
    said = said.replace(`Position ${there.position}`, `Position ${position}`);
  }
  if (!error) return problem.replaceChildren();
  const retry = h("button", { type: "button", className: "link", onclick: act(store.load) }, "Retry");
  return problem.replaceChildren(said, " ", isFinal(error) ? "" : retry);
});
