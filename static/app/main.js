// The page: the login, the view in the address, and changes that arrive meanwhile.
import { act, whenLoggedOut } from "../shared/act.js";
import { h, say } from "../shared/dom.js";
import { loginPage } from "../shared/login.js";
import { LoggedOut, onSession, resume } from "../shared/session.js";
import { theme } from "../shared/theme.js";
import { change, go, keepPlace, now, onGo } from "./address.js";
import * as api from "./api.js";
import { taskBoard } from "./board.js";
import { bulkBar } from "./bulk.js";
import { closeDrawer } from "./drawer.js";
import { dropLeftDialogs, leaveDialogs, showLeftDialogs } from "./dialog.js";
import { refill } from "./fields.js";
import { importPage } from "./importing.js";
import { useSurface } from "./keys.js";
import { taskList } from "./list.js";
import { sendKept } from "./later.js";
import { follow } from "./live.js";
import { clear as unmark, onMarks } from "./marks.js";
import { leftOut } from "./matching.js";
import {
  forgetAll, forgetMembers, loadMenu, loadProjects, loadUnread, loadViews, membersOf, model, project, projectOf,
} from "./model.js";
import { loadTold, notificationsPage } from "./notifying.js";
import { open } from "./opened.js";
import { drawPage, dropLeft, leavePage } from "./page.js";
import * as panel from "./panel.js";
import { leaveLost, projectPage, showMembers, whenArchived } from "./project.js";
import { settingsPage } from "./settings.js";
import { clearSide, newProject, sidebar, tellLive, whenChanged, whenLeaving } from "./side.js";
import * as store from "./store.js";
import { whenEdited } from "./titles.js";
import { settleAll } from "./toasts.js";
import { showCount, tellFound, titleOf, toolbar } from "./toolbar.js";
import { sendAgain } from "./unsent.js";

const ABOUT = "Write down what is to be done, alone or together, and do it.";
const PAGES = {
  settings: settingsPage,
  notifications: notificationsPage,
  import: importPage,
  project: projectPage,
};
const content = document.getElementById("content");
const bulk = bulkBar();
let surface = null;
let shownKey = null;
// Counts how often the place was drawn: what is awaited for an earlier drawing is dropped.
let drawing = 0;
// Counts the accounts that were left.
let left = 0;
let unfollow = () => undefined;
// The list is asked for when the stream of events has begun, so that no change falls between them. A stream that
// takes longer than this is not waited for: the list is loaded again once the stream has begun.
const STREAM_MS = 300;
document.documentElement.dataset.theme = theme();

// -- logging in -----------------------------------------------------------------------------------

function leave(message = "") {
  unfollow();
  settleAll();
  drawing++;
  left++;
  leavePage(content, shownKey);
  leaveDialogs();
  setSurface(null);
  store.clear();
  forgetAll();
  panel.close();
  clearSide();
  shownKey = null;
  closeDrawer();
  document.body.classList.remove("in");
  document.title = "Tasks - Task Platform";
  loginPage(content, ABOUT, start, message, "h1");
}

const ended = (message) => model.me && leave(message);

async function start() {
  const mine = left;
  try {
    const isIn = await resume();
    if (mine !== left) return null;
    if (!isIn) return leave();
    // They are loaded at once, because they depend only on the caller. The list of a view needs its name and project.
    const views = now().view && loadViews();
    const [me] = await Promise.all([api.account.me(), loadProjects(), views]);
    // Another tab may have logged in another account meanwhile.
    if (mine !== left) return null;
    model.me = me;
    sendKept();
    // The menu and its room come together, so that nothing on the page moves aside later.
    sidebar();
    document.body.classList.add("in");
    shownKey = null;
    await streaming();
    if (mine !== left) return null;
    await render();
    showLeftDialogs();
    await Promise.all([views || loadViews(), loadUnread()]);
    sidebar();
  } catch (error) {
    if (mine !== left) return null;
    if (error instanceof LoggedOut) leave(error.message);
    else
      content.replaceChildren(
        h(
          "p",
          { className: "notice", role: "alert" },
          error.message,
          " ",
          h("button", { type: "button", onclick: start }, "Retry"),
        ),
      );
  }
  return null;
}

// Follows the events; resolves when the stream has begun, or when it is not waited for any longer.
function streaming() {
  return new Promise((resolve) => {
    let [isLate, isAway] = [false, false];
    const timer = setTimeout(() => resolve((isLate = true)), STREAM_MS);
    unfollow();
    const told = (state) => {
      tellLive(state);
      if (state === "waiting") return void (isAway = true);
      clearTimeout(timer);
      resolve();
      if (isLate && state === "live") act(missed)();
      if (isAway) sendAgain();
      isLate = isAway = false;
    };
    // Nobody may touch the page for hours after the session ended elsewhere.
    unfollow = follow(act(happened), act(missed), told, ended);
  });
}

// -- the view -------------------------------------------------------------------------------------

function setSurface(next) {
  surface?.leave();
  surface = next;
  useSurface(next);
}

// The parts of the address that decide which tasks are shown, and how.
function keyOf({ task: _, ...rest }) {
  return JSON.stringify(rest);
}

const render = act(async (again = false) => {
  if (!model.me) return;
  const address = now();
  const key = keyOf(address);
  // The task does not wait for the list, and has its room before the list is drawn.
  const opening = panel.show(address.task);
  if (again || key !== shownKey) {
    const page = PAGES[address.page];
    const isOther = shownKey === null || !shownKey.includes(`"project":"${address.project}"`);
    if (key === shownKey) keepPlace();
    shownKey = key;
    drawing++;
    unmark();
    sidebar();
    setSurface(null);
    if (page) {
      store.clear();
      if (address.project && !project()) dropLeft();
      await drawPage(content, key, page);
    } else await showTasks(isOther);
  }
  surface?.draw();
  tellTitle();
  await opening;
  tellTitle();
});

// Each address has a title of its own, by which it is found again among bookmarks and tabs.
function tellTitle() {
  const address = now();
  const page = PAGES[address.page];
  const shown = page && page !== projectPage ? page.title : titleOf(address);
  const parts = [address.task && open.task?.title, page === projectPage && "Settings", shown, "Task Platform"];
  document.title = parts.filter(Boolean).join(" - ");
}

async function showTasks(isOther) {
  const mine = drawing;
  const loading = store.load();
  tellFound(true);
  const [bar] = await Promise.all([toolbar(), isOther && project() ? membersOf(project().id) : null]);
  if (mine !== drawing) return;
  const field = content.contains(document.activeElement) ? document.activeElement : null;
  const [name, from, to] = [field?.name, field?.selectionStart, field?.selectionEnd];
  const place = h("div", { className: now().layout === "board" ? "board" : "list" });
  const empty = h("div", { className: "empty", id: "empty" });
  content.replaceChildren(bar, h("div", { className: "under" }, place, empty), bulk.element);
  setSurface((now().layout === "board" ? taskBoard : taskList)(place));
  // Draws the tasks that arrived before the place was on the page.
  draw();
  const again = name ? content.querySelector(`[name="${name}"]`) : null;
  again?.focus();
  if (again?.setSelectionRange && typeof from === "number") again.setSelectionRange(from, to);
  await loading;
  if (mine !== drawing) return;
  draw();
  tellFound();
  // Somebody who has begun to type while the list was loading goes on typing.
  if (now().task) return void panel.activateOpen();
  if (![document.body, content].includes(document.activeElement)) return;
  surface?.focus();
  // An empty list has nothing to give the focus to.
  if (document.activeElement === document.body) content.focus({ preventScroll: true });
}

function showEmpty() {
  const place = document.getElementById("empty");
  if (!place || !surface) return;
  const isEmpty = !store.all().length && !store.state.isLoading && !store.state.error;
  place.hidden = !isEmpty;
  if (!isEmpty) return;
  const address = now();
  const isFiltered = ["q", "status", "priority", "tag", "label", "owner", "filter", "view"].some(
    (name) => address[name],
  );
  const way = (label, run) => h("button", { type: "button", onclick: run }, label);
  if (isFiltered)
    place.replaceChildren(
      h("h2", {}, "Nothing fits these filters"),
      way("Clear the filters", () => go({ project: address.project, layout: address.layout })),
    );
  else place.replaceChildren(...beginning(address, way).filter(Boolean));
}

// The ways on from an empty list.
function beginning(address, way) {
  const isOpen = !project()?.archived_at;
  return [
    h("h2", {}, address.project ? "This project has no open task" : "Nothing to do"),
    isOpen
      ? h(
          "p",
          {},
          "Write a line above and press Enter: ",
          h("code", {}, "Write the report #writing !3 due tomorrow"),
        )
      : null,
    h(
      "p",
      { className: "buttons" },
      isOpen ? way("Import tasks", () => go({ page: "import", project: address.project })) : null,
      way("Completed tasks", () => go({ ...address, status: "completed" })),
      address.project ? null : way("New project", newProject),
    ),
    h("p", { className: "muted keys-hint" }, "Press ", h("kbd", {}, "?"), " for all keys."),
  ];
}

function draw() {
  surface?.update();
  showCount();
  showEmpty();
  bulk.update();
}

let frame = null;
store.onTasks(() => {
  frame =
    frame ||
    requestAnimationFrame(() => {
      frame = null;
      draw();
    });
});
onMarks(() => {
  surface?.draw();
  bulk.update();
});

// -- changes by others -----------------------------------------------------------------------------

async function happened(event) {
  const { type, data } = event;
  if (type === "task.deleted") store.drop(data.task_id);
  else if (type.startsWith("task.") && data.task) store.put(data.task);
  if (
    data.task_id &&
    data.task_id === panel.openId() &&
    (type.startsWith("task.") || type.startsWith("comment."))
  )
    await panel.refresh(event);
  if (type.startsWith("project.") || type.startsWith("member.")) {
    forgetMembers(data.project_id);
    const before = String(leftOut(now()));
    const known = projectOf(data.project_id);
    await loadProjects();
    sidebar();
    panel.redraw();
    if (known && !projectOf(known.id)) leaveLost(known, event.actor_id === model.me.id);
    else if (isAboutOthers(event, known)) await showMembers(data.project_id);
    else if (now().project === String(data.project_id)) await drawAgain(event);
    else if (surface && String(leftOut(now())) !== before) await store.load();
  }
  unreadSoon();
}

// Whether an event changes nothing on a project's page but its table of members. Drawing the whole page again would
// drop what the person has begun to write there.
function isAboutOthers({ type, data }, before) {
  const isSameRole = before?.role === projectOf(data.project_id)?.role;
  return now().page === "project" && type.startsWith("member.") && isSameRole;
}

const isTyped = () => Boolean(content.querySelector("[data-typed]"));

// Draws the page again, without taking away what the person is writing there.
const renderUntyped = () => render(!isTyped());

async function drawAgain(event) {
  await whenEdited();
  if (isTyped() && event.actor_id !== model.me.id) say("Somebody else has just changed this project.", 15);
  await renderUntyped();
}

let unreadTimer = null;
function unreadSoon() {
  unreadTimer =
    unreadTimer ||
    setTimeout(
      act(async () => {
        unreadTimer = null;
        await loadTold();
      }),
      2000,
    );
}

// Events may have been missed, so everything on the page is loaded again.
async function missed() {
  const known = project();
  await loadProjects();
  sidebar();
  unreadSoon();
  if (known && model.me && !projectOf(known.id)) leaveLost(known);
  if (surface) await store.load();
  await panel.refresh({ type: "task.missed", data: {} });
}

// Days in words, such as `Tomorrow`, are those of the day on which they were drawn.
let drawnOn = new Date().toDateString();

async function turnDay() {
  const today = new Date().toDateString();
  if (today === drawnOn || !model.me) return;
  drawnOn = today;
  await whenEdited();
  const isOnRow = document.activeElement?.matches(".row, .task");
  surface?.forget();
  draw();
  if (isOnRow) surface?.focus();
  refill();
  if (surface) await store.load();
}

setInterval(act(turnDay), 60_000);
addEventListener("visibilitychange", act(turnDay));

onGo(() => {
  closeDrawer();
  render();
});
// The login is not drawn again by a late answer or another tab: somebody may be typing in it.
onSession((what) => {
  if (what === "out" && !model.me) return;
  leave(what === "in" ? "" : "You were logged out in another tab.");
  if (what === "in") start();
});
whenLoggedOut(ended);
whenLeaving(() => (leave(), dropLeft(), dropLeftDialogs()));
whenChanged(() => renderUntyped());
whenArchived(() => render(true));
addEventListener("offline", () => tellLive("waiting"));
addEventListener(
  "online",
  act(async () => {
    say("Back online.");
    if (!model.me) return;
    await streaming();
    // Parts that could not be loaded may be missing anywhere on the page.
    const isPartial = model.trouble.size > 0;
    if (isPartial) await loadMenu();
    await missed();
    await (isPartial ? renderUntyped() : render());
    sendAgain();
  }),
);
start();
