// The page: logging in, the filters, the figures and the charts.
import { act, whenLoggedOut } from "../shared/act.js";
import { blameAll, field, h, say } from "../shared/dom.js";
import { day, isoDay } from "../shared/format.js";
import { loginPage } from "../shared/login.js";
import { LoggedOut, address, call, logOut, onSession, post, resume } from "../shared/session.js";
import { dress } from "../shared/theme.js";
import { chartCard, chartPath } from "./cards.js";
import { CHARTS } from "./charts.js";
import { figures, heading, periodText, whose } from "./figures.js";
import { filterForm } from "./filters.js";
import { forecastCard, pastPath } from "./forecast.js";
import { query, show, shownZone, view } from "./state.js";

const ABOUT = "See how your tasks flow: how long they take, what is stuck, and when they will be done.";
const content = document.getElementById("content");
const logOutButton = document.getElementById("log-out");
let me = null;
let shell = null;
let turn = 0;

function leave(message = "") {
  turn++;
  for (const card of shell?.cards || []) card.forget();
  [me, shell] = [null, null];
  document.getElementById("who").textContent = "";
  logOutButton.hidden = true;
  delete content.dataset.ready;
  loginPage(content, ABOUT, start, message);
}

async function start() {
  const mine = ++turn;
  try {
    const isIn = await resume();
    if (mine !== turn) return null;
    if (!isIn) return leave();
    const caller = await call("/auth/me");
    // Another tab may have ended the session meanwhile, and somebody may be typing in the login.
    if (mine !== turn) return null;
    me = caller;
    document.getElementById("who").textContent = me.username;
    logOutButton.hidden = false;
    await update();
  } catch (error) {
    if (mine !== turn) return null;
    if (error instanceof LoggedOut) leave(error.message);
    else content.replaceChildren(trouble(error, start));
  }
  return null;
}

function trouble(error, again) {
  return h(
    "p",
    { className: "notice", role: "alert" },
    error.message,
    " ",
    h("button", { type: "button", onclick: again }, "Retry"),
  );
}

// -- the first task -------------------------------------------------------------------------------

function firstSteps() {
  const problem = h("p", { className: "problem", role: "alert" });
  const add = h("button", { type: "submit", className: "main" }, "Add the first task");
  const form = h(
    "form",
    {
      className: "row",
      onsubmit: act(async (event) => {
        event.preventDefault();
        add.disabled = true;
        try {
          await post("/tasks", { title: new FormData(form).get("title") });
          await update();
        } catch (error) {
          if (!error.errors) throw error;
          blameAll(form, error, problem);
        } finally {
          add.disabled = false;
        }
      }),
    },
    field("What is to be done?", { name: "title", required: true, maxLength: 500 }),
    add,
    problem,
  );
  return h(
    "section",
    { className: "card welcome" },
    h("h2", {}, "There are no tasks yet"),
    h("p", {}, "The figures come from what happens to tasks. To begin:"),
    h(
      "ol",
      {},
      h(
        "li",
        {},
        "Add a task here, on ",
        h("a", { href: address("/app") }, "the page of tasks"),
        ", or by ",
        h("code", {}, "POST /tasks"),
        ".",
      ),
      h(
        "li",
        {},
        "Set it to ",
        h("code", {}, "in_progress"),
        " when work on it begins, and to ",
        h("code", {}, "completed"),
        " when it is done.",
      ),
      h(
        "li",
        {},
        "Or bring your past along: ",
        h("code", {}, "POST /tasks/import"),
        " takes JSON and CSV with dates of their own.",
      ),
    ),
    form,
    h(
      "p",
      {},
      "How to make these calls stands in ",
      h("a", { href: address("/docs") }, "the API's documentation"),
      ".",
    ),
  );
}

// -- the figures ----------------------------------------------------------------------------------

// The shared project of the figures: the chosen one, or that of the chosen view.
const projectIdOf = (views) =>
  view().project_id || views.find((each) => String(each.id) === view().view)?.project_id || null;

// An archived project is not in the list, nor is one that an admin is no member of.
async function teamOf(shared, id) {
  if (!id) return null;
  return shared.find((each) => String(each.id) === String(id)) || call(`/projects/${encodeURIComponent(id)}`);
}

// The other account that an admin asks about.
async function personOf() {
  const { user_id: id } = view();
  return id && id !== String(me.id) ? call(`/users/${encodeURIComponent(id)}`) : null;
}

function listPath(projectId) {
  const now = view();
  if (projectId) return `/tasks?project_id=${encodeURIComponent(projectId)}&`;
  if (now.scope === "all") return "/tasks/all?";
  return now.user_id ? `/tasks/admin/filter?user_id=${encodeURIComponent(now.user_id)}&` : "/tasks?";
}

async function nothingHere(flow, list) {
  if (flow.n) return "";
  const [last] = await call(`${list}status=completed&sort_by=completed_at&limit=1`);
  if (!last) return "";
  const [from, to] = [364, 0].map((days) => isoDay(last.completed_at, shownZone(), days));
  const go = act(() => (show({ from, to, interval: "month" }), shell.filters.take(), update()));
  return h(
    "p",
    { className: "notice" },
    "Nothing was completed in this period. ",
    h(
      "button",
      { type: "button", onclick: go },
      `Show the year until ${day(last.completed_at, shownZone())}`,
    ),
  );
}

function build(projects, shared, views) {
  const filters = filterForm(me, projects, shared, views, update);
  const cards = CHARTS.map((chart) => chartCard(chart, chartPath(chart), filters.blame));
  const forecast = forecastCard();
  const [notice, period, hint, tiles] = ["notice-place", "period-place", "hint-place", "tiles-place"].map(
    // Screen readers tell the new period when a filter has changed.
    (className) => h("div", { className, role: className === "period-place" && "status" }),
  );
  const all = [...cards, forecast];
  const grid = h("div", { className: "grid" }, all.map(({ card }) => card));
  const parts = [filters.form, notice, period, hint, tiles, grid];
  return { filters, notice, period, hint, tiles, forecast, cards: all, parts };
}

// Puts the figures and charts on the page at once, so that none moves the others down.
function put() {
  if (!content.contains(shell.filters.form)) content.replaceChildren(...shell.parts);
}

function dim(isStale) {
  for (const card of shell.cards) card.stale(isStale);
  for (const place of [shell.period, shell.tiles]) place.classList.toggle("stale", isStale);
}

// An error is shown beside its field or above the figures, which stay, dimmed.
function refuse(error) {
  put();
  dim(true);
  shell.notice.replaceChildren();
  if (error.errors?.length) shell.filters.blame(error);
  else shell.notice.replaceChildren(trouble(error, update));
}

async function update() {
  const mine = ++turn;
  delete content.dataset.ready;
  try {
    const [projects, shared, done, views] = await Promise.all([
      call("/analytics/project-stats"),
      call("/projects?limit=500"),
      call("/analytics/user-completion-stats"),
      call("/views?limit=500"),
    ]);
    if (mine !== turn) return;
    if (done.total_tasks === 0 && !shared.length && !view().scope && !view().user_id) {
      shell = null;
      content.replaceChildren(firstSteps());
      return;
    }
    shell = shell || build(projects, shared, views);
    const projectId = projectIdOf(views);
    const list = listPath(projectId);
    const [flow, aging, burnup, [first], team, person] = await Promise.all([
      call(`/analytics/flow?${query()}`),
      call(`/analytics/aging?${query({ limit: "1" })}`),
      call(pastPath()),
      call(`${list}sort_by=created_at&sort_order=asc&limit=1`),
      teamOf(shared, projectId),
      personOf(),
    ]);
    const hint = await nothingHere(flow, list);
    if (mine !== turn) return;
    shell.filters.clear();
    dim(false);
    shell.notice.replaceChildren();
    shell.period.replaceChildren(heading(flow, team, person));
    if (view().project_id) shell.filters.name("project_id", team.name);
    if (person) shell.filters.name("scope", person.username);
    shell.hint.replaceChildren(hint);
    shell.tiles.replaceChildren(figures(flow, first ? first.created_at : null));
    document.title = ["Flow", whose(team, person), periodText(flow)].filter(Boolean).join(", ") + " - Task Platform";
    shell.forecast.tell(aging.n, burnup.forecast.refused);
    put();
    await Promise.all(shell.cards.map((card) => card.load()));
    if (mine === turn) content.dataset.ready = String(mine);
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof LoggedOut) leave(error.message);
    else if (!shell && !error.errors?.length) content.replaceChildren(trouble(error, start));
    else {
      shell = shell || build([], [], []);
      refuse(error);
    }
  }
}

logOutButton.addEventListener("click", async () => {
  try {
    await logOut();
    leave();
  } catch (error) {
    leave();
    say(`${error.message} The session may still be open.`, 0);
  }
});
onSession((what) => {
  // Somebody may be typing in the login.
  if (what === "out" && content.querySelector(".login")) return;
  // Another tab may have logged in another account, so everything on the page is dropped.
  leave(what === "in" ? "" : "You were logged out in another tab.");
  if (what === "in") start();
});
whenLoggedOut(leave);
addEventListener("popstate", () => shell && (shell.filters.take(), update()));
dress(document.getElementById("theme"), () => {
  for (const card of shell?.cards || []) card.redraw();
});
start();
