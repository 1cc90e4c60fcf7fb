// Changes by others as they happen: by the stream of events, or by polling if there is no stream.
import { LoggedOut, request } from "../shared/session.js";

const SOON = 1000;
const LATEST = 30_000;
const EVERY = 15_000;
// The server sends something at once and then every 15 seconds. A longer silence means that the connection is
// dead, or, at the beginning, that a proxy holds the stream back.
const FIRST = 10_000;
const SILENCE = 40_000;
let stop = new AbortController();

// Calls `onEvent` for each event, `onGap` if events may have been missed, and `onEnd` if the session has ended.
export function follow(onEvent, onGap, onState, onEnd) {
  stop.abort();
  stop = new AbortController();
  const { signal } = stop;
  run(signal, onEvent, onGap, onState, onEnd);
  return () => stop.abort();
}

const pause = (time, signal) =>
  new Promise((resolve) => {
    const end = () => (clearTimeout(timer), signal.removeEventListener("abort", end), resolve());
    const timer = setTimeout(end, time);
    signal.addEventListener("abort", end);
  });

// A signal that ends with the given one, or after a silence. `heard` begins the silence again.
function untilSilence(signal, first) {
  const control = new AbortController();
  const end = () => control.abort();
  let timer = setTimeout(end, first);
  signal.addEventListener("abort", end, { once: true });
  return {
    signal: control.signal,
    heard: () => (clearTimeout(timer), (timer = setTimeout(end, SILENCE))),
    close: () => (clearTimeout(timer), signal.removeEventListener("abort", end)),
  };
}

async function run(signal, onEvent, onGap, onState, onEnd) {
  let [last, wait, isFirst, hasBegun] = [null, SOON, true, false];
  const begun = () => {
    if (!isFirst && !last) onGap();
    [isFirst, hasBegun, wait] = [false, true, SOON];
    onState("live");
  };
  while (!signal.aborted) {
    const silence = untilSilence(signal, hasBegun ? SILENCE : FIRST);
    try {
      const response = await request(`/events/stream${last ? `?after=${encodeURIComponent(last)}` : ""}`, {
        signal: silence.signal,
        headers: { Accept: "text/event-stream" },
      });
      await read(response, begun, silence.heard, (event) => ((last = event.id), onEvent(event)));
    } catch (error) {
      if (signal.aborted) return;
      isFirst = false;
      // The events are no longer kept, or there is no stream: everything is loaded again.
      if (error.status === 410 || error.status === 422) {
        last = null;
        onGap();
      } else if ([404, 405, 429].includes(error.status) || (silence.signal.aborted && !hasBegun)) {
        poll(signal, onGap, onState);
        return;
      }
      if (error instanceof LoggedOut) {
        onEnd(error.message);
        return;
      }
      onState("waiting");
    } finally {
      silence.close();
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, LATEST);
  }
}

// Reads a stream. It begins with a comment, so that its first part shows that no proxy holds it back.
async function read(response, onBegin, onPart, onEvent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let [text, isFirst] = ["", true];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onPart();
    if (isFirst) onBegin();
    isFirst = false;
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
