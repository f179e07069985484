// What a configuration would change, as `tenterhook plan` prints it.

import { h } from "../lib/dom.js";
import { plural } from "../lib/format.js";

/** Keys of a new webhook that say what it is. */
const SAID = ["url", "events", "filter", "transform", "tenant", "enabled"];

const said = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const isDull = (value) => value === null || value === undefined || value === true || (Array.isArray(value) && value.length === 0);

const SIGNS = { "+": ["plan-added", "added"], "-": ["plan-removed", "removed"], "~": ["plan-changed", "changed"], "!": ["plan-unread", "cannot be read"] };

function entry(sign, title, note, lines = []) {
  const [kind, word] = SIGNS[sign];
  return h("li", { class: kind }, h("p", { class: "plan-title" }, h("span", { class: "plan-sign", "aria-hidden": "true" }, sign), h("strong", null, title), h("span", { class: "visually-hidden" }, ` ${word}`), note && h("span", { class: "muted" }, note)),
    lines.length > 0 && h("dl", { class: "plan-keys" }, lines));
}

function changed({ key, before, after, hidden, restart }) {
  const values = hidden ? h("span", { class: "muted" }, "another value; what is shown of it is the same")
    : [before !== null && h("del", null, h("span", { class: "visually-hidden" }, "was "), said(before)), before !== null && after !== null && " ", after !== null && h("ins", null, h("span", { class: "visually-hidden" }, "becomes "), said(after))];
  return [h("dt", null, key), h("dd", null, values, restart && h("span", { class: "tag" }, "at the next start"))];
}

const waits = (count) => (count > 0 ? `${plural(count, "waiting delivery", "waiting deliveries")} would be cancelled` : null);

/** `changes` of GET /v1/config/changes. */
export function planView(changes) {
  const { webhooks, tables, summary } = changes;
  const entries = [
    ...Object.entries(tables).map(([name, keys]) => entry("~", `[${name}]`, null, keys.map(changed))),
    ...webhooks.unread.map((id) => entry("!", id, "has a problem: its changes are known once that is fixed")),
    ...Object.entries(webhooks.added).map(([id, keys]) => entry("+", id, "new webhook", SAID.filter((key) => !isDull(keys[key])).map((key) => [h("dt", null, key), h("dd", null, h("ins", null, said(keys[key])))]))),
    ...Object.entries(webhooks.changed).map(([id, keys]) => entry("~", id, null, keys.map(changed))),
    ...webhooks.removed.map(({ id, waiting }) => entry("-", id, waits(waiting))),
  ];
  const counts = [[summary.added, "to add"], [summary.changed, "to change"], [summary.removed, "to remove"], [summary.unread, "with problems"]].filter(([count]) => count > 0);
  const more = summary.added + summary.changed + summary.removed + summary.unread - webhooks.unread.length - Object.keys(webhooks.added).length - Object.keys(webhooks.changed).length - webhooks.removed.length;
  return h("div", { class: "stack" },
    entries.length === 0 && h("p", { class: "muted" }, changes.only_unseen ? "Nothing that can be shown: a comment, a hidden value, or a module." : "Nothing."),
    entries.length > 0 && h("ul", { class: "plan" }, entries),
    counts.length > 0 && h("p", { class: "muted" }, "Webhooks: ", counts.map(([count, word]) => `${count} ${word}`).join(", "), more > 0 && `; ${more} are not listed here`, "."),
    !changes.whole && h("p", { class: "muted" }, "A file cannot be read to its end, so what is missing from it is not counted as removed."));
}
