// The browser asks before the page is left with texts that are not sent.
import { unsent } from "./fields.js";
import { kept } from "./kept.js";
import { unsaved } from "./titles.js";

const TEXTS = ".quick, .edit, [data-keep], .comments textarea, dialog textarea";

const hasTexts = () =>
  unsent.size ||
  unsaved.size ||
  [...kept.values()].some((texts) => texts.length) ||
  document.querySelector("[data-dirty], [data-typed]") ||
  [...document.querySelectorAll(TEXTS)].some(({ value }) => value);

addEventListener("beforeunload", (event) => hasTexts() && event.preventDefault());
