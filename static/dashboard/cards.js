// A card for each chart: its summary, its drawing, its table, and its links.
import { act } from "../shared/act.js";
import { describe, h, say } from "../shared/dom.js";
import { day, number } from "../shared/format.js";
import { LoggedOut, call, nextPage, post, request, save } from "../shared/session.js";
import { taskAddress } from "./charts.js";
import { query, show, shownZone, view } from "./state.js";

const LINK_DAYS = 30;
const PAGE = 5000;
const MOST = 20_000;
const MOST_ROWS = 500;

// A text of the definitions, with `names` in code style.
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));
}

function cell(value) {
  if (value !== null && typeof value === "object")
    return h("td", {}, h("a", { href: taskAddress(value) }, value.title));
  return h("td", {}, typeof value === "number" ? number(value) : value);
}

function table(chart, answer) {
  const columns = typeof chart.columns === "function" ? chart.columns(answer) : chart.columns;
  const rows = chart.rows(answer);
  const shown = rows.slice(0, MOST_ROWS);
  return [
    h(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": `Table: ${chart.title}` },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            columns.map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          shown.map((row) => h("tr", {}, row.map(cell))),
        ),
      ),
    ),
    shown.length < rows.length
      ? h(
          "p",
          { className: "muted" },
          `The first ${number(shown.length)} of ${number(rows.length)}: the CSV has all.`,
        )
      : "",
  ];
}

function definitions(answer) {
  return h(
    "details",
    {},
    h("summary", {}, "What this means"),
    h(
      "dl",
      { className: "definitions" },
      Object.entries(answer.definitions).flatMap(([name, text]) => [
        h("dt", {}, name.replaceAll("_", " ")),
        h("dd", {}, prose(text)),
      ]),
    ),
  );
}

// All pages of a list, up to a number of tasks.
async function whole(path) {
  let response = await request(path);
  const answer = await response.json();
  for (let next = nextPage(response); next && answer.tasks.length < MOST; next = nextPage(response)) {
    response = await request(next);
    answer.tasks.push(...(await response.json()).tasks);
  }
  return answer;
}

async function csv(path, name) {
  const parts = [];
  for (let next = path; next;) {
    const response = await request(next, { headers: { Accept: "text/csv" } });
    const text = await response.text();
    parts.push(parts.length ? text.slice(text.indexOf("\n") + 1) : text);
    next = nextPage(response);
  }
  save(new Blob(parts, { type: "text/csv" }), name);
}

async function svg(path, name) {
  save(await (await request(path, { headers: { Accept: "image/svg+xml" } })).blob(), name);
}

async function share(chart, path, button) {
  const asked = Object.fromEntries(new URLSearchParams(path.split("?")[1]));
  button.disabled = true;
  const made = await post("/analytics/pictures", {
    chart: chart.name,
    query: asked,
    expires_in_days: LINK_DAYS,
  }).finally(() => (button.disabled = false));
  const shown = h("input", {
    className: "link",
    readOnly: true,
    value: new URL(made.url, location.href).href,
    "aria-label": "Link to the picture",
  });
  button.replaceWith(shown);
  shown.select();
  say(`A link that shows this picture to anybody until ${day(made.expires_at, shownZone())}.`);
}

// The card of a chart; `asked` gives its path, or says as `nothing` why there is nothing to ask.
export function chartCard(chart, asked, blame, ...extra) {
  const body = h("div", { className: "body" }, h("p", { className: "muted loading" }, "Loading"));
  const problem = h("p", { className: "problem", role: "alert" });
  const box = chart.choice ? choice(chart.choice, () => load()) : null;
  const card = h(
    "section",
    { className: "card", id: chart.name, "aria-labelledby": `${chart.name}-title` },
    h("h2", { id: `${chart.name}-title` }, chart.title),
    h("p", { className: "muted" }, chart.about),
    box ? h("label", { className: "check" }, box, chart.choice.label) : null,
    extra,
    problem,
    body,
  );
  let [turn, shown, erase] = [0, null, () => undefined];
  // A table that is open stays open when the figures change.
  const opened = new Set();

  function foldable(name, details) {
    details.open = opened.has(name);
    details.addEventListener("toggle", () => opened[details.open ? "add" : "delete"](name));
    return details;
  }

  function fill(answer, path) {
    const words = chart.words(answer);
    const place = h("div", { className: "chart", role: "img", "aria-label": `${chart.title}. ${words}` });
    const tabular = foldable("table", h("details", {}, h("summary", {}, "Table")));
    tabular.addEventListener(
      "toggle",
      () => tabular.childElementCount === 1 && tabular.append(...table(chart, answer)),
    );
    erase();
    body.replaceChildren(
      h("p", { className: "words" }, words),
      place,
      tabular,
      foldable("definitions", definitions(answer)),
      h(
        "p",
        { className: "actions" },
        h("button", { type: "button", onclick: act(() => csv(path, `${chart.name}.csv`)) }, "CSV"),
        h("button", { type: "button", onclick: act(() => svg(path, `${chart.name}.svg`)) }, "SVG"),
        h(
          "button",
          { type: "button", onclick: act(({ target }) => share(chart, path, target)) },
          "Link to the picture",
        ),
      ),
    );
    describe(body, card.querySelector("h2"));
    shown = { place, answer };
    erase = chart.draw(place, answer);
  }

  async function load() {
    const mine = ++turn;
    const path = asked(view());
    // The browser's way back changes the address alone.
    if (box) box.checked = isChosen(chart.choice);
    card.setAttribute("aria-busy", "true");
    try {
      if (path.nothing) return empty(path.nothing);
      const answer = await (chart.pages ? whole(path) : call(path));
      if (mine !== turn) return null;
      if (chart.isEmpty?.(answer)) return empty(chart.nothing);
      problem.textContent = "";
      body.classList.remove("stale");
      fill(answer, path);
    } catch (error) {
      if (error instanceof LoggedOut) throw error;
      if (mine !== turn) return null;
      if (error.status === 409) return empty(error.message);
      refuse(error);
    } finally {
      if (mine === turn) card.removeAttribute("aria-busy");
    }
    return null;
  }

  function empty(message) {
    forget();
    body.replaceChildren(h("p", { className: "muted nothing" }, message));
    return null;
  }

  // The former chart stays, dimmed, below the message.
  function refuse(error) {
    body.classList.toggle("stale", shown !== null);
    if (shown === null) body.replaceChildren();
    problem.replaceChildren();
    // Asking again would not help against a mistake in the form, which is said beside its field.
    if (blame && error.errors?.length) blame(error);
    else problem.replaceChildren(error.message, " ", h("button", { type: "button", onclick: act(load) }, "Retry"));
  }

  function forget() {
    erase();
    [shown, erase] = [null, () => undefined];
    problem.textContent = "";
    body.classList.remove("stale");
  }

  function redraw() {
    if (!shown) return;
    erase();
    erase = chart.draw(shown.place, shown.answer);
  }

  return {
    card,
    load,
    redraw,
    forget: () => (turn++, forget()),
    stale(is) {
      body.classList.toggle("stale", is && shown !== null);
      // Nothing is on its way for a form that was refused.
      if (is && shown === null) body.replaceChildren();
    },
  };
}

const isChosen = ({ name, value }) => view()[name] === value;

function choice({ name, value }, changed) {
  const box = h("input", {
    type: "checkbox",
    onchange: act(() => (show({ [name]: box.checked ? value : "" }), changed())),
  });
  return box;
}

export const chartPath = (chart) => (now) =>
  `/analytics/${chart.name}?${query({
    ...(chart.pages ? { limit: String(PAGE) } : {}),
    ...(chart.byInterval ? { interval: now.interval } : {}),
    ...(chart.choice ? { [chart.choice.name]: now[chart.choice.name] } : {}),
  })}`;
