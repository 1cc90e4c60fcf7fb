// Shared parts of the pages beside the tasks: a heading, sections, tables.
import { act } from "../shared/act.js";
import { describe, h } from "../shared/dom.js";
import { openDrawer } from "./drawer.js";
import { icon } from "./icons.js";

// The button that shows the menu on a phone.
export const menuButton = () =>
  h(
    "button",
    {
      type: "button",
      className: "bare menu",
      "aria-label": "Menu",
      "aria-expanded": "false",
      "aria-controls": "side",
      onclick: openDrawer,
    },
    icon("menu"),
  );

export function frame(place, title, ...children) {
  place.replaceChildren(
    h(
      "header",
      { className: "bar" },
      h(
        "div",
        { className: "top" },
        menuButton(),
        h("h1", {}, title),
      ),
    ),
    h("div", { className: "page" }, children),
  );
}

// A section that loads its content, or shows why it can't; `section.load()` loads it again. `fill` also gets a map for
// what is to outlive that: a secret that nobody may have copied yet, by the id of what it belongs to, and a form.
export function section(title, about, fill) {
  const body = h("div", { className: "stack" }, h("p", { className: "muted" }, "Loading"));
  const kept = new Map();
  let turn = 0;
  const element = h(
    "section",
    { className: "card", oninput: ({ target }) => markTyped(target.closest("form, .states")) },
    h("h2", {}, title),
    about ? h("p", { className: "muted" }, about) : null,
    body,
  );
  element.load = async () => {
    const mine = ++turn;
    try {
      const content = [await fill(element.load, kept)].flat().filter(Boolean);
      if (mine === turn) replaceContent(body, () => content);
    } catch (error) {
      if (error.status === undefined) throw error;
      if (mine !== turn) return;
      replaceContent(body, () => [
        h(
          "p",
          { className: "notice" },
          error.status === 404 ? `This server does not offer this: ${error.message}` : error.message,
          error.status === 404 ? null : h("button", { type: "button", onclick: () => element.load() }, "Retry"),
        ),
      ]);
    }
  };
  return element;
}

// Loads sections at once, and shows each one as soon as those above it are there: what comes later moves nothing aside.
export async function loadAll(sections) {
  const loads = sections.map((each) => each.load());
  sections.forEach((each, at) => (each.hidden = at > 0));
  const show = async () => {
    for (const [at, each] of sections.entries()) {
      each.hidden = false;
      await Promise.allSettled([loads[at]]);
    }
  };
  await Promise.all([...loads, show()]);
}

// Replaces the content of an element by what `make` answers, which may take parts along. What was unfolded stays so, and
// the focus stays where it was in the order.
export function replaceContent(body, make) {
  const all = (kind) => [...body.querySelectorAll(kind)];
  const [focused, controls] = [document.activeElement, "a, button, input, select, summary, textarea"];
  const at = all(controls).indexOf(focused);
  const unfolded = all("details").map(({ open }) => open);
  body.replaceChildren(...make());
  all("details").forEach((each, place) => (each.open ||= Boolean(unfolded[place])));
  if (at < 0) return;
  const isSame = (each) => focused.localName === "summary" && each.textContent === focused.textContent;
  const next = body.contains(focused)
    ? focused
    : all("summary").find(isSame) || all(controls)[Math.min(at, all(controls).length - 1)];
  next?.focus({ preventScroll: true });
}

// The number of rows by which a list of a task's past grows.
const PART = 500;

// Makes a function that loads a task's past into a list, at each call again. `ask(most)` gives the newest rows, and says
// whether there are earlier ones. `entriesOf(found)` makes the entries of these rows.
export function pastLoader(list, what, ask, entriesOf) {
  let [turn, most] = [0, PART];
  const more = () => ((most += PART), load());
  const load = act(async () => {
    const mine = ++turn;
    try {
      const found = await ask(most);
      if (mine !== turn) return;
      replaceContent(list, () => [...(found.hasEarlier ? [earlier(what, more)] : []), ...entriesOf(found)]);
    } catch (error) {
      if (error.status === undefined) throw error;
      if (mine === turn) list.replaceChildren(h("li", { className: "muted" }, error.message));
    }
  });
  return load;
}

// The first entry of a list that has earlier rows, which it loads when they are asked for.
function earlier(what, load) {
  const button = h("button", { type: "button", className: "link" }, `Earlier ${what}`);
  button.addEventListener("click", () => ((button.textContent = "Loading"), load()));
  return h("li", {}, button);
}

let marks = 0;

// Marks what has a text that is typed and not sent yet: it is not to be drawn over.
export const markTyped = (element) => element && (element.dataset.typed = ++marks);

// Answers the function that takes the mark away once the text has arrived, unless more was typed meanwhile.
export function typedUntil(element) {
  const mark = element.dataset.typed;
  return () => element.dataset.typed === mark && delete element.dataset.typed;
}

// A page with typed texts whose session has ended.
let left = null;

// Keeps such a page until the next login, which is of the same account: another one gets a page of its own.
export function leavePage(place, key) {
  if (place.querySelector("[data-typed]")) left = { key, parts: [...place.childNodes] };
}

export const dropLeft = () => (left = null);

// Draws a page, or shows it as it was left.
export async function drawPage(place, key, page) {
  const before = left;
  left = null;
  if (before?.key === key) place.replaceChildren(...before.parts);
  else await page(place);
  // Keys and screen readers go on in the page, unless the person is elsewhere.
  if (document.activeElement === document.body) place.focus({ preventScroll: true });
}

// The form for something new, folded away. It stays as it is when its section is loaded again, until it was sent.
export function formForNew(kept, title, make) {
  if (!kept.has("form")) kept.set("form", h("details", {}, h("summary", {}, title), make()));
  return kept.get("form");
}

export function formWasSent(kept) {
  const form = kept.get("form");
  // Folding the form away takes the focus from its fields.
  if (form.contains(document.activeElement)) form.querySelector("summary").focus({ preventScroll: true });
  form.open = false;
  kept.delete("form");
}

// Describes the buttons of each row by its first cell. A row that begins like one before or below it is described by its
// next-to-last cell too, which often has a time.
function describeRows(rows) {
  const numbers = new Map();
  const beginning = (row) => row.firstChild.textContent;
  for (const row of rows) numbers.set(beginning(row), (numbers.get(beginning(row)) || 0) + 1);
  const more = (row) => (numbers.get(beginning(row)) > 1 ? [[...row.children].at(-2)] : []);
  return rows.map((row) => describe(row, row.firstChild, ...more(row)));
}

// A table, or a text if the table would be empty. A column without a name has buttons. On a phone each row is a block:
// its first cell, beside it the buttons, and below them the other cells with the names of their columns. The roles tell
// that it is a table there too.
export function table(label, columns, rows, nothing) {
  if (!rows.length) return h("p", { className: "muted" }, nothing);
  const heading = (name) => (name ? h("th", { scope: "col", role: "columnheader" }, name) : h("td", { role: "cell" }));
  const cell = (value, at) =>
    h("td", { role: "cell", "data-label": columns[at], className: columns[at] ? "" : "action" }, value);
  return h(
    "div",
    { className: "scroll", role: "region", "aria-label": label, tabIndex: 0 },
    h(
      "table",
      { className: "blocks", role: "table", "aria-label": label },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map(heading))),
      h(
        "tbody",
        { role: "rowgroup" },
        describeRows(rows.map((cells) => h("tr", { role: "row" }, cells.map(cell)))),
      ),
    ),
  );
}

// A secret that is shown only once.
export function secret(label, value) {
  const input = h("input", {
    readOnly: true,
    value,
    "aria-label": label,
    className: "secret",
    onfocus: (event) => event.target.select(),
  });
  const copy = h(
    "button",
    {
      type: "button",
      async onclick() {
        input.select();
        // Without TLS there is no clipboard but that of the old command.
        if (navigator.clipboard) await navigator.clipboard.writeText(value);
        else document.execCommand("copy");
        copy.textContent = "Copied";
      },
    },
    "Copy",
  );
  return h(
    "div",
    { className: "notice" },
    h("p", {}, `${label}: it is shown this once.`),
    h("div", { className: "line" }, input, copy),
  );
}
