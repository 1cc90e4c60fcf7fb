// Deletions and gifts on their way, once the time for undoing them is over. A browser lets requests of only 64 KB together
// outlive a page. What is not answered when the page is left is therefore kept in the browser's storage, and the next
// page of the same account sends it again under the same keys, so that nothing is done twice.
import { act } from "../shared/act.js";
import { count } from "../shared/format.js";
import { isFinal } from "../shared/session.js";
import { newKey } from "./api.js";
import { model } from "./model.js";
import { AT_ONCE, inParts, sendEach } from "./sending.js";
import * as store from "./store.js";

const KEY = `task-platform-later:${document.body.dataset.root}`;
// The server knows the key of a request for a day at least.
const DAY = 24 * 3600 * 1000;
const LEAVING_MS = 1000;
// The parts without an answer, by their keys.
const waiting = new Map();
let isLeft = false;

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || [];
  } catch {
    return [];
  }
}

function keep(parts) {
  try {
    if (parts.length) localStorage.setItem(KEY, JSON.stringify(parts));
    else localStorage.removeItem(KEY);
  } catch {
    // This browser stores nothing, so the parts that do not outlive the page are lost.
  }
}

// Whether this browser stores anything.
export function keeps() {
  try {
    localStorage.setItem(`${KEY}:trial`, "1");
    localStorage.removeItem(`${KEY}:trial`);
    return true;
  } catch {
    return false;
  }
}

const without = (keys) => kept().filter(({ key }) => !keys.includes(key));

function keepWaiting() {
  isLeft = true;
  if (waiting.size) keep([...without([...waiting.keys()]), ...waiting.values()]);
}

function forget(keys) {
  for (const key of keys) waiting.delete(key);
  if (kept().length) keep(without(keys));
}

// Sends a part, and shows what has come of it. Answers the refusals.
async function sendPart({ key, operations }) {
  const options = { keepalive: true, headers: { "Idempotency-Key": key } };
  const { done, gone, refusals } = await sendEach(operations, options);
  forget([key]);
  for (const id of gone) store.drop(id);
  for (const { op, id, assigned_user_id: owner } of done) {
    if (op === "delete") store.drop(id);
    else if (store.get(id)) store.put({ ...store.get(id), user_id: owner });
  }
  return refusals;
}

// Sends parts one after the other, or at once. A part has nothing to do with another one that is refused.
async function sendParts(parts, isAtOnce = false) {
  const refusals = [];
  const send = async (part) => {
    try {
      refusals.push(...(await sendPart(part)));
    } catch (error) {
      if (!isFinal(error)) throw error;
      forget([part.key]);
      refusals.push(...part.operations.map(() => ({ detail: error.message })));
    }
  };
  if (isAtOnce) await Promise.all(parts.map(send));
  else for (const part of parts) await send(part);
  return refusals;
}

// Tells of the operations that were refused, each of which has its own reason.
function tellRefused(refusals) {
  if (!refusals.length) return;
  const reasons = [...new Set(refusals.map(({ detail }) => detail))].slice(0, 3).join(" ");
  throw new Error(refusals.length > 1 ? `Refused for ${count(refusals.length, "task")}: ${reasons}` : reasons);
}

// Sends operations in parts: one after the other, or at once if the page is being left.
export async function sendLater(operations, isLeaving = false) {
  const [account, at] = [model.me?.id, Date.now()];
  const parts = inParts(operations, AT_ONCE).map((each) => ({ key: newKey(), account, at, operations: each }));
  for (const part of parts) waiting.set(part.key, part);
  if (isLeaving) keepWaiting();
  let refusals = [];
  try {
    refusals = await sendParts(parts, isLeaving);
  } catch (error) {
    // Browsers break off requests a moment before they tell that the page is being left.
    if (!error.status && !isLeft) await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
    // The tasks are shown again, unless the page is being left: then the browser refuses what is too much.
    if (!isLeft) forget(parts.map(({ key }) => key));
    throw error;
  }
  tellRefused(refusals);
}

// Sends what was kept when this account left the page. What another account left, or somebody days ago, is dropped.
export const sendKept = act(async () => {
  const mine = kept().filter(({ account, at }) => account === model.me.id && Date.now() - at < DAY);
  keep(mine);
  const ids = mine.flatMap(({ operations }) => operations.map(({ id }) => id));
  if (ids.length) store.hide(ids);
  let refusals = [];
  try {
    refusals = await sendParts(mine);
  } finally {
    if (ids.length) store.hide(ids, false);
  }
  tellRefused(refusals);
});

addEventListener("pagehide", keepWaiting);
addEventListener("pageshow", ({ persisted }) => {
  isLeft = false;
  if (persisted && model.me) sendKept();
});
