// The form above the figures. It is not redrawn when the figures change, so that typing never loses the
// focus.
import { absolve, blame, blameAll, field, h } from "../shared/dom.js";
import { filterField } from "../shared/filter-field.js";
import { isoDay } from "../shared/format.js";
import { call } from "../shared/session.js";
import { FILTERS, ownZone, show, shownZone, view } from "./state.js";

// The field of the scope is that of the account too, which an admin names in the address.
const FIELDS = ["interval", ...FILTERS.filter((name) => name !== "user_id")];
const CLEARED = Object.fromEntries(["interval", ...FILTERS].map((name) => [name, ""]));
const PRESETS = [
  [7, "7 days"],
  [30, "30 days"],
  [90, "90 days"],
  [365, "A year"],
];
const DATES = { type: "date", min: "1900-01-01", max: "2200-01-01" };

// The API takes the values of these too, which the form's first choices stand for.
const DEFAULTS = { interval: "week", scope: "own" };

// Shows a time in the address as its day, and another account as a choice of its own.
function shown(now, name, me) {
  if (name === "scope" && now.user_id && now.user_id !== String(me.id)) return now.user_id;
  if (now[name] === DEFAULTS[name]) return "";
  return name === "from" || name === "to" ? (now[name] || "").slice(0, 10) : now[name] || "";
}
const choices = (options) => options.map(([value, text]) => h("option", { value }, text));

// `projects` are the labels of the own tasks, `shared` are the projects that are shared with the account.
export function filterForm(me, projects, shared, views, changed) {
  // The tags of the newest tasks, loaded once, when somebody types a tag.
  let tags = null;
  const knownTags = () => {
    tags ??= call("/tasks?limit=200").then((tasks) => [...new Set(tasks.flatMap((task) => task.tags))].sort());
    return tags.catch(() => []);
  };
  const known = async (name) => {
    if (name === "project") return projects.map((each) => each.project);
    return name === "tag" ? knownTags() : [];
  };
  const asking = filterField(
    "Filter",
    { name: "filter", placeholder: "priority >= 3 or due < today+7d" },
    known,
  );
  const projectChoices = [["", "All"], ...projects.map((each) => [each.project, each.project])];
  const problem = h("p", { className: "problem wide", role: "alert" });
  const form = h(
    "form",
    { className: "filters", "aria-label": "Filters", noValidate: true, onkeydown, onchange, onfocusout },
    field("From", { ...DATES, name: "from" }),
    field("To", { ...DATES, name: "to" }),
    field(
      "Interval",
      { name: "interval" },
      "select",
      choices([
        ["day", "Days"],
        ["", "Weeks"],
        ["month", "Months"],
      ]),
    ),
    // An admin may look at a project without being a member.
    shared.length || view().project_id
      ? field(
          "Shared project",
          { name: "project_id" },
          "select",
          choices([["", "None: my tasks"], ...shared.map((each) => [String(each.id), each.name])]),
        )
      : null,
    field("Project label", { name: "project" }, "select", choices(projectChoices)),
    field("Tag", { name: "tag", maxLength: 50 }),
    field(
      "Priority",
      { name: "priority" },
      "select",
      choices([["", "All"], ...["0", "1", "2", "3", "4"].map((value) => [value, value])]),
    ),
    me.role === "admin"
      ? field(
          "Whose",
          { name: "scope" },
          "select",
          choices([
            ["", "My tasks"],
            ["all", "Everybody's"],
          ]),
        )
      : null,
    field("Time zone", { name: "tz", placeholder: ownZone, list: "zones", autocapitalize: "none" }),
    field(
      "View",
      { name: "view" },
      "select",
      choices([["", "None"], ...views.map((each) => [String(each.id), each.name])]),
    ),
    asking.element,
    h(
      "datalist",
      { id: "zones" },
      Intl.supportedValuesOf("timeZone").map((value) => h("option", { value })),
    ),
    h(
      "div",
      { className: "presets", role: "group", "aria-label": "Period" },
      PRESETS.map(([days, text]) =>
        h("button", { type: "button", onclick: () => go({ from: isoDay(Date.now(), shownZone(), days - 1), to: "" }) }, text),
      ),
      h("button", { type: "button", onclick: () => go(CLEARED) }, "Reset"),
    ),
    problem,
  );

  function read() {
    return Object.fromEntries(FIELDS.map((name) => [name, form.elements.namedItem(name)?.value.trim() ?? ""]));
  }
  function take() {
    const now = view();
    for (const name of FIELDS) {
      const control = form.elements.namedItem(name);
      if (!control) continue;
      const value = shown(now, name, me);
      // Values in the address are shown, even if the list has no such choice.
      const isUnknown = control.options && ![...control.options].some((each) => each.value === value);
      if (isUnknown) control.append(h("option", { value }, value));
      control.value = value;
    }
    clear();
  }
  function go(changes) {
    show(changes);
    take();
    changed();
  }
  // A date is applied when it is complete, and the field loses the focus or Enter is pressed.
  function apply() {
    const unfit = ["from", "to"].filter((name) => {
      const { badInput, rangeOverflow, rangeUnderflow } = form.elements.namedItem(name).validity;
      return badInput || rangeOverflow || rangeUnderflow;
    });
    if (unfit.length) {
      for (const name of unfit) blame(form, name, "A whole day between 1900 and 2200.");
      return;
    }
    const [values, now] = [read(), view()];
    const same = FIELDS.every((name) => values[name] === shown(now, name, me));
    if (same) return;
    clear();
    const isOther = !["", "all"].includes(values.scope);
    show({ ...values, scope: isOther ? "" : values.scope, user_id: isOther ? values.scope : "" });
    changed();
  }
  function onkeydown(event) {
    if (event.isComposing || event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    apply();
  }
  // The figures of a shared project are those of all its members, so the parts of the own list do not go with it.
  const APART = ["project_id", "project", "scope"];
  function onchange(event) {
    if (!event.target.matches("select")) return;
    const { name, value } = event.target;
    const others = value && (name === "project_id" ? APART : ["project_id"]);
    for (const other of APART.includes(name) && others ? others : []) {
      const control = form.elements.namedItem(other);
      if (other !== name && control) control.value = "";
    }
    apply();
  }
  function onfocusout(event) {
    if (event.target.matches("input")) apply();
  }
  // Takes away what was said about mistakes.
  function clear() {
    absolve(form);
    asking.clear();
    problem.textContent = "";
  }
  // Gives the chosen value a name that the form did not know.
  function name(field, text) {
    const control = form.elements.namedItem(field);
    if (control?.value && control.value !== "all") control.selectedOptions[0].textContent = text;
  }
  function blameHere(error) {
    blameAll(form, error, problem);
    const there = (error.errors || []).find((each) => each.pointer === "?filter");
    if (there?.position !== undefined) asking.mark(view().filter, there.position);
  }
  take();
  return { form, take, clear, name, blame: blameHere };
}
