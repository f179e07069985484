// The small parts that every page is made of: buttons, chips, times, notices, empty and error states.

import { h, replace } from "../lib/dom.js";
import { ago, exactTime } from "../lib/format.js";
import { icon } from "./icons.js";

/** A time as people say it, the exact one on hover; keeps itself up to date. */
class RelativeTime extends HTMLElement {
  static observedAttributes = ["datetime"];

  connectedCallback() {
    RelativeTime.all.add(this);
    this.render();
  }

  disconnectedCallback() {
    RelativeTime.all.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.render();
  }

  render() {
    const time = this.getAttribute("datetime");
    if (!time) return;
    const text = ago(time);
    if (this.textContent !== text) this.textContent = text;
    if (!this.title) this.title = exactTime(time);
  }

  static all = new Set();
}
customElements.define("th-time", RelativeTime);
setInterval(() => RelativeTime.all.forEach((element) => element.render()), 1000);

export const time = (at) => (at ? h("th-time", { datetime: at, class: "time" }) : h("span", { class: "muted" }, "–"));

export function button(label, { icon: name, kind = "", title, disabled, on, type = "button", ...more } = {}) {
  const attributes = { type, class: `button ${kind}`, title, disabled, on: typeof on === "function" ? { click: on } : on, ...more };
  return h("button", attributes, name && icon(name, { size: 16 }), label && h("span", null, label));
}

export const iconButton = (label, name, on, more = {}) =>
  h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click: on }, ...more }, icon(name));

/** While `work` runs the button waits, and cannot be pressed again. */
export async function busy(control, work) {
  control.disabled = true;
  control.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    control.disabled = false;
    control.removeAttribute("aria-busy");
  }
}

const STATES = {
  succeeded: ["check", "good", "Succeeded"],
  failed: ["cross", "bad", "Failed"],
  retrying: ["retry", "warn", "Retrying"],
  pending: ["clock", "info", "Pending"],
  held: ["pause", "calm", "Held"],
  cancelled: ["skip", "calm", "Cancelled"],
  dropped: ["skip", "calm", "Dropped"],
  enabled: ["check", "good", "Enabled"],
  disabled: ["pause", "calm", "Disabled"],
  breaker_open: ["warn", "bad", "Breaker open"],
};

export function chip(state, text) {
  const [name, tone, label] = STATES[state] ?? ["dot", "calm", state];
  return h("span", { class: `chip ${tone}` }, icon(name, { size: 13 }), text ?? label);
}

/** ✓ 200 or ✗ and what went wrong, in colour and in words. */
export function outcome(attempt) {
  const good = attempt.outcome === "succeeded";
  const dropped = attempt.outcome === "dropped";
  const said = attempt.status ?? (dropped ? "dropped" : good ? "OK" : (attempt.error_class ?? "failed").replaceAll("_", " "));
  const label = good ? "succeeded" : dropped ? "dropped" : "failed";
  return h(
    "span",
    { class: `outcome ${good ? "good" : dropped ? "calm" : "bad"}` },
    icon(good ? "check" : dropped ? "skip" : "cross", { size: 15 }),
    h("span", { class: "visually-hidden" }, `${label} `),
    String(said),
  );
}

let notices = null;

/** Says something for a moment, to ears as well. */
export function notice(text, { tone = "good", action } = {}) {
  notices ??= document.body.appendChild(h("div", { class: "notices", role: "status", "aria-live": "polite" }));
  // A modal dialog covers all but what is within it.
  const host = document.querySelector("dialog[open]:last-of-type") ?? document.body;
  if (notices.parentNode !== host) host.append(notices);
  const box = h("div", { class: `notice ${tone}` }, icon(tone === "bad" ? "warn" : "check"), h("div", null, text), action);
  const close = iconButton("Dismiss", "cross", () => box.remove());
  box.append(close);
  notices.append(box);
  const stay = tone === "bad" || action ? 12000 : 5000;
  let timer = setTimeout(() => box.remove(), stay);
  box.addEventListener("mouseenter", () => clearTimeout(timer));
  box.addEventListener("mouseleave", () => (timer = setTimeout(() => box.remove(), 2000)));
  return box;
}

/** Notices live in the dialog on top; when it closes they go back to the page. */
export function rescueNotices() {
  if (notices && notices.parentNode !== document.body) document.body.append(notices);
}

export const failure = (error) => {
  if (error?.name === "AbortError") return;
  notice(error.message, { tone: "bad" });
};

export const empty = (title, text, ...actions) =>
  h("div", { class: "empty" }, h("strong", null, title), text && h("p", null, text), actions.length > 0 && h("div", { class: "actions" }, actions));

export function problemBox(error, again) {
  const title = error.isMissing ? "This server does not offer this" : error.isNetwork ? "No answer" : "That did not work";
  const text = error.isMissing ? "Its version has no such endpoint: upgrade it, or use the configuration file and the command line." : error.message;
  return h(
    "div",
    { class: "problem", role: "alert" },
    icon("warn"),
    h("div", null, h("strong", null, title), h("p", null, text)),
    again && button("Try again", { icon: "retry", on: again }),
  );
}

export const skeleton = (lines = 4) =>
  h("div", { class: "skeleton", role: "status", "aria-label": "Loading" }, Array.from({ length: lines }, () => h("span", null)));

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard interface; a selection can still be copied.
    const area = h("textarea", { class: "visually-hidden", ".value": text, "aria-hidden": "true" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) {
      notice("The browser does not let this page copy", { tone: "bad" });
      return;
    }
  }
  notice(said);
}

/** A heading with what belongs to it at the right. */
export const heading = (title, subtitle, ...actions) =>
  h("header", { class: "page-head" }, h("div", null, h("h1", null, title), subtitle && h("p", { class: "muted" }, subtitle)), h("div", { class: "actions" }, actions));

/** A list of choices under a button, closed by choice, Escape, or a click elsewhere; made when it is first asked for. */
export function menu(label, name, entries) {
  let list = null;
  const trigger = iconButton(label, name, () => {
    if (!list) host.append((list = menuList(entries)));
    list.togglePopover();
    const box = trigger.getBoundingClientRect();
    list.style.setProperty("top", `${Math.min(box.bottom + 4, innerHeight - list.offsetHeight - 8)}px`);
    list.style.setProperty("left", `${Math.max(8, box.right - list.offsetWidth)}px`);
    list.querySelector("button:not(:disabled)")?.focus();
  }, { "aria-haspopup": "menu" });
  const host = h("span", { class: "menu-host" }, trigger);
  return host;
}

function menuList(entries) {
  const list = h("div", { class: "menu", popover: "auto", role: "menu" });
  replace(list, entries.filter(Boolean).map((entry) => {
    const item = button(entry.label, { icon: entry.icon, kind: `menu-item ${entry.tone ?? ""}`, disabled: entry.disabled, title: entry.title, on: () => {
      list.hidePopover();
      entry.on();
    } });
    item.setAttribute("role", "menuitem");
    return item;
  }));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...list.querySelectorAll("button:not(:disabled)")];
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
  });
  return list;
}
