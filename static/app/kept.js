// Texts that were begun for a task and not sent, such as a comment. They come back with the task.
import { open } from "./opened.js";

// The names and values of the texts by the task's id.
export const kept = new Map();

const both = (text, more) => [text, more].filter(Boolean).join("\n");

// Sends the text of a field. The field is emptied at once, so that the text is sent once, and more can be typed
// meanwhile. A text that could not be sent comes back.
export async function sendText(taskId, control, send) {
  const { name, value: text } = control;
  control.value = "";
  try {
    return await send(text);
  } catch (error) {
    // The panel may have been drawn again, or show another task.
    const again = open.task?.id === taskId ? document.querySelector(`#panel [name="${name}"]`) : null;
    const others = (kept.get(taskId) || []).filter(([each]) => each !== name);
    const [, more] = (kept.get(taskId) || []).find(([each]) => each === name) || [];
    if (again) again.value = both(text, again.value);
    else kept.set(taskId, [...others, [name, both(text, more)]]);
    throw error;
  }
}
