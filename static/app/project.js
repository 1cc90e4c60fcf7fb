// A project's members, states and settings.
import { act } from "../shared/act.js";
import { field, h, say } from "../shared/dom.js";
import { day } from "../shared/format.js";
import { change, go, now } from "./address.js";
import * as api from "./api.js";
import { sendAgreed } from "./conflict.js";
import { confirmed, dialog, form } from "./dialog.js";
import { avatar } from "./icons.js";
import { forgetMembers, loadProjects, may, membersOf, model, projectOf } from "./model.js";
import { open } from "./opened.js";
import { frame, loadAll, replaceContent, section, table } from "./page.js";
import { sidebar } from "./side.js";
import { stateEditor } from "./states.js";

const ROLES = [
  ["viewer", "Viewer"],
  ["member", "Member"],
  ["manager", "Manager"],
];

export async function projectPage(place) {
  const id = Number(now().project);
  const project = projectOf(id);
  if (!project) {
    frame(
      place,
      "Project",
      h("p", { className: "notice" }, "This project is not there, or not yours to see."),
    );
    return;
  }
  const isManager = may("manager", id);
  const people = section(
    "Members",
    "Viewers read. Members make and change tasks. Managers look after members, states and the project itself.",
    () => memberRows(project, isManager),
  );
  const sections = [people];
  if (isManager) {
    sections.push(
      section(
        "States",
        "The columns of the board, in their order. Each stands for one of the three statuses. " +
          "A state with more tasks than its limit warns in red, or refuses the task. " +
          "In a waiting state tasks wait for somebody else, so that its time counts as waiting.",
        (load) => stateEditor(project, changing(project, load)),
      ),
    );
    sections.push(section("Project", "", (load) => settings(project, changing(project, load))));
  }
  frame(
    place,
    project.name,
    h("p", {}, h("button", { type: "button", onclick: () => go({ project: String(id) }) }, "To the tasks")),
    project.description ? h("p", { className: "said" }, project.description) : null,
    archiveNotice(project),
    sections,
  );
  await loadAll(sections);
}
projectPage.title = "Project";

// The table of members on the page.
let shown = null;

// Loads the table of a project's members again, and leaves the rest of the page as it is.
export async function showMembers(id) {
  if (shown?.id === id) await shown.load();
}

async function memberRows(project, isManager) {
  const place = h("div", {});
  const load = async () => {
    forgetMembers(project.id);
    const members = await membersOf(project.id);
    const trouble = model.trouble.get("members");
    if (trouble) throw Object.assign(new Error(trouble), { status: 0 });
    replaceContent(place, () => [memberTable(project, isManager, members, load)]);
  };
  shown = { id: project.id, load };
  await load();
  const add = form(
    [
      field("Add somebody by username", { name: "username", required: true, autocapitalize: "none" }),
      field(
        "Role",
        { name: "role" },
        "select",
        ROLES.map(([value, label]) => h("option", { value, selected: value === "member" }, label)),
      ),
    ],
    "Add",
    async ({ username, role }) => {
      const found = await api.account.lookup(username);
      await api.projects.setMember(project.id, found.id, role);
      say(`${found.username} is in.`);
      add.reset();
      await load();
    },
    "line",
  );
  return [place, isManager ? add : null];
}

function memberTable(project, isManager, members, load) {
  const role = (member) => {
    if (!isManager) return member.role;
    return h(
      "select",
      {
        "aria-label": `Role of ${member.username}`,
        onchange: act((event) => setRole(project, member, members, event.target.value, load)),
      },
      ROLES.map(([value, label]) => h("option", { value, selected: value === member.role }, label)),
    );
  };
  const leave = (member) => {
    const isMe = member.user_id === model.me.id;
    if (!isManager && !isMe) return "";
    return h(
      "button",
      { type: "button", onclick: act(() => remove(project, member, members, load)) },
      isMe ? "Leave" : "Remove",
    );
  };
  return table(
    "Members",
    ["Name", "Role", "Since", ""],
    members.map((member) => [
      h("span", { className: "me" }, avatar(member.username), member.username),
      role(member),
      day(member.added_at),
      leave(member),
    ]),
    "Nobody",
  );
}

// Sends a change of a member. If the member owns tasks, asks who gets them, and sends the change again.
async function handingOver(member, members, send) {
  try {
    await send();
    return true;
  } catch (error) {
    if (error.code !== "member_has_tasks") throw error;
  }
  const others = members.filter((each) => each.user_id !== member.user_id && each.role !== "viewer");
  return new Promise((resolve) => {
    let isDone = false;
    const choice = field(
      "To",
      { name: "to" },
      "select",
      others.map((each) => h("option", { value: each.user_id }, each.username)),
    );
    const element = dialog(
      "Whose are their tasks from now on?",
      form([choice], "Hand them over", async ({ to }) => {
        await send(to);
        isDone = true;
        element.close();
      }),
    );
    element.addEventListener("close", () => resolve(isDone));
  });
}

async function setRole(project, member, members, role, again) {
  try {
    await handingOver(member, members, (to) => api.projects.setMember(project.id, member.user_id, role, to));
  } finally {
    await again();
  }
}

async function remove(project, member, members, again) {
  const isMe = member.user_id === model.me.id;
  if (
    !(await confirmed(
      isMe ? "Leave the project?" : `Remove ${member.username}?`,
      `${isMe ? "Your tasks" : "Their tasks"} here go to somebody else.`,
      isMe ? "Leave" : "Remove",
    ))
  )
    return;
  if (await handingOver(member, members, (to) => api.projects.removeMember(project.id, member.user_id, to)))
    await after(isMe, again);
}

// The project was deleted, or somebody removed the person from it: its tasks must not stay on the page.
export function leaveLost(gone, isOwnDoing = false) {
  const isShown = now().project === String(gone.id);
  if (!isShown && open.task?.project_id !== gone.id) return;
  if (!isOwnDoing) say(`You no longer see ${gone.name}: it was deleted, or you were removed from it.`, 15);
  if (isShown) go({});
  else change({ task: null });
}

async function after(isMe, again) {
  if (!isMe) return again();
  await loadProjects();
  go({});
  return sidebar();
}

const archiveWords = (project) => (project.archived_at ? "Take out of the archive" : "Archive");

// Archives a project, or takes it out of the archive, and goes to its tasks.
const archive = act(async (project) => {
  await api.projects.change(project.id, { archived: !project.archived_at });
  await loadProjects();
  sidebar();
  say(
    project.archived_at ? "The project is open again." : "The project is archived: it can be read, not written.",
  );
  change({ page: null });
  redraw();
});

let redraw = () => undefined;
// The page is drawn again for a project that is archived or taken out, even if its address stays the same.
export const whenArchived = (listener) => (redraw = listener);

// Tells that the shown project is archived; a manager may take it out of the archive.
export function archiveNotice(project) {
  if (!project?.archived_at) return null;
  return h(
    "p",
    { className: "notice archived" },
    h("span", {}, `Archived since ${day(project.archived_at)}: its tasks can be read, not changed. `),
    may("manager", project.id)
      ? h("button", { type: "button", onclick: () => archive(project) }, archiveWords(project))
      : null,
  );
}

async function reload() {
  await loadProjects();
  sidebar();
}

// Changes fields of a project as the person saw it. If others have changed the same ones and their version stays,
// `load` shows it.
const changing = (project, load) => async (fields, more) => {
  const newest = await api.projects.get(project.id);
  const { given, names } = await sendAgreed(api.projects, project, fields, newest, more);
  for (const name of Object.keys(fields)) project[name] = given.value[name];
  await reload();
  if (names.length) say("Saved.");
  else await load();
};

function settings(project, send) {
  const names = form(
    [
      field("Name", { name: "name", value: project.name, required: true, maxLength: 100 }),
      field(
        "What it is for",
        { name: "description", value: project.description || "", rows: 3, maxLength: 65536 },
        "textarea",
      ),
    ],
    "Save",
    async ({ name, description }) => {
      const typed = { name, description: description.trim() || null };
      // Others may have changed what was not changed here.
      const changed = Object.entries(typed).filter(([key, value]) => value !== project[key]);
      if (changed.length) await send(Object.fromEntries(changed));
      else say("Saved.");
    },
  );
  const erase = (what, title, text) =>
    act(async () => {
      if (!(await confirmed(title, text, "Delete"))) return;
      await api.projects.remove(project.id, what);
      await reload();
      go({});
    });
  return [
    names,
    h(
      "p",
      { className: "buttons" },
      h("button", { type: "button", onclick: () => archive(project) }, archiveWords(project)),
      h(
        "button",
        {
          type: "button",
          onclick: erase(
            "release",
            `Delete "${project.name}"?`,
            "Its tasks stay with their owners, with its name as label.",
          ),
        },
        "Delete, keep the tasks",
      ),
      h(
        "button",
        {
          type: "button",
          className: "danger",
          onclick: erase(
            "delete",
            `Delete "${project.name}" and all its tasks?`,
            "They can't be brought back.",
          ),
        },
        "Delete with all tasks",
      ),
    ),
  ];
}
