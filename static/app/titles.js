// A title that is edited in its row of the list, one at a time.
import { h, say } from "../shared/dom.js";
import { rename } from "./actions.js";
import { may } from "./model.js";
import { begin } from "./opened.js";
import * as store from "./store.js";

let editing = null;

// The id of the task whose title is being edited, or null.
export const editedId = () => editing?.id ?? null;

// Puts a field into the place of the title. `onEnd` is told whether the keyboard ended it.
export function editTitle(cell, task, onEnd) {
  endEditing();
  if (!may("member", task.project_id)) {
    say("This task can only be read here.");
    return;
  }
  const send = begin(task);
  const input = h("input", {
    className: "edit",
    name: "title",
    value: task.title,
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
  editing = { id: task.id, task, input, send, onEnd, isTold: false };
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
  if (isSaved && title && title !== task.title) rename(task, title, send);
  onEnd(isByKey);
}

// Tells what others have just done to the task. What is typed stays, and is compared when it is sent.
export function watchEdited() {
  if (!editing) return;
  const task = store.get(editing.id);
  if (!task) {
    say(`"${editing.task.title}" was deleted.`);
    endEditing({ isSaved: false });
  } else if (task.title !== editing.task.title && !editing.isTold) {
    editing.isTold = true;
    say("Somebody else has just changed this task.");
  }
}
