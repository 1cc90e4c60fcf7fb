// Changes by others as they happen: by the stream of events, or by polling if there is no stream.
import { LoggedOut, request } from "../shared/session.js";

const SOON = 1000;
const LATEST = 30_000;
const EVERY = 15_000;
let stop = new AbortController();

// Calls `onEvent` for each event, and `onGap` if events may have been missed.
export function follow(onEvent, onGap, onState) {
  stop.abort();
  stop = new AbortController();
  const { signal } = stop;
  run(signal, onEvent, onGap, onState);
  return () => stop.abort();
}

const pause = (time, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, time);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

async function run(signal, onEvent, onGap, onState) {
  let [last, wait, isFirst] = [null, SOON, true];
  while (!signal.aborted) {
    try {
      const response = await request(`/events/stream${last ? `?after=${encodeURIComponent(last)}` : ""}`, {
        signal,
        headers: { Accept: "text/event-stream" },
      });
      if (!isFirst && !last) onGap();
      isFirst = false;
      wait = SOON;
      onState("live");
      await read(response, (event) => ((last = event.id), onEvent(event)));
    } catch (error) {
      if (signal.aborted) return;
      isFirst = false;
      // The events are no longer kept, or there is no stream: everything is loaded again.
      if (error.status === 410 || error.status === 422) {
        last = null;
        onGap();
      } else if ([404, 405, 429].includes(error.status)) {
        poll(signal, onGap, onState);
        return;
      }
      if (error instanceof LoggedOut) return;
      onState("waiting");
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, LATEST);
  }
}

async function read(response, onEvent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart());
      if (data.length) onEvent(JSON.parse(data.join("\n")));
    }
  }
}

async function poll(signal, onGap, onState) {
  onState("polling");
  while (!signal.aborted) {
    await pause(EVERY, signal);
    if (!signal.aborted && !document.hidden) onGap();
  }
}
