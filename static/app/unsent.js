// The browser asks before the page is left with texts that are not sent, or with deletions that would be lost.
import { sendUnsent, unsent } from "./fields.js";
import { kept } from "./kept.js";
import { keeps, sendKept } from "./later.js";
import { AT_ONCE } from "./sending.js";
import { numberHidden } from "./store.js";
import { sendTitles, unsaved } from "./titles.js";

const TEXTS = ".quick, .edit, [data-keep], .comments textarea";

const hasTexts = () =>
  unsent.size ||
  unsaved.size ||
  [...kept.values()].some((texts) => texts.length) ||
  document.querySelector("[data-dirty], [data-typed]") ||
  [...document.querySelectorAll(TEXTS)].some(({ value }) => value);

// Requests for this many deletions outlive the page. The browser keeps those of more, if it stores anything.
const hasDeletions = () => numberHidden() > AT_ONCE && !keeps();

addEventListener("beforeunload", (event) => (hasTexts() || hasDeletions()) && event.preventDefault());

// Sends again what could not be sent, once the server can be reached.
export function sendAgain() {
  sendUnsent();
  sendTitles();
  sendKept();
}
