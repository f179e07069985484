// What was published, what became of it, and why each webhook did or did not get it.

import { get, post } from "../lib/api.js";
import { debounce, h, replace, throttle, uid } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { onLive } from "../lib/live.js";
import { query, setQuery } from "../lib/router.js";
import { session } from "../lib/session.js";
import { busy, button, chip, copy, empty, heading, notice, problemBox, skeleton, time } from "../parts/basics.js";
import { openDialog } from "../parts/dialog.js";
import { icon } from "../parts/icons.js";
import { jsonBlock, jsonField } from "../parts/json.js";

const PAGE = 30;
const ROWS_MAX = 1000;

export function eventsPage(main, id) {
  const abort = new AbortController();
  const { signal } = abort;
  const rows = new Map();
  let next = null;
  let chosen = id;
  let version = 0;
  let shownText = "";
  const type = h("input", { type: "search", placeholder: "Event type", "aria-label": "Event type", spellcheck: "false", autocapitalize: "off", ".value": query().event_type ?? "" });
  const tenant = h("input", { type: "search", placeholder: "Tenant", "aria-label": "Tenant", spellcheck: "false", ".value": query().tenant ?? "" });
  const place = h("div", { class: "event-list" }, skeleton(8));
  const detail = h("div", { class: "event-detail", "aria-live": "off" });
  const sendButton = session.canPublish && button("Send event", { icon: "send", kind: "primary", on: () => sendDialog(template(rows.get(chosen)?.event), (sent) => choose(sent)) });
  replace(main, heading("Events", "What was published, and who got it", sendButton), h("div", { class: "toolbar" }, h("div", { class: "filters", role: "search", "aria-label": "Filter events" }, type, tenant)), h("div", { class: "split" }, place, detail));

  const wanted = (cursor) => ({ event_type: type.value.trim(), tenant: tenant.value.trim(), limit: PAGE, cursor });

  async function load(cursor) {
    const asked = version;
    try {
      const page = await get("/v1/events", wanted(cursor), { signal });
      if (asked !== version) return;
      if (rows.size === 0 || cursor) next = page.next;
      let changed = rows.size === 0;
      for (const event of page.data) {
        const text = JSON.stringify(event.deliveries);
        changed = changed || rows.get(event.id)?.text !== text;
        rows.set(event.id, { event, text });
      }
      if (changed) draw();
      if (!chosen && rows.size > 0 && matchMedia("(min-width: 900px)").matches) choose(sorted()[0].event.id, { quiet: true });
      if (page.next && rows.size === 0) await load(page.next);
    } catch (error) {
      if (error.name !== "AbortError" && rows.size === 0) replace(place, problemBox(error, () => load()));
    }
  }

  const sorted = () => [...rows.values()].sort((a, b) => (a.event.received_at ?? a.event.timestamp) < (b.event.received_at ?? b.event.timestamp) ? 1 : -1).slice(0, ROWS_MAX);

  function draw() {
    if (rows.size === 0) {
      const filtered = type.value || tenant.value;
      return replace(place, filtered ? empty("Nothing fits these filters", "Types are matched as a whole, such as order.created.") : empty("No events yet", "Publish one: from your application, with tenterhook send, or right here.", sendButton && button("Send event", { icon: "send", kind: "primary", on: () => sendDialog(null, choose) })));
    }
    const active = place.contains(document.activeElement) && document.activeElement.dataset.id;
    replace(place, h("div", { class: "card list" }, sorted().map(({ event }) => item(event))), next && h("div", { class: "pager" }, more()));
    if (active) place.querySelector(`[data-id="${CSS.escape(active)}"]`)?.focus({ preventScroll: true });
  }

  function more() {
    const control = button("Show older", { icon: "down", on: () => busy(control, () => load(next)) });
    return control;
  }

  function item(event) {
    const tally = {};
    for (const one of event.deliveries) tally[one.state] = (tally[one.state] ?? 0) + 1;
    return h("button", { type: "button", class: "list-item", data: { id: event.id }, "aria-current": String(event.id === chosen), on: { click: () => choose(event.id, { scroll: true }) } },
      h("span", { class: "list-main" }, h("strong", null, event.type), h("code", { class: "muted small clip" }, event.id)),
      h("span", { class: "list-side" }, time(event.received_at ?? event.timestamp), h("span", { class: "tally" }, Object.entries(tally).map(([state, times]) => chip(state, String(times))).map((element, at) => {
        element.title = `${Object.values(tally)[at]} ${Object.keys(tally)[at]}`;
        element.append(h("span", { class: "visually-hidden" }, ` ${Object.keys(tally)[at]}`));
        return element;
      }), event.deliveries.length === 0 && h("span", { class: "muted small" }, "nobody"))));
  }

  async function choose(id, { quiet = false, scroll = false } = {}) {
    chosen = id;
    shownText = "";
    if (!quiet) history.replaceState(null, "", `/events/${encodeURIComponent(id)}${location.search}`);
    for (const one of place.querySelectorAll(".list-item")) one.setAttribute("aria-current", String(one.dataset.id === id));
    replace(detail, h("div", { class: "card pad" }, skeleton(5)));
    await show();
    if (scroll && !matchMedia("(min-width: 900px)").matches) detail.scrollIntoView({ block: "start" });
  }

  async function show() {
    const id = chosen;
    if (!id) return;
    try {
      const event = await get(`/v1/events/${encodeURIComponent(id)}`, null, { signal });
      const text = JSON.stringify(event);
      if (id !== chosen || text === shownText) return;
      shownText = text;
      replace(detail, eventCard(event, (draft) => sendDialog(draft, choose)));
    } catch (error) {
      if (error.name !== "AbortError" && shownText === "") replace(detail, problemBox(error, show));
    }
  }

  const apply = debounce(() => {
    setQuery({ event_type: type.value.trim(), tenant: tenant.value.trim() });
    rows.clear();
    version += 1;
    load();
  }, 250);
  type.addEventListener("input", apply);
  tenant.addEventListener("input", apply);
  load();
  show();
  const soon = throttle(() => {
    load();
    show();
  }, 1500);
  const stop = onLive(() => document.querySelector("dialog[open]") || soon());
  return () => {
    stop();
    soon.stop();
    abort.abort();
  };
}

function eventCard(event, again) {
  const got = event.deliveries.map((one) => h("tr", null, h("td", null, h("a", { href: `/webhooks/${encodeURIComponent(one.webhook)}` }, one.webhook)), h("td", null, chip(one.state)), h("td", null, h("a", { href: `/deliveries/${one.id}` }, "Attempts"))));
  const missed = event.unmatched.map((one) => h("tr", { class: "off" }, h("td", null, one.webhook), h("td", null, h("span", { class: "chip calm" }, icon("skip", { size: 13 }), "No match")), h("td", { class: "reason" }, one.reason)));
  return h("article", { class: "card pad stack" },
    h("header", { class: "event-head" }, h("h2", null, event.type), h("span", { class: "grow" }), session.canPublish && template(event) && button("Send again as new…", { kind: "small", icon: "send", on: () => again(event) })),
    h("dl", { class: "facts" }, h("dt", null, "Id"), h("dd", null, h("code", { class: "break" }, event.id), button("Copy", { kind: "quiet small", icon: "copy", on: () => copy(event.id, "Id copied") })), h("dt", null, "Time"), h("dd", null, time(event.timestamp)), event.tenant && [h("dt", null, "Tenant"), h("dd", null, event.tenant)]),
    h("section", null, h("h3", null, "Webhooks"), got.length + missed.length === 0 ? h("p", { class: "muted" }, "There is no webhook.") : h("div", { class: "table-wrap" }, h("table", { class: "compact" }, h("thead", null, h("tr", null, h("th", null, "Webhook"), h("th", null, "Result"), h("th", null, "Why"))), h("tbody", null, got, missed)))),
    h("section", null, h("h3", null, "Data"), jsonBlock(event.data, "Data of the event")),
    event.metadata && h("section", null, h("h3", null, "Metadata"), jsonBlock(event.metadata, "Metadata of the event")));
}

/** The chosen event as a template; an operational event cannot be published, so it is none. */
const template = (event) => (event && /^(webhook|tenterhook)\./.test(event.type) ? null : event);

export function sendDialog(draft, sent) {
  return openDialog({ title: "Send an event", build: (close) => {
    const id = uid("send");
    const type = h("input", { id: `${id}-type`, type: "text", required: true, autofocus: true, spellcheck: "false", autocapitalize: "off", placeholder: "order.created", ".value": draft?.type ?? "" });
    const tenant = h("input", { id: `${id}-tenant`, type: "text", spellcheck: "false", ".value": draft?.tenant ?? "" });
    const own = h("input", { id: `${id}-id`, type: "text", spellcheck: "false", placeholder: "generated if empty" });
    const data = jsonField({ id: `${id}-data`, label: "Data (JSON)", rows: 9, value: JSON.stringify(draft?.data ?? { total: 99.99 }, null, 2) });
    const note = h("p", { class: "field-note bad", role: "alert" });
    const submit = button("Send", { icon: "send", kind: "primary", type: "submit" });
    return {
      body: h("div", { class: "stack" }, h("div", { class: "field" }, h("label", { for: type.id }, "Type"), type), data.element, h("div", { class: "field-row" }, h("div", { class: "field" }, h("label", { for: own.id }, "Id"), own), h("div", { class: "field" }, h("label", { for: tenant.id }, "Tenant"), tenant)), note),
      foot: [h("span", { class: "grow" }), button("Cancel", { on: () => close() }), submit],
      onSubmit: () => busy(submit, async () => {
        const read = data.read();
        if (!read.ok) return data.say(read.message);
        const event = { type: type.value.trim(), data: read.value };
        if (own.value.trim()) event.id = own.value.trim();
        if (tenant.value.trim()) event.tenant = tenant.value.trim();
        const answer = await post("/v1/events", event);
        close(answer);
        notice(answer.deliveries === 0 ? "Sent, but no webhook matches it: see why" : `Sent to ${plural(answer.deliveries, "webhook")}`);
        sent(answer.id);
      }).catch((error) => replace(note, error.message)),
    };
  } });
}
