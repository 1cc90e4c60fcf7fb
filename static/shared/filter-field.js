// A field for the filter language. It completes fields, operators and values, and shows an error at its
// place.
import { FIELDS } from "./filter-fields.js";
import { h } from "./dom.js";

const TOKEN = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|!=|!~|<=|>=|[=<>~(),]|[^\s()"',=<>!~]+/g;
const PART = /[^\s()"',=<>!~]*$/;
const COMPARISONS = new Set(["=", "!=", "<", "<=", ">", ">=", "~", "!~"]);
const JOINING = new Set(["and", "or", "not"]);
const TIMES = ["today", "tomorrow", "yesterday", "now", "today+7d", "today-7d", "today-1mo", "now-2h"];
const MOST = 12;

// The kind of text that could follow, and the field that it is about.
function expected(text) {
  let [wanted, about, depth] = ["field", null, 0];
  for (const token of text.match(TOKEN) || []) {
    const word = token.toLowerCase();
    if (wanted === "field") {
      if (FIELDS[word]) [wanted, about] = ["operator", word];
      else if (word === "(") depth++;
    } else if (wanted === "operator") {
      if (COMPARISONS.has(word)) wanted = "value";
      else if (word === "in") wanted = "list";
      else if (word === "null") wanted = "joining";
    } else if (wanted === "list") wanted = "listed";
    else if (wanted === "value") wanted = "joining";
    else if (wanted === "listed") wanted = "next";
    else if (wanted === "next") wanted = word === ")" ? "joining" : "listed";
    else if (word === ")") depth = Math.max(0, depth - 1);
    else if (JOINING.has(word)) wanted = "field";
  }
  return { wanted, about, depth };
}

function quoted(text) {
  const isWord = /^[^\s()"',=<>!~]+$/.test(text) && !/^(and|or|not|in|is|null)$/i.test(text);
  return isWord ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

// The values that are offered for a field; `known` gives the values that tasks have.
async function values(name, known) {
  const { kind, choices } = FIELDS[name];
  if (choices.length) return choices;
  if (kind === "time") return TIMES;
  if (kind === "flag") return ["true", "false"];
  if (kind === "account") return ["@me"];
  if (name === "priority") return ["0", "1", "2", "3", "4"];
  return (await known(name)).map(quoted);
}

async function offers(text, known) {
  const { wanted, about, depth } = expected(text);
  if (wanted === "field") return [...Object.keys(FIELDS), "not", "("];
  if (wanted === "operator") return FIELDS[about].operators;
  if (wanted === "list") return ["("];
  if (wanted === "joining") return ["and", "or", ...(depth ? [")"] : [])];
  if (wanted === "next") return [",", ")"];
  return values(about, known);
}

let number = 0;

// The input and its list. `known(name)` gives the values of a field that tasks have, such as tags.
export function filterField(label, properties, known) {
  const id = `filter-${++number}`;
  const list = h("ul", {
    id: `${id}-offers`,
    className: "offers",
    role: "listbox",
    "aria-label": `${label}: what could stand here`,
    hidden: true,
  });
  const problem = h("p", { className: "problem", id: `${id}-problem`, role: "alert" });
  const where = h("p", { className: "where", hidden: true });
  const input = h("input", {
    ...properties,
    id,
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: false,
    maxLength: 2000,
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-controls": list.id,
    "aria-describedby": problem.id,
    oninput: offer,
    onclick: offer,
    onkeydown,
    onblur: close,
  });
  let [active, turn] = [-1, 0];

  function close() {
    turn++;
    active = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function before() {
    const text = input.value.slice(0, input.selectionStart);
    const [part] = PART.exec(text);
    return [text.slice(0, text.length - part.length), part];
  }
  async function offer() {
    const mine = ++turn;
    const [head, part] = before();
    const found = (await offers(head, known)).filter(
      (each) => each.toLowerCase().startsWith(part.toLowerCase()) && each !== part,
    );
    if (mine !== turn || document.activeElement !== input) return;
    if (!found.length) return close();
    active = -1;
    input.removeAttribute("aria-activedescendant");
    list.replaceChildren(
      ...found.slice(0, MOST).map((each, place) =>
        h(
          "li",
          {
            id: `${id}-${place}`,
            role: "option",
            "aria-selected": "false",
            // mousedown comes before the input loses the focus.
            onmousedown: (event) => (event.preventDefault(), take(each)),
          },
          each,
        ),
      ),
    );
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }
  function take(text) {
    const [head, part] = before();
    const rest = input.value.slice(head.length + part.length);
    const space = rest.startsWith(" ") ? "" : " ";
    input.value = head + text + space + rest;
    const place = head.length + text.length + 1;
    input.setSelectionRange(place, place);
    offer();
  }
  function move(step) {
    const options = [...list.children];
    active = (active + step + options.length + 1) % (options.length + 1);
    if (active === options.length) active = -1;
    options.forEach((each, place) => each.setAttribute("aria-selected", String(place === active)));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", options[active].id);
  }
  function onkeydown(event) {
    if (list.hidden) {
      if (event.key === "ArrowDown") (event.preventDefault(), offer());
      return;
    }
    if (event.key === "ArrowDown") (event.preventDefault(), move(1));
    else if (event.key === "ArrowUp") (event.preventDefault(), move(active < 0 ? list.children.length : -1));
    else if (event.key === "Escape") (event.preventDefault(), event.stopPropagation(), close());
    else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      event.stopPropagation();
      take(list.children[active].textContent);
    } else if (event.key === "Enter") close();
  }
  // Shows the position of a mistake in the filter. The server counts code points; JavaScript counts UTF-16
  // units.
  function mark(position) {
    const letters = [...input.value];
    const [head, there, rest] = [
      letters.slice(0, position),
      letters.slice(position, position + 1),
      letters.slice(position + 1),
    ].map((each) => each.join(""));
    where.replaceChildren(head, h("mark", {}, there || "\u00a0"), rest);
    where.hidden = false;
    if (document.activeElement === input) input.setSelectionRange(head.length, head.length + there.length);
  }
  const element = h(
    "div",
    { className: "field wide asking" },
    h("label", { htmlFor: id }, label),
    input,
    list,
    where,
    problem,
  );
  return { element, mark, clear: () => (where.hidden = true) };
}
