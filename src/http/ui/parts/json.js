// JSON and other bodies, pretty or as they are, with colours that carry no meaning of their own.

import { h, replace } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { button, copy } from "./basics.js";

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Bodies longer than this are shown without colours: a span per token would make the page crawl. */
const COLOURED_MAX = 60000;

export function coloured(text) {
  if (text.length > COLOURED_MAX) return [text];
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > from) parts.push(text.slice(from, match.index));
    const kind = match[2] !== undefined ? "j-key" : match[1] ? "j-text" : /^[tfn]/.test(match[0]) ? "j-word" : "j-number";
    parts.push(h("span", { class: kind }, match[1] ?? match[0]));
    if (match[2] !== undefined) parts.push(match[2]);
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

export const code = (text, label) =>
  h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": label ?? "Text" }, coloured(text));

export const jsonBlock = (value, label) => code(JSON.stringify(value, null, 2) ?? "null", label);

/** A body with a switch between pretty and raw. */
export function bodyView(body, { label, encoding, truncated } = {}) {
  if (body === "" || body === null || body === undefined) return h("p", { class: "muted small" }, "Empty body");
  const nice = encoding === "base64" ? null : pretty(body);
  let raw = nice === null;
  const shown = h("div", null);
  const size = encoding === "base64" ? Math.floor((body.length * 3) / 4) : new TextEncoder().encode(body).length;
  const toggle = nice !== null && button("Raw", { kind: "quiet small", "aria-pressed": "false", on: () => {
    raw = !raw;
    toggle.setAttribute("aria-pressed", String(raw));
    render();
  } });
  const render = () => replace(shown, code(raw ? body : nice, label));
  render();
  return h(
    "div",
    { class: "body-view" },
    h("div", { class: "body-tools" },
      h("span", { class: "muted small" }, bytes(size), encoding === "base64" && ", not text: Base64", truncated && ", cut"),
      h("span", { class: "grow" }), toggle, button("Copy", { kind: "quiet small", icon: "copy", on: () => copy(body, "Body copied") })),
    shown,
  );
}

export function headersTable(headers) {
  const entries = Object.entries(headers ?? {});
  if (entries.length === 0) return h("p", { class: "muted small" }, "No headers");
  return h("dl", { class: "headers" }, entries.map(([name, value]) => [h("dt", null, name), h("dd", null, String(value))]));
}

/** A text area for JSON that says what is wrong while one types. */
export function jsonField({ value = "", label, rows = 8, id, optional = false, hint, onInput }) {
  const note = h("p", { class: "field-note", id: `${id}-note`, role: "status" });
  const area = h("textarea", {
    id, rows, spellcheck: "false", class: "mono", autocapitalize: "off", ".value": value, "aria-describedby": `${id}-note`,
  });
  const field = {
    area,
    element: h("div", { class: "field" }, h("label", { for: id }, label), area, note, hint && h("p", { class: "hint" }, hint)),
    read() {
      const text = area.value.trim();
      if (text === "" && optional) return { ok: true, value: undefined };
      try {
        return { ok: true, value: JSON.parse(text) };
      } catch (error) {
        return { ok: false, message: explain(error, text) };
      }
    },
    say(message, tone = "bad") {
      note.textContent = message ?? "";
      note.className = `field-note ${tone}`;
      area.setAttribute("aria-invalid", String(Boolean(message) && tone === "bad"));
    },
  };
  area.addEventListener("input", () => {
    const read = field.read();
    field.say(read.ok ? "" : read.message);
    onInput?.(read);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.shiftKey || !event.altKey) return;
    event.preventDefault();
    area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
  });
  return field;
}

function explain(error, text) {
  if (text === "") return "JSON is needed here";
  const at = /position (\d+)/.exec(error.message);
  if (!at) return `Not JSON yet: ${error.message}`;
  const before = text.slice(0, Number(at[1])).split("\n");
  return `Not JSON yet: line ${before.length}, column ${before.at(-1).length + 1}: ${error.message.replace(/ in JSON at position.*/, "")}`;
}
