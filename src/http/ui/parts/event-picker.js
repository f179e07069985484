// Event types: a check box for each known type, grouped by first segment, and free patterns for the rest.

import { all, get } from "../lib/api.js";
import { h, replace, uid } from "../lib/dom.js";
import { short } from "../lib/format.js";

/** Types that gateways and applications commonly send, for a server that has seen none yet. */
const COMMON = [
  "circuit_breaker.opened", "circuit_breaker.closed", "circuit_breaker.half_open", "rate_limit.exceeded", "rate_limit.approaching",
  "proxy.request_started", "proxy.request_completed", "proxy.request_failed", "health.check_failed", "health.check_recovered",
];

const GROUPS_MAX = 40;

/** [{type, events, description}], declared and seen. */
export async function knownTypes(signal) {
  try {
    const types = await all("/v1/event-types", { signal, max: 1000 });
    return types.map((one) => ({ type: one.type ?? one.name, count: one.events ?? one.count, description: one.description })).filter((one) => one.type);
  } catch (error) {
    if (!error.isMissing) throw error;
    const recent = await get("/v1/events", { limit: 100 }, { signal });
    const seen = new Map();
    for (const event of recent.data) seen.set(event.type, (seen.get(event.type) ?? 0) + 1);
    return [...seen].map(([type, count]) => ({ type, count }));
  }
}

export function eventPicker({ value = [], readOnly, onInput }) {
  const id = uid("events");
  const chosen = new Set(value);
  const groups = h("div", { class: "event-groups" }, h("p", { class: "muted small" }, "Loading event types…"));
  const everything = h("input", { type: "checkbox", id: `${id}-all`, ".checked": chosen.has("*"), disabled: readOnly });
  const own = h("textarea", { id: `${id}-own`, rows: 2, class: "mono", spellcheck: "false", placeholder: "order.*\npayment.**", disabled: readOnly });
  const note = h("p", { class: "field-note bad", role: "status", id: `${id}-note` });
  let known = [];

  const patterns = () => own.value.split(/[\s,]+/).filter(Boolean);
  const read = () => (everything.checked ? ["*", ...[...chosen].filter((one) => one !== "*" && !known.includes(one))] : [...new Set([...[...chosen].filter((one) => one !== "*"), ...patterns()])]);
  const changed = () => onInput?.(read());

  function box(pattern, label, { title, count } = {}) {
    const input = h("input", { type: "checkbox", value: pattern, ".checked": chosen.has(pattern), disabled: readOnly || everything.checked, on: { change: () => {
      if (input.checked) chosen.add(pattern);
      else chosen.delete(pattern);
      changed();
    } } });
    return h("label", { class: "check", title }, input, h("span", null, label), count > 0 && h("span", { class: "muted small num" }, short(count)));
  }

  function draw(types) {
    known = types.map((one) => one.type);
    const byPrefix = new Map();
    for (const one of types) {
      const prefix = one.type.split(".")[0];
      byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), one]);
    }
    const prefixes = [...byPrefix.keys()].sort().slice(0, GROUPS_MAX);
    replace(groups, prefixes.map((prefix) => h("fieldset", null, h("legend", null, prefix),
      prefix !== "webhook" && prefix !== "tenterhook" && byPrefix.get(prefix).some((one) => one.type.includes(".")) && box(`${prefix}.*`, h("em", null, `all of ${prefix}.*`)),
      byPrefix.get(prefix).sort((a, b) => (a.type < b.type ? -1 : 1)).map((one) => box(one.type, one.type.slice(prefix.length + 1) || one.type, { title: one.description ?? one.type, count: one.count })))));
    const shown = new Set([...groups.querySelectorAll("input")].map((input) => input.value));
    const rest = [...chosen].filter((one) => one !== "*" && !shown.has(one));
    rest.forEach((one) => chosen.delete(one));
    if (rest.length > 0) own.value = rest.join("\n");
  }

  everything.addEventListener("change", () => {
    groups.querySelectorAll("input").forEach((input) => (input.disabled = readOnly || everything.checked));
    own.disabled = readOnly || everything.checked;
    if (everything.checked) chosen.add("*");
    else chosen.delete("*");
    changed();
  });
  own.addEventListener("input", changed);
  knownTypes().catch(() => []).then((types) => {
    const have = new Set(types.map((one) => one.type));
    draw([...types, ...COMMON.filter((type) => types.length < 5 && !have.has(type)).map((type) => ({ type }))]);
  });
  return {
    focus: everything,
    isBad: () => note.textContent !== "",
    element: h("div", { class: "field", "aria-describedby": note.id }, h("span", { class: "label" }, "Events"), h("label", { class: "check" }, everything, h("span", null, "All events")), groups,
      h("div", { class: "field" }, h("label", { for: own.id }, "Other patterns"), own, h("p", { class: "hint" }, h("code", null, "*"), " matches one segment, ", h("code", null, "**"), " any number of segments")), note),
    read,
    say: (message) => replace(note, message),
  };
}
