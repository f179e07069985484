// The delivery log of one webhook: a line for every attempt of its latest deliveries, newest first.

import { get, some } from "../lib/api.js";
import { h, replace } from "../lib/dom.js";
import { clockTime, exactTime, millis } from "../lib/format.js";
import { chip, empty, outcome, problemBox, skeleton } from "./basics.js";
import { attemptDetail, errorInWords } from "./attempt.js";

const DELIVERIES = 20;

export function logsPanel(webhook, changed) {
  const abort = new AbortController();
  const element = h("div", { class: "logs", role: "region", "aria-label": `Delivery log of ${webhook}` }, skeleton(3));
  /** Details of deliveries that have ended never change, except by a manual retry. */
  const known = new Map();
  const open = new Set();
  let shown = null;

  async function refresh() {
    try {
      const list = await get("/v1/deliveries", { webhook, limit: DELIVERIES }, { signal: abort.signal });
      const stale = list.data.filter((row) => JSON.stringify(known.get(row.id)?.row) !== JSON.stringify(row));
      if (shown !== null && stale.length === 0 && shown === list.data.length) return;
      const details = await some(stale, (row) => get(`/v1/deliveries/${row.id}`, null, { signal: abort.signal }));
      stale.forEach((row, at) => details[at] && known.set(row.id, { row, detail: details[at] }));
      shown = list.data.length;
      draw(list);
      if (stale.length > 0) changed?.();
    } catch (error) {
      if (error.name !== "AbortError" && shown === null) replace(element, problemBox(error, refresh));
    }
  }

  function lines(list) {
    const found = [];
    for (const row of list.data) {
      const detail = known.get(row.id)?.detail;
      if (!detail || detail.attempts.length === 0) found.push({ row, at: row.created_at });
      else for (const attempt of detail.attempts) found.push({ row: detail, attempt, at: attempt.at });
    }
    return found.sort((a, b) => (a.at < b.at ? 1 : -1));
  }

  function draw(list) {
    if (list.data.length === 0) return replace(element, empty("No deliveries yet", "Send a test, or publish an event that its patterns match."));
    const body = h("tbody", null, lines(list).flatMap(({ row, attempt, at }) => (attempt ? attemptLines(row, attempt) : h("tr", null,
      h("td", { class: "num left" }, h("span", { title: exactTime(at) }, clockTime(at))), h("td", null, h("a", { href: `/deliveries/${row.id}` }, row.event_type)), h("td", { class: "num" }, "–"), h("td", null, chip(row.state)), h("td", { class: "num" }, "–"), h("td", { class: "reason" }, row.reason ?? "")))));
    replace(element, h("div", { class: "table-wrap" }, h("table", { class: "log-table" }, h("thead", null, h("tr", null, h("th", null, "Time"), h("th", null, "Event"), h("th", { class: "num" }, "Attempt"), h("th", null, "Status"), h("th", { class: "num" }, "Duration"), h("th", null, "Error"))), body)),
      h("p", { class: "logs-foot" }, h("a", { href: `/deliveries?webhook=${encodeURIComponent(webhook)}` }, list.next ? "All deliveries of this webhook" : "Open in Deliveries")));
  }

  function attemptLines(row, attempt) {
    const detail = h("tr", { class: "detail-row", hidden: true }, h("td", { colspan: 6 }));
    const control = h("button", { type: "button", class: "link-button num", "aria-expanded": "false", title: exactTime(attempt.at), on: { click: () => set(!open.has(attempt.id)) } }, clockTime(attempt.at));
    const set = (isOpen) => {
      if (isOpen) open.add(attempt.id);
      else open.delete(attempt.id);
      detail.hidden = !isOpen;
      control.setAttribute("aria-expanded", String(isOpen));
      replace(detail.firstChild, isOpen && attemptDetail(attempt));
    };
    if (open.has(attempt.id)) set(true);
    return [h("tr", { class: "attempt-line" }, h("td", null, control), h("td", null, h("a", { href: `/deliveries/${row.id}` }, row.event_type)), h("td", { class: "num" }, attempt.number), h("td", null, outcome(attempt)), h("td", { class: "num" }, millis(attempt.duration_ms)), h("td", { class: "reason" }, attempt.outcome === "succeeded" ? "" : errorInWords(attempt) ?? row.reason ?? "")), detail];
  }

  refresh();
  return { element, refresh, stop: () => abort.abort() };
}
