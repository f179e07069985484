// One attempt: what was sent, what came back, and where the time went.

import { h, replace, s, uid } from "../lib/dom.js";
import { clockTime, exactTime, millis } from "../lib/format.js";
import { button, copy, outcome } from "./basics.js";
import { bodyView, headersTable } from "./json.js";

const PHASES = [
  ["transform_us", "Transform", "violet"],
  ["resolve_us", "DNS", "info"],
  ["connect_us", "Connect", "warn"],
  ["tls_us", "TLS", "accent"],
  ["first_byte_us", "First byte", "good"],
  ["body_us", "Body", "calm"],
];

const CLASSES = {
  status: "the receiver refused it",
  resolve: "the host's name could not be resolved",
  blocked_address: "the address is one that requests may not go to",
  connect: "no connection could be made",
  tls: "the encrypted connection could not be set up",
  connection: "the connection broke",
  protocol: "the answer was no HTTP",
  timeout: "it took too long",
  auth: "the token for the endpoint could not be had",
  transform: "the transformer failed",
};

const CAUSES = {
  status: "HTTP error", resolve: "Name not resolved", blocked_address: "Blocked address", connect: "No connection", tls: "TLS", connection: "Connection broke",
  protocol: "No HTTP", timeout: "Timeout", auth: "Token for the endpoint", transform: "Transformer",
};

/** Of a kind of failure: `HTTP 503` as it is, `blocked_address` as people say it. */
export const causeInWords = (cause) => CAUSES[cause] ?? cause.replaceAll("_", " ");

export const errorInWords = (attempt) => attempt.error ?? CLASSES[attempt.error_class] ?? null;

export function waterfall(timings, duration_ms) {
  const phases = PHASES.filter(([key]) => timings?.[key] !== undefined && timings[key] !== null).map(([key, name, tone]) => ({ name, tone, ms: timings[key] / 1000 }));
  if (phases.length === 0) return null;
  const sum = phases.reduce((total, phase) => total + phase.ms, 0);
  const total = Math.max(sum, duration_ms ?? 0, 0.001);
  let from = 0;
  const rows = phases.map(({ name, tone, ms }) => {
    const start = (from / total) * 100;
    from += ms;
    const width = Math.max(0.6, (ms / total) * 100);
    return h("div", { class: "phase" }, h("span", null, name),
      s("svg", { class: "phase-bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
        s("rect", { class: "track", width: 100, height: 8 }),
        s("rect", { class: `mark ${tone}`, x: Math.min(start, 99.4), width, height: 8 })),
      h("span", { class: "num" }, millis(ms)));
  });
  return h("div", { class: "waterfall", role: "group", "aria-label": `Timings, ${millis(duration_ms ?? sum)} in all` }, rows,
    h("div", { class: "phase total" }, h("span", null, "Total"), h("span", null), h("span", { class: "num" }, millis(duration_ms ?? sum))));
}

/** Tabs as the platform's authoring practices have them. */
export function tabs(label, entries) {
  const base = uid("tab");
  const panel = h("div", { role: "tabpanel", id: `${base}-panel`, class: "tab-panel" });
  const choose = (at, focus) => {
    buttons.forEach((one, which) => {
      one.setAttribute("aria-selected", String(which === at));
      one.tabIndex = which === at ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", buttons[at].id);
    replace(panel, entries[at].build());
    if (focus) buttons[at].focus();
  };
  const buttons = entries.map((entry, at) =>
    h("button", { type: "button", role: "tab", id: `${base}-${at}`, "aria-controls": `${base}-panel`, on: { click: () => choose(at) } }, entry.label));
  const list = h("div", { role: "tablist", class: "tabs", "aria-label": label, on: { keydown: (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) choose((buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length, true);
  } } }, buttons);
  choose(0);
  return h("div", { class: "tab-box" }, list, panel);
}

const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

function asCurl(request) {
  const headers = Object.entries(request.headers ?? {}).map(([name, value]) => `  -H ${quote(`${name}: ${value}`)}`);
  return [`curl -i -X ${request.method ?? "POST"} ${quote(request.url)}`, ...headers, `  --data-binary ${quote(request.body ?? "")}`].join(" \\\n");
}

function requestView(request) {
  if (!request) return h("p", { class: "muted" }, "Nothing was sent: the attempt ended before there was a request.");
  return h("div", { class: "stack" },
    h("p", { class: "request-line" }, h("span", { class: "method" }, request.method ?? "POST"), h("code", { class: "break" }, request.url),
      button("Copy as curl", { kind: "quiet small", icon: "copy", on: () => copy(asCurl(request), "Command copied") })),
    headersTable(request.headers), bodyView(request.body, { label: "Request body", encoding: request.body_encoding }));
}

function responseView(attempt) {
  const { response } = attempt;
  if (!response) return h("p", { class: "muted" }, attempt.error ? `No answer: ${attempt.error}` : "No answer came.");
  return h("div", { class: "stack" }, h("p", { class: "request-line" }, outcome(attempt)), headersTable(response.headers),
    bodyView(response.body, { label: "Response body", encoding: response.body_encoding, truncated: response.truncated }));
}

export function attemptDetail(attempt) {
  const words = errorInWords(attempt);
  const entries = [
    { label: "Request", build: () => requestView(attempt.request) },
    { label: "Response", build: () => responseView(attempt) },
  ];
  if (attempt.log?.length) {
    entries.push({ label: `Log (${attempt.log.length})`, build: () => h("ol", { class: "log" }, attempt.log.map((line) => h("li", { class: line.level }, h("span", { class: "level" }, line.level), line.message))) });
  }
  return h("div", { class: "attempt-detail" }, attempt.outcome !== "succeeded" && words && h("p", { class: "error-text" }, words),
    h("div", { class: "attempt-columns" }, tabs(`Attempt ${attempt.number}`, entries), waterfall(attempt.timings, attempt.duration_ms)));
}

/** A line that opens to the attempt's detail. */
export function attemptRow(attempt, { open = false } = {}) {
  const inside = h("div", null);
  const details = h("details", { class: "attempt", open },
    h("summary", null, h("span", { class: "attempt-number" }, `Attempt ${attempt.number}`), outcome(attempt),
      h("span", { class: "num" }, millis(attempt.duration_ms)), attempt.trigger && attempt.trigger !== "scheduled" && h("span", { class: "tag" }, attempt.trigger),
      h("span", { class: "grow error-brief" }, attempt.outcome === "succeeded" ? "" : errorInWords(attempt)),
      h("span", { class: "muted num", title: exactTime(attempt.at) }, clockTime(attempt.at))),
    inside);
  const build = () => details.open && inside.childNodes.length === 0 && replace(inside, attemptDetail(attempt));
  details.addEventListener("toggle", build);
  if (open) build();
  return details;
}
