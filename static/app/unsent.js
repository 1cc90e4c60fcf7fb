// The browser asks before the page is left with texts that are not sent, or with more to delete than outlives it.
import { unsent } from "./fields.js";
import { kept } from "./kept.js";
import { AT_ONCE } from "./sending.js";
import { numberHidden } from "./store.js";
import { unsaved } from "./titles.js";

const TEXTS = ".quick, .edit, [data-keep], .comments textarea";

const hasTexts = () =>
  unsent.size ||
  unsaved.size ||
  [...kept.values()].some((texts) => texts.length) ||
  document.querySelector("[data-dirty], [data-typed]") ||
  [...document.querySelectorAll(TEXTS)].some(({ value }) => value);

addEventListener("beforeunload", (event) => (hasTexts() || numberHidden() > AT_ONCE) && event.preventDefault());
