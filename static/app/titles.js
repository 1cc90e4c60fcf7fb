// A title that is edited in its row of the list, one at a time.
import { h, say } from "../shared/dom.js";
import { rename, short, writable } from "./actions.js";
import { begin } from "./opened.js";
import * as store from "./store.js";

let editing = null;
let waiting = [];

// The titles that could not be saved, by the task's id. Each has the task as the person saw it, so that a change by
// others in between is noticed.
export const unsaved = new Map();

// The id of the task whose title is being edited, or null.
export const editedId = () => editing?.id ?? null;

// Resolves when no title is being edited.
export const whenEdited = () => editing && new Promise((resolve) => waiting.push(resolve));

// Puts a field into the place of the title. `onEnd` is told whether the keyboard ended it.
export function editTitle(cell, task, onEnd) {
  endEditing();
  if (!writable([task]).length) return;
  const { seen = task, typed = task.title } = unsaved.get(task.id) || {};
  const send = begin(seen);
  const input = h("input", {
    className: "edit",
    name: "title",
    value: typed,
    maxLength: 500,
    autocomplete: "off",
    "aria-label": `Title of task ${task.id}`,
    onblur: () => endEditing(),
    onkeydown(event) {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      endEditing({ isSaved: event.key === "Enter", isByKey: true });
    },
  });
  editing = { id: task.id, task: seen, input, send, onEnd, isTold: false };
  store.hold(task.id);
  cell.replaceChildren(input);
  input.focus({ preventScroll: true });
  input.select();
}

// Ends the editing. The title is sent if it has changed, unless it was given up.
export function endEditing({ isSaved = true, isByKey = false } = {}) {
  if (!editing) return;
  const { task, input, send, onEnd } = editing;
  editing = null;
  store.release();
  const title = input.value.trim();
  unsaved.delete(task.id);
  if (isSaved && title && title !== task.title) sendTitle(task, title, send);
  onEnd(isByKey);
  for (const resolve of waiting) resolve();
  waiting = [];
}

const sendTitle = (seen, typed, send) => rename(seen, typed, send, () => unsaved.set(seen.id, { seen, typed }));

// Shows a title that could not be saved in a field of its row. `onEdit` is called when the person goes on with it.
export function showUnsaved(cell, task, onEdit) {
  const kept = unsaved.get(task.id);
  if (!kept) return;
  const input = h("input", {
    className: "edit",
    value: kept.typed,
    "aria-invalid": "true",
    "aria-label": `Title of task ${task.id}, not saved`,
    onfocus: onEdit,
  });
  cell.replaceChildren(input);
}

// Sends again the titles that were typed while the server could not be reached.
export function sendTitles() {
  for (const [id, { seen, typed }] of [...unsaved]) {
    if (id === editedId()) continue;
    unsaved.delete(id);
    sendTitle(seen, typed, begin(seen));
  }
}

// Tells what others have just done to the task. What is typed stays, and is compared when it is sent.
export function watchEdited() {
  if (!editing) return;
  const task = store.get(editing.id);
  if (!task) {
    say(`"${short(editing.task.title)}" was deleted.`);
    endEditing({ isSaved: false });
  } else if (task.title !== editing.task.title && !editing.isTold) {
    editing.isTold = true;
    say("Somebody else has just changed this task.");
  }
}
