// What happens on the server, as it happens: server-sent events over fetch (EventSource cannot send a token), and where
// the server has no stream, a poll every few seconds. Pages get hints, and read what they show from the API.

import { send } from "./api.js";
import { session } from "./session.js";

const POLL_MS = 3000;
const RECONNECT_MS = 2000;

const listeners = new Set();
let state = "connecting";
let abort = null;

/** connecting, live, polling, offline */
export const liveState = () => state;

/** `listener({kind, data})`, until the returned function is called. */
export function onLive(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(kind, data) {
  for (const listener of listeners) listener({ kind, data });
}

function setState(next) {
  if (next === state) return;
  state = next;
  window.dispatchEvent(new CustomEvent("live-state", { detail: state }));
}

export function startLive() {
  stopLive();
  abort = new AbortController();
  run(abort.signal);
}

export function stopLive() {
  abort?.abort();
  abort = null;
  setState("connecting");
}

async function run(signal) {
  while (!signal.aborted && session.token) {
    try {
      await follow(signal);
      setState("connecting");
      await pause(RECONNECT_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.isMissing) return poll(signal);
      setState(error.isNetwork === false ? "polling" : "offline");
      tell("tick", null);
      await pause(RECONNECT_MS, signal);
    }
  }
}

async function follow(signal) {
  const response = await send("GET", "/v1/stream", { signal, headers: { Accept: "text/event-stream" } });
  setState("live");
  tell("tick", null);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) readBlock(block);
  }
}

function readBlock(block) {
  let kind = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) kind = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length === 0) return;
  try {
    tell(kind, JSON.parse(data.join("\n")));
  } catch {
    tell(kind, null);
  }
}

async function poll(signal) {
  setState("polling");
  while (!signal.aborted && session.token) {
    await pause(POLL_MS, signal);
    if (!document.hidden && !signal.aborted) tell("tick", null);
  }
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
