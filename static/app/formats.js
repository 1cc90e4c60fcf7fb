// Parsers for files of other programs. Each gives columns, rows, the meaning of the columns, and the parts
// that are left out.
import { readCsv } from "./csv.js";
import { tagsText } from "./words.js";

export const TARGETS = [
  ["", "Not taken"],
  ["title", "Title"],
  ["description", "Description"],
  ["status", "Status"],
  ["priority", "Priority"],
  ["project", "Project label"],
  ["tags", "Tags"],
  ["due_at", "Due"],
  ["created_at", "Created"],
  ["completed_at", "Completed"],
  ["updated_at", "Changed"],
  ["state", "State"],
  ["blocked_at", "Blocked since"],
  ["blocked_reason", "Why blocked"],
];
const OWN = TARGETS.map(([name]) => name).filter(Boolean);
const UNUSED = new Set(["id", "user_id", "project_id"]);

// Names of columns in any program, case-folded, with their meaning.
const MEANINGS = {
  title: ["title", "summary", "name", "task", "content", "subject", "card name", "task name"],
  description: ["description", "body", "notes", "note", "card description", "desc"],
  status: ["status", "state", "stage", "list", "list name", "column", "section", "done"],
  priority: ["priority", "prio", "importance", "urgency"],
  project: ["project", "project name", "board", "board name", "repository"],
  tags: ["tags", "labels", "label", "tag", "component/s", "components"],
  due_at: ["due", "due date", "when", "due_at", "date", "deadline", "due on"],
  created_at: ["created", "created at", "created_at", "createdat", "creation date"],
  completed_at: [
    "resolved",
    "closed at",
    "closed_at",
    "closedat",
    "completed at",
    "completed_at",
    "completed",
    "resolution date",
  ],
  updated_at: ["updated", "updated at", "updated_at", "updatedat", "last modified"],
  state: [],
  blocked_at: ["blocked_at"],
  blocked_reason: ["blocked_reason"],
};

function meaningOf(column) {
  const folded = column.toLowerCase().trim();
  if (OWN.includes(folded) && folded !== "state") return folded;
  return Object.keys(MEANINGS).find((name) => MEANINGS[name].includes(folded)) || "";
}

function guess(columns) {
  const taken = new Set();
  return columns.map((column) => {
    const meaning = meaningOf(column);
    // Labels may stand in several columns, every other value in one.
    if (!meaning || (taken.has(meaning) && meaning !== "tags")) return "";
    taken.add(meaning);
    return meaning;
  });
}

const source = (name, columns, rows, more = {}) => ({
  name,
  columns,
  rows,
  meaning: guess(columns),
  left: [],
  ...more,
});

// -- CSV ------------------------------------------------------------------------------------------

const LABEL = /(?<!\S)@(\S+)/g;

function todoist({ columns, rows }) {
  const at = Object.fromEntries(columns.map((name, place) => [name.toUpperCase(), place]));
  let section = "";
  const kept = [];
  let notes = 0;
  for (const row of rows) {
    const type = (row[at.TYPE] || "").toLowerCase();
    if (type === "section") section = row[at.CONTENT];
    else if (type === "note") notes += 1;
    else if (type === "task") {
      // Labels stand in the text. An @ within a word, as in an address, is none.
      const labels = [...row[at.CONTENT].matchAll(LABEL)].map((each) => each[1]);
      const title = row[at.CONTENT].replace(LABEL, "").trim() || row[at.CONTENT];
      kept.push([...row.map((value, place) => (place === at.CONTENT ? title : value)), section, tagsText(labels)]);
    }
  }
  const found = source("Todoist", [...columns, "Section", "Labels"], kept);
  found.meaning = found.columns.map(
    (name) =>
      ({
        CONTENT: "title",
        DESCRIPTION: "description",
        PRIORITY: "priority",
        DATE: "due_at",
        SECTION: "tags",
        LABELS: "tags",
      })[name.toUpperCase()] || "",
  );
  // In the program 1 is the most urgent; in its file 4 means no priority.
  found.priority = (text) => ({ 1: 4, 2: 3, 3: 2, 4: 0 })[text.trim()] ?? 0;
  found.left = [
    notes ? `${notes} comments` : "",
    at.INDENT === undefined ? "" : "which task is below which",
    "repeating dates, which are kept as text only",
  ].filter(Boolean);
  return found;
}

const GITHUB_LEFT = ["comments", "who is assigned", "milestones"];

function fromCsv(text) {
  const { columns, rows } = readCsv(text);
  const names = new Set(columns.map((name) => name.toLowerCase()));
  if (names.has("type") && names.has("content")) return todoist({ columns, rows });
  if (names.has("issue key") || names.has("issue id")) {
    const left = ["comments and attachments", "links between issues", "who is assigned"];
    return source("Jira", columns, rows, { left });
  }
  if (names.has("closedat") || (names.has("number") && names.has("title")) || names.has("closed_at")) {
    return source("GitHub", columns, rows, { left: GITHUB_LEFT });
  }
  return source("CSV", columns, rows);
}

// -- JSON -----------------------------------------------------------------------------------------

function trello(board) {
  const lists = new Map(board.lists.map((each) => [each.id, each]));
  const columns = ["Name", "Description", "List", "Labels", "Due", "Completed", "Created", "Board"];
  const cards = board.cards.filter((card) => !card.isTemplate);
  const rows = cards.map((card) => {
    // An id begins with the second of its creation.
    const made = new Date(parseInt(card.id?.slice(0, 8), 16) * 1000);
    const isDone = card.dueComplete || card.closed || lists.get(card.idList)?.closed;
    const list = isDone ? "done" : lists.get(card.idList)?.name || "";
    return [
      card.name,
      card.desc || "",
      list,
      tagsText((card.labels || []).map((each) => each.name || each.color).filter(Boolean)),
      card.due || "",
      isDone ? card.dateLastActivity || "" : "",
      Number.isNaN(made.getTime()) ? "" : made.toISOString(),
      board.name,
    ];
  });
  const found = source("Trello", columns, rows);
  found.meaning = [
    "title",
    "description",
    "status",
    "tags",
    "due_at",
    "completed_at",
    "created_at",
    "project",
  ];
  const some = (what, number) => (number ? `${number} ${what}` : "");
  found.left = [
    some("checklists", board.checklists?.length),
    some("comments", (board.actions || []).filter((each) => each.type === "commentCard").length),
    some(
      "attachments",
      cards.reduce((sum, card) => sum + (card.attachments?.length || 0), 0),
    ),
    "members of cards",
  ].filter(Boolean);
  return found;
}

const NEVER = "0001-01-01";

// `data.json` of Vikunja's export: projects with their tasks.
function vikunja(projects) {
  const columns = ["Title", "Description", "Done", "Priority", "Labels", "Due", "Completed", "Created", "Updated", "Project"];
  const tasks = projects.flatMap((project) => (project.tasks || []).map((task) => ({ ...task, home: project.title })));
  const time = (text) => (!text || text.startsWith(NEVER) ? "" : text);
  const rows = tasks.map((task) => [
    task.title,
    task.description || "",
    task.done ? "done" : "",
    String(task.priority || 0),
    tagsText((task.labels || []).map((each) => each.title)),
    time(task.due_date),
    task.done ? time(task.done_at) : "",
    time(task.created),
    time(task.updated),
    task.home,
  ]);
  const found = source("Vikunja", columns, rows);
  // Its fifth priority, "do now", is as urgent as the fourth.
  found.priority = (text) => Math.min(Number(text) || 0, 4);
  found.left = ["comments", "who is assigned", "buckets", "attachments", "repeating dates"];
  return found;
}

function fromRows(rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => !UNUSED.has(name));
  const cell = (value) =>
    value === null || value === undefined
      ? ""
      : Array.isArray(value)
        ? tagsText(value.map((each) => String(each?.name ?? each ?? "")))
        : typeof value === "object"
          ? value.name || value.title || JSON.stringify(value)
          : String(value);
  const isGithub = columns.includes("title") && ["number", "closedAt", "closed_at"].some((name) => columns.includes(name));
  const found = source(
    isGithub ? "GitHub" : "JSON",
    columns,
    rows.map((row) => columns.map((name) => cell(row[name]))),
    isGithub ? { left: GITHUB_LEFT } : {},
  );
  found.meaning = found.columns.map((name, at) =>
    name === "state" && !isGithub && columns.includes("status") ? "state" : found.meaning[at],
  );
  return found;
}

function fromJson(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const lines = text.split(/\r?\n/).filter((line) => line.trim());
    try {
      value = lines.map((line) => JSON.parse(line));
    } catch {
      throw new Error(`This is not JSON: ${error.message}`, { cause: error });
    }
  }
  if (value && Array.isArray(value.cards) && Array.isArray(value.lists)) return trello(value);
  if (Array.isArray(value) && value.some((each) => Array.isArray(each?.tasks))) return vikunja(value);
  const rows = Array.isArray(value) ? value : value?.tasks || value?.issues || value?.items;
  if (!Array.isArray(rows) || !rows.every((row) => row && typeof row === "object" && !Array.isArray(row)))
    throw new Error("No list of tasks is in this file.");
  return fromRows(rows);
}

export function readFile(name, text) {
  const isJson = /^[\s\uFEFF]*[[{]/.test(text);
  let found;
  try {
    found = isJson ? fromJson(text.replace(/^\uFEFF/, "")) : fromCsv(text);
  } catch (error) {
    // The file has the form of another program's export, and lacks a part of it.
    if (error instanceof TypeError) throw new Error(`A part of "${name}" is missing.`, { cause: error });
    throw error;
  }
  if (!found.rows.length) throw new Error(`"${name}" has no rows.`);
  return found;
}
