// The browser asks before the page is left with texts that are not sent, or with more to delete than outlives it.
import { sendUnsent, unsent } from "./fields.js";
import { kept } from "./kept.js";
import { sendKept } from "./later.js";
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

addEventListener("beforeunload", (event) => (hasTexts() || numberHidden() > AT_ONCE) && event.preventDefault());

// Sends again what could not be sent, once the server can be reached.
export function sendAgain() {
  sendUnsent();
  sendTitles();
  sendKept();
}
