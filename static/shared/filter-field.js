// A field for the filter language. It completes fields, operators and values, and shows an error at its
// place.
import { FIELDS } from "./filter-fields.js";
import { completed } from "./completing.js";
import { h } from "./dom.js";
import { shortened } from "./format.js";

const TOKEN = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|!=|!~|<=|>=|[=<>~(),]|[^\s()"',=<>!~]+/g;
const PART = /[^\s()"',=<>!~]*$/;
const COMPARISONS = new Set(["=", "!=", "<", "<=", ">", ">=", "~", "!~"]);
const JOINING = new Set(["and", "or", "not"]);
const TIMES = ["today", "tomorrow", "yesterday", "now", "today+7d", "today-7d", "today-1mo", "now-2h"];

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

// How much of a filter is shown before and after a mistake: all of a long one would push its message off the page.
const AROUND = 80;

let number = 0;

// The input and its list. `known(name)` gives the values of a field that tasks have, such as tags.
export function filterField(label, properties, known) {
  const id = `filter-${++number}`;
  const problem = h("p", { className: "problem", id: `${id}-problem`, role: "alert" });
  const where = h("p", { className: "where", hidden: true });
  const input = h("input", {
    ...properties,
    id,
    autocapitalize: "none",
    spellcheck: false,
    maxLength: 2000,
    "aria-describedby": problem.id,
  });
  const list = completed(input, `${label}: what could stand here`, PART, (head) => offers(head, known));
  let said = "";
  // Shows the position of a mistake in the filter that was asked for. The server counts code points; JavaScript
  // counts UTF-16 units.
  function mark(asked, position) {
    const letters = [...asked];
    const [head, there, rest] = [
      letters.slice(0, position),
      letters.slice(position, position + 1),
      letters.slice(position + 1),
    ].map((each) => each.join(""));
    where.replaceChildren(
      head.length > AROUND ? `…${head.slice(-AROUND)}` : head,
      h("mark", {}, there || "\u00a0"),
      shortened(rest, AROUND),
    );
    where.hidden = false;
    const isSaid = said === `${position} ${asked}`;
    said = `${position} ${asked}`;
    // The caret of somebody who types on, or who has moved it since or selected a text, stays where it is.
    const isWaiting = document.activeElement === input && input.selectionStart === input.selectionEnd;
    if (isSaid || !isWaiting || input.value.trim() !== asked) return;
    const place = input.value.indexOf(asked) + head.length;
    input.setSelectionRange(place, place + there.length);
  }
  function clear() {
    said = "";
    where.hidden = true;
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
  return { element, mark, clear };
}
