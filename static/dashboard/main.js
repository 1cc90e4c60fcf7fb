// The page: logging in, the filters, the figures and the charts.
import { ApiError, LoggedOut, address, call, download, isLoggedIn, logIn, logOut, post } from "./api.js";
import { CHARTS, FORECAST } from "./charts.js";
import { h, say, span } from "./dom.js";
import { clear } from "./plot.js";
import { query, show, view } from "./state.js";

const content = document.getElementById("content");
const THEME = "task-platform-theme";
const LINK_DAYS = 30;
let me = null;
let turn = 0;

// -- light and dark -------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return localStorage.getItem(THEME) || (dark.matches ? "dark" : "light");
}

function paint() {
  document.documentElement.dataset.theme = theme();
  document.getElementById("theme").textContent = theme() === "dark" ? "Light" : "Dark";
  document.getElementById("theme").setAttribute("aria-label", `Use ${theme() === "dark" ? "light" : "dark"} colours`);
}

document.getElementById("theme").addEventListener("click", () => {
  localStorage.setItem(THEME, theme() === "dark" ? "light" : "dark");
  paint();
  render();
});
dark.addEventListener("change", () => {
  paint();
  render();
});

// -- logging in -----------------------------------------------------------------------------------

function field(label, properties) {
  return h("label", {}, h("span", {}, label), h("input", properties));
}

function loginPage(message = "") {
  clear();
  me = null;
  document.getElementById("who").textContent = "";
  document.getElementById("log-out").hidden = true;
  const problem = h("p", { className: "problem", role: "alert" }, message);
  const username = field("Username or email", { name: "username", autocomplete: "username", required: true });
  const password = field("Password", {
    name: "password",
    type: "password",
    autocomplete: "current-password",
    required: true,
  });
  const form = h(
    "form",
    {
      className: "login",
      async onsubmit(event) {
        event.preventDefault();
        const values = new FormData(form);
        try {
          await logIn(values.get("username"), values.get("password"));
          await render();
        } catch (error) {
          problem.textContent = error instanceof ApiError ? error.message : "The server can't be reached.";
          password.querySelector("input").focus();
        }
      },
    },
    h("h2", {}, "Log in"),
    h("p", {}, "See how your tasks flow: how long they take, what is stuck, and when they will be done."),
    username,
    password,
    problem,
    h("button", { type: "submit", className: "main" }, "Log in"),
  );
  content.replaceChildren(form);
  username.querySelector("input").focus();
}

document.getElementById("log-out").addEventListener("click", async () => {
  await logOut().catch(() => undefined);
  loginPage();
});

// -- the first task -------------------------------------------------------------------------------

function firstSteps() {
  const title = field("What is to be done?", { name: "title", required: true, maxLength: 200 });
  const form = h(
    "form",
    {
      className: "row",
      async onsubmit(event) {
        event.preventDefault();
        await post("/tasks", { title: new FormData(form).get("title") });
        await render();
      },
    },
    title,
    h("button", { type: "submit", className: "main" }, "Add the first task"),
  );
  return h(
    "section",
    { className: "card welcome" },
    h("h2", {}, "There are no tasks yet"),
    h("p", {}, "The figures come from what happens to tasks. To begin:"),
    h(
      "ol",
      {},
      h("li", {}, "Add a task here, or send it to ", h("code", {}, "POST /tasks"), "."),
      h("li", {}, "Set it to ", h("code", {}, "in_progress"), " when work on it begins, and to ", h("code", {}, "completed"), " when it is done."),
      h("li", {}, "Or bring your past along: ", h("code", {}, "POST /tasks/import"), " takes JSON and CSV with dates of their own."),
    ),
    form,
    h("p", {}, "How to make these calls stands in ", h("a", { href: address("/docs") }, "the API's documentation"), "."),
  );
}

// -- filters --------------------------------------------------------------------------------------

function filters(projects) {
  const now = view();
  const select = (label, name, options) =>
    h(
      "label",
      {},
      h("span", {}, label),
      h(
        "select",
        { name },
        options.map(([value, text]) => h("option", { value, selected: (now[name] || "") === value }, text)),
      ),
    );
  const known = projects.map((each) => each.project);
  const form = h(
    "form",
    {
      className: "filters",
      "aria-label": "Filters",
      onchange: () => apply(),
      onsubmit: (event) => {
        event.preventDefault();
        apply();
      },
    },
    field("From", { name: "from", type: "date", value: (now.from || "").slice(0, 10) }),
    field("To", { name: "to", type: "date", value: (now.to || "").slice(0, 10) }),
    select("Interval", "interval", [["day", "Days"], ["", "Weeks"], ["month", "Months"]]),
    select("Project", "project", [["", "All"], ...known.concat(now.project && !known.includes(now.project) ? [now.project] : []).map((name) => [name, name])]),
    field("Tag", { name: "tag", value: now.tag || "", maxLength: 50 }),
    select("Priority", "priority", [["", "All"], ...["0", "1", "2", "3", "4"].map((value) => [value, value])]),
    me.role === "admin" ? select("Whose", "scope", [["", "My tasks"], ["all", "Everybody's"]]) : null,
    h("button", { type: "button", onclick: () => { show({ from: "", to: "", interval: "", project: "", tag: "", priority: "", scope: "", user_id: "" }); render(); } }, "Reset"),
  );
  function apply() {
    show(Object.fromEntries(new FormData(form)));
    render();
  }
  return form;
}

// -- figures --------------------------------------------------------------------------------------

function tile(label, value, before, hint) {
  return h(
    "div",
    { className: "tile", title: hint },
    h("dt", {}, label),
    h("dd", {}, h("strong", {}, value), h("small", {}, `before: ${before}`)),
  );
}

function figures(flow) {
  const { current, previous } = flow;
  return h(
    "dl",
    { className: "tiles" },
    tile("Throughput", `${current.throughput}`, `${previous.throughput}`, flow.definitions.throughput),
    tile("In progress", `${current.work_in_progress}`, `${previous.work_in_progress}`, flow.definitions.work_in_progress),
    tile("Cycle time, half", span(current.cycle_time.p50_hours), span(previous.cycle_time.p50_hours), flow.definitions.cycle_time),
    tile("Cycle time, 85%", span(current.cycle_time.p85_hours), span(previous.cycle_time.p85_hours), flow.definitions.cycle_time),
    tile("Lead time, 85%", span(current.lead_time.p85_hours), span(previous.lead_time.p85_hours), flow.definitions.lead_time),
    tile("Never started", `${current.cycle_time.never_started}`, `${previous.cycle_time.never_started}`, flow.definitions.never_started),
  );
}

async function lastActivity() {
  const now = view();
  const path = now.scope === "all" ? "/tasks/all" : "/tasks";
  const [last] = await call(`${path}?status=completed&sort_by=completed_at&limit=1`);
  return last ? last.completed_at.slice(0, 10) : null;
}

function nothingHere(last) {
  const to = new Date(`${last}T00:00:00Z`);
  const from = new Date(to - 364 * 86400000).toISOString().slice(0, 10);
  return h(
    "p",
    { className: "notice" },
    "Nothing was completed in this period. ",
    h("button", { type: "button", onclick: () => { show({ from, to: last, interval: "month" }); render(); } }, `Show the year until ${last}`),
  );
}

// -- charts ---------------------------------------------------------------------------------------

function table(columns, rows) {
  return h(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, String(cell)))))),
    ),
  );
}

function definitions(answer) {
  return h(
    "details",
    {},
    h("summary", {}, "What this means"),
    h(
      "dl",
      { className: "definitions" },
      Object.entries(answer.definitions).flatMap(([name, text]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, text)]),
    ),
  );
}

function chartCard(chart, ...extra) {
  const body = h("div", { className: "body" }, h("p", { className: "muted" }, "Loading"));
  const card = h(
    "section",
    { className: "card", id: chart.name, "aria-labelledby": `${chart.name}-title` },
    h("h2", { id: `${chart.name}-title` }, chart.title),
    h("p", { className: "muted" }, chart.about),
    ...extra,
    body,
  );
  return { card, body };
}

function fill(chart, body, answer, path) {
  const words = chart.words(answer);
  const rows = chart.rows(answer);
  const place = h("div", { className: "chart", role: "img", "aria-label": `${chart.title}. ${words}` });
  const tabular = h("details", {}, h("summary", {}, "Table"));
  tabular.addEventListener("toggle", () => tabular.childElementCount === 1 && tabular.append(table(chart.columns, rows)), { once: true });
  body.replaceChildren(
    h("p", { className: "words" }, words),
    place,
    tabular,
    definitions(answer),
    h(
      "p",
      { className: "actions" },
      h("button", { type: "button", onclick: () => download(path, "text/csv", `${chart.name}.csv`) }, "CSV"),
      h("button", { type: "button", onclick: () => download(path, "image/svg+xml", `${chart.name}.svg`) }, "SVG"),
      h("button", { type: "button", onclick: (event) => share(chart, path, event.target) }, "Link to the picture"),
    ),
  );
  chart.draw(place, answer);
}

async function share(chart, path, button) {
  const asked = Object.fromEntries(new URLSearchParams(path.split("?")[1]));
  const made = await post("/analytics/pictures", { chart: chart.name, query: asked, expires_in_days: LINK_DAYS });
  const url = address(made.url);
  const shown = h("input", { className: "link", readOnly: true, value: url, "aria-label": "Link to the picture" });
  button.replaceWith(shown);
  shown.select();
  say(`A link that shows this picture to anybody until ${made.expires_at.slice(0, 10)}.`);
}

async function load(chart, body, mine) {
  const now = view();
  const more = { ...chart.more, ...(chart.byInterval ? { interval: now.interval } : {}) };
  const path = `/analytics/${chart.name}?${query(more)}`;
  try {
    const answer = await call(path);
    if (mine !== turn) return null;
    if (chart.isEmpty(answer)) body.replaceChildren(h("p", { className: "muted" }, "Nothing to show in this period."));
    else fill(chart, body, answer, path);
    return answer;
  } catch (error) {
    return refuse(error, body, mine);
  }
}

function refuse(error, body, mine) {
  if (error instanceof LoggedOut) throw error;
  if (mine === turn) body.replaceChildren(h("p", { className: "notice" }, error.message));
  return null;
}

function forecastForm(open) {
  const now = view();
  const remaining = field("Tasks to be done", { name: "remaining", type: "number", min: 1, max: 100000, value: now.remaining || "", placeholder: now.until ? "" : `${open} are open` });
  const until = field("or until", { name: "until", type: "date", value: now.until || "" });
  const [first, second] = [remaining, until].map((label) => label.querySelector("input"));
  const form = h(
    "form",
    {
      className: "row",
      onsubmit: (event) => event.preventDefault(),
      onchange(event) {
        // Only one of the two is asked.
        if (event.target === first) second.value = "";
        else first.value = "";
        show({ remaining: first.value, until: second.value });
        render();
      },
    },
    remaining,
    until,
  );
  return form;
}

async function loadForecast(body, open, mine) {
  const now = view();
  const asked = now.until ? { until: now.until } : { remaining: now.remaining || String(Math.min(open, 100000)) };
  if (!now.until && !now.remaining && !open) {
    body.replaceChildren(h("p", { className: "muted" }, "No task is open: say how many are to be done."));
    return;
  }
  // The past that a forecast rests on is its own, not the period that is looked at.
  const path = `/analytics/forecast?${withoutFrom(query(asked))}`;
  try {
    const answer = await call(path);
    if (mine === turn) fill(FORECAST, body, answer, path);
  } catch (error) {
    refuse(error, body, mine);
  }
}

function withoutFrom(text) {
  const found = new URLSearchParams(text);
  found.delete("from");
  return found.toString();
}

// -- the page -------------------------------------------------------------------------------------

async function render() {
  if (!isLoggedIn()) {
    loginPage();
    return;
  }
  const mine = ++turn;
  delete content.dataset.ready;
  const focused = document.activeElement && document.activeElement.name;
  try {
    me = me || (await call("/auth/me"));
    document.getElementById("who").textContent = me.username;
    document.getElementById("log-out").hidden = false;
    const [projects, flow, aging, done] = await Promise.all([
      call("/analytics/project-stats"),
      call(`/analytics/flow?${query()}`),
      call(`/analytics/aging?${query({ limit: "1" })}`),
      call("/analytics/user-completion-stats"),
    ]);
    if (mine !== turn) return;
    clear();
    const isEmpty = done.total_tasks === 0 && !view().scope && !view().user_id;
    if (isEmpty) {
      content.replaceChildren(firstSteps());
      return;
    }
    const last = flow.n === 0 ? await lastActivity() : null;
    const cards = CHARTS.map((chart) => ({ chart, ...chartCard(chart) }));
    const forecast = chartCard(FORECAST, forecastForm(aging.n));
    content.replaceChildren(
      filters(projects),
      ...(last ? [nothingHere(last)] : []),
      figures(flow),
      h("div", { className: "grid" }, cards.map(({ card }) => card), forecast.card),
    );
    const again = focused && content.querySelector(`[name="${focused}"]`);
    if (again) again.focus();
    await Promise.all([
      ...cards.map(({ chart, body }) => load(chart, body, mine)),
      loadForecast(forecast.body, aging.n, mine),
    ]);
    if (mine === turn) content.dataset.ready = String(mine);
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof LoggedOut) loginPage("Your session has ended: log in again.");
    else content.replaceChildren(h("p", { className: "notice", role: "alert" }, error instanceof ApiError ? error.message : "The server can't be reached."));
  }
}

addEventListener("popstate", render);
paint();
render();
