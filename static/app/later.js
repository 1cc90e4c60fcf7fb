// Deletions and gifts on their way, once the time for undoing them is over. A browser lets requests of only 64 KB together
// outlive a page. What is not answered when the page is left is therefore kept in the browser's storage, and the next
// page of the same account sends it again under the same keys, so that nothing is done twice.
import { act } from "../shared/act.js";
import { isFinal } from "../shared/session.js";
import { newKey } from "./api.js";
import { model } from "./model.js";
import { AT_ONCE, inParts, send } from "./sending.js";
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

const without = (keys) => kept().filter(({ key }) => !keys.includes(key));

function keepWaiting() {
  isLeft = true;
  if (waiting.size) keep([...without([...waiting.keys()]), ...waiting.values()]);
}

function forget(keys) {
  for (const key of keys) waiting.delete(key);
  if (kept().length) keep(without(keys));
}

async function sendPart({ key, operations }) {
  await send(operations, { keepalive: true, headers: { "Idempotency-Key": key } });
  forget([key]);
}

// Sends operations in parts: one after the other, or at once if the page is being left.
export async function sendLater(operations, isLeaving = false) {
  const [account, at] = [model.me?.id, Date.now()];
  const parts = inParts(operations, AT_ONCE).map((each) => ({ key: newKey(), account, at, operations: each }));
  for (const part of parts) waiting.set(part.key, part);
  if (isLeaving) keepWaiting();
  try {
    if (isLeaving) await Promise.all(parts.map(sendPart));
    else for (const part of parts) await sendPart(part);
  } catch (error) {
    // Browsers break off requests a moment before they tell that the page is being left.
    if (!error.status && !isLeft) await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
    // The tasks are shown again, unless the page is being left: then the browser refuses what is too much.
    if (!isLeft || isFinal(error)) forget(parts.map(({ key }) => key));
    throw error;
  }
}

// Sends what was kept when this account left the page. What another account left, or somebody days ago, is dropped.
export const sendKept = act(async () => {
  const mine = kept().filter(({ account, at }) => account === model.me.id && Date.now() - at < DAY);
  keep(mine);
  const ids = mine.flatMap(({ operations }) => operations.map(({ id }) => id));
  if (ids.length) store.hide(ids);
  let refusal = null;
  try {
    for (const part of mine) {
      try {
        await sendPart(part);
      } catch (error) {
        if (!isFinal(error)) throw error;
        // The other parts have nothing to do with the one that is refused.
        forget([part.key]);
        refusal = error;
        continue;
      }
      for (const { op, id } of part.operations) if (op === "delete") store.drop(id);
    }
  } finally {
    if (ids.length) store.hide(ids, false);
  }
  if (refusal) throw refusal;
});

addEventListener("pagehide", keepWaiting);
addEventListener("pageshow", ({ persisted }) => {
  isLeft = false;
  if (persisted && model.me) sendKept();
});
