// Every delivery, newest first and live: filters in the address, a row opens to all its attempts.

import { deliveryPath, get, post, send } from "../lib/api.js";
import { debounce, h, replace, throttle } from "../lib/dom.js";
import { count, plural } from "../lib/format.js";
import { onLive } from "../lib/live.js";
import { query, setQuery } from "../lib/router.js";
import { session } from "../lib/session.js";
import { attemptRow } from "../parts/attempt.js";
import { busy, button, chip, copy, empty, failure, heading, iconButton, notice, problemBox, skeleton, time } from "../parts/basics.js";
import { confirm } from "../parts/dialog.js";
import { WindowedRows } from "../parts/windowed.js";

const STATES = ["pending", "retrying", "held", "succeeded", "failed", "cancelled", "dropped"];
const OPEN_STATES = new Set(["pending", "retrying", "held"]);
const PAGE = 100;

/** Rows in the table at most: filters find older ones. */
const ROWS_MAX = 20000;

const COLUMNS = 8;

/** Older ones are asked for when the view is this many rows before the last. */
const AHEAD = 20;

const SPANS = { "15m": ["last 15 min", 900e3], "1h": ["last hour", 3600e3], "24h": ["last 24 h", 86400e3], "7d": ["last 7 days", 7 * 86400e3] };

export function deliveriesPage(main, id) {
  return id ? one(main, id) : list(main);
}

function one(main, id) {
  const abort = new AbortController();
  const place = h("div", null, skeleton(6));
  replace(main, heading("Delivery", h("code", null, id), h("a", { class: "button", href: "/deliveries" }, "All deliveries")), place);
  let before = "";
  const load = async () => {
    try {
      const detail = await get(deliveryPath(id), null, { signal: abort.signal });
      const now = JSON.stringify(detail);
      if (now === before) return;
      before = now;
      const open = new Set([...place.querySelectorAll("details[open]")].map((element) => element.dataset.attempt));
      replace(place, h("div", { class: "card pad" }, deliveryDetail(detail, load, open)));
    } catch (error) {
      if (error.name !== "AbortError" && before === "") replace(place, problemBox(error, load));
    }
  };
  load();
  const soon = throttle(load, 1500);
  const stop = onLive(soon);
  return () => {
    stop();
    soon.stop();
    abort.abort();
  };
}

function list(main) {
  const abort = new AbortController();
  const { signal } = abort;
  const rows = new Map();
  const open = new Map();
  /** Cursor of the older rows: null, there are none; undefined, no answer has come yet. */
  let next;
  let version = 0;
  const place = h("div", null, skeleton(8));
  const said = h("span", { class: "muted", role: "status" });
  const controls = filters(() => {
    rows.clear();
    open.clear();
    next = undefined;
    version += 1;
    replace(place, skeleton(8));
    load();
  });
  replace(main, heading("Deliveries", "Each is one event on its way to one webhook"), h("div", { class: "toolbar" }, controls.element, h("span", { class: "grow" }), said), place);

  const wanted = (cursor) => {
    const { span, ...given } = controls.read();
    const since = span ? new Date(Date.now() - SPANS[span][1]).toISOString() : given.since;
    return { ...given, since, limit: PAGE, cursor };
  };

  async function load(cursor) {
    const asked = version;
    try {
      const page = await get("/v1/deliveries", wanted(cursor), { signal });
      if (asked !== version) return;
      for (const row of page.data) take(row);
      if (next === undefined || cursor) next = page.next;
      draw();
      // A page may be empty and not the last: the server scans a bounded number of rows per request.
      if (page.next && rows.size === 0 && !signal.aborted) await load(page.next);
    } catch (error) {
      if (error.name !== "AbortError" && asked === version && rows.size === 0) replace(place, problemBox(error, () => load()));
    }
  }

  /** Reads the newest page again: new rows come first, changed rows are redrawn. An answer to an older request counts for nothing. */
  let asks = 0;
  let answered = 0;
  async function refresh() {
    const asked = version;
    const ask = ++asks;
    const page = await get("/v1/deliveries", wanted(), { signal }).catch(() => null);
    if (!page || asked !== version || ask < answered) return;
    answered = ask;
    const listed = new Set(page.data.map((row) => row.id));
    let changed = false;
    for (const row of page.data) changed = take(row) || changed;
    // What no longer fits the filter has left the newest page.
    const oldest = page.data.at(-1)?.id ?? "";
    for (const id of rows.keys()) {
      if (!listed.has(id) && (page.next === null || id > oldest) && !open.has(id)) changed = rows.delete(id) || changed;
    }
    if (page.next === null || next === undefined) next = page.next;
    if (changed || rows.size === 0) draw();
  }

  function take(row) {
    const known = rows.get(row.id);
    const text = JSON.stringify(row);
    if (known?.text === text) return false;
    if (known) open.get(row.id)?.refresh();
    rows.set(row.id, { row, text });
    return true;
  }

  const body = h("tbody", null);
  const foot = h("div", { class: "pager" });
  const filled = h("div", null, h("div", { class: "card table-wrap" }, h("table", { class: "deliveries" }, h("thead", null, h("tr", null, h("th", { class: "narrow" }, h("span", { class: "visually-hidden" }, "Attempts")), h("th", { class: "d-state" }, "State"), h("th", { class: "d-event" }, "Event"), h("th", { class: "d-webhook" }, "Webhook"), h("th", { class: "num d-count" }, "Attempts"), h("th", null, "Reason"), h("th", { class: "num d-time" }, "Created"), h("th", { class: "d-actions" }, h("span", { class: "visually-hidden" }, "Actions")))), body)), foot);
  const table = new WindowedRows(body, {
    columns: COLUMNS,
    keyOf: (entry) => entry.row.id,
    rowsOf: (entry) => [line(entry.row), open.get(entry.row.id)?.element].filter(Boolean),
    isPinned: (key) => open.has(key),
    onWindow: (shown) => {
      const last = shown.at(-1);
      if (last && next && !busyWithOlder && table.items.indexOf(last) >= table.items.length - AHEAD && scrollY > 0) older();
    },
  });

  let busyWithOlder = false;
  async function older() {
    if (!next || rows.size >= ROWS_MAX) return;
    busyWithOlder = true;
    try {
      await load(next);
    } finally {
      busyWithOlder = false;
    }
  }

  function draw() {
    const sorted = [...rows.values()].sort((a, b) => (a.row.id < b.row.id ? 1 : -1)).slice(0, ROWS_MAX);
    replace(said, next ? `${count(sorted.length)} newest` : plural(sorted.length, "delivery", "deliveries"));
    if (sorted.length === 0) {
      replace(place, nothing());
      return table.show([]);
    }
    const focused = document.activeElement?.closest?.("tr[data-id]")?.dataset.id;
    if (!filled.isConnected) replace(place, filled);
    table.show(sorted);
    replace(foot, next && rows.size < ROWS_MAX && more());
    if (focused && !place.contains(document.activeElement)) place.querySelector(`tr[data-id="${CSS.escape(focused)}"] button`)?.focus({ preventScroll: true });
  }

  function more() {
    const control = button("Show older", { icon: "down", on: () => busy(control, older) });
    return control;
  }

  const nothing = () => {
    const any = Object.values(controls.read()).some(Boolean);
    return any ? empty("Nothing fits these filters", "Try fewer of them, or a longer time.", button("Remove all filters", { on: controls.clear })) : empty("No deliveries yet", "Publish an event that a webhook matches, and its delivery appears here at once.", h("a", { class: "button", href: "/events" }, "Send an event"));
  };

  function line(row) {
    const expand = iconButton(`Attempts of ${row.event_type} to ${row.webhook}`, "right", () => toggle(row.id, expand), { "aria-expanded": String(open.has(row.id)) });
    expand.classList.add("expander");
    return h("tr", { data: { id: row.id } }, h("td", { class: "narrow" }, expand), h("td", { "data-label": "State" }, chip(row.state)),
      h("td", { class: "main-cell" }, h("a", { href: `/events/${encodeURIComponent(row.event_id)}` }, row.event_type), h("code", { class: "muted small clip" }, row.event_id)),
      h("td", { "data-label": "Webhook" }, h("a", { href: `/webhooks/${encodeURIComponent(row.webhook)}` }, row.webhook), row.tenant && h("span", { class: "tag" }, row.tenant)),
      h("td", { class: "num", "data-label": "Attempts" }, count(row.attempt_count)),
      h("td", { class: "reason", "data-label": "Reason" }, row.reason ?? "", row.next_attempt_at && OPEN_STATES.has(row.state) && h("span", { class: "muted" }, row.reason ? " · " : "", "next ", time(row.next_attempt_at))),
      h("td", { class: "num", "data-label": "Created" }, time(row.created_at)), h("td", { class: "actions-cell" }, actions(row, refresh)));
  }

  function toggle(id, expand) {
    if (open.has(id)) {
      open.delete(id);
      expand.setAttribute("aria-expanded", "false");
      return table.change(id, [expand.closest("tr")]);
    }
    const element = h("tr", { class: "logs-row" }, h("td", { colspan: COLUMNS }, skeleton(2)));
    const show = async () => {
      try {
        const detail = await get(deliveryPath(id), null, { signal });
        const shown = new Set([...element.querySelectorAll("details[open]")].map((one) => one.dataset.attempt));
        // The stream reports attempts, not manual actions: the row is read again as well.
        replace(element.firstChild, deliveryDetail(detail, () => Promise.all([show(), refresh()]), shown));
      } catch (error) {
        if (error.name !== "AbortError") replace(element.firstChild, problemBox(error, show));
      }
    };
    open.set(id, { element, refresh: show });
    table.change(id, [expand.closest("tr"), element]);
    expand.setAttribute("aria-expanded", "true");
    show();
  }

  load();
  const soon = throttle(refresh, 1500);
  const stop = onLive(() => document.querySelector("dialog[open]") || soon());
  return () => {
    stop();
    soon.stop();
    table.stop();
    abort.abort();
  };
}

function filters(changed) {
  const given = query();
  const apply = debounce(() => {
    setQuery(read());
    changed();
  }, 250);
  const text = (name, label) => h("input", { type: "search", name, placeholder: label, "aria-label": label, spellcheck: "false", autocapitalize: "off", ".value": given[name] ?? "", on: { input: apply } });
  const fields = {
    webhook: text("webhook", "Webhook"),
    state: h("select", { "aria-label": "State", on: { change: apply } }, h("option", { value: "" }, "Any state"), STATES.map((state) => h("option", { value: state, ".selected": given.state === state }, state))),
    event_type: text("event_type", "Event type"),
    event_id: text("event_id", "Event id"),
    tenant: text("tenant", "Tenant"),
    span: h("select", { "aria-label": "Time", on: { change: apply } }, h("option", { value: "" }, "Any time"), Object.entries(SPANS).map(([key, [label]]) => h("option", { value: key, ".selected": given.span === key }, label))),
  };
  // Exact times come by links; the form has spans that people think in.
  const read = () => ({ ...Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value.trim()])), ...(fields.span.value ? {} : { since: given.since, until: given.until }) });
  const clear = () => {
    Object.values(fields).forEach((field) => (field.value = ""));
    given.since = given.until = undefined;
    setQuery({ since: "", until: "" });
    apply();
  };
  return { element: h("div", { class: "filters", role: "search", "aria-label": "Filter deliveries" }, Object.values(fields)), read, clear };
}

function actions(row, changed) {
  if (!session.canManage) return null;
  const act = (what, said, body) => async () => {
    await post(deliveryPath(row.id, `/${what}`), body);
    notice(said);
    await changed();
  };
  if (OPEN_STATES.has(row.state)) {
    const cancel = iconButton(`Cancel the delivery to ${row.webhook}`, "cross", () => busy(cancel, act("cancel", "Delivery cancelled")).catch(failure));
    const now = iconButton(`Try the delivery to ${row.webhook} now`, "retry", () => busy(now, act("retry", "It is tried again now")).catch(failure));
    return h("div", { class: "row-actions" }, now, cancel);
  }
  const again = iconButton(`Deliver again to ${row.webhook}`, "retry", () => busy(again, act("retry", "It is delivered again")).catch(failure));
  return h("div", { class: "row-actions" }, again);
}

function deliveryDetail(detail, changed, shown) {
  const attempts = [...detail.attempts].reverse();
  const open = OPEN_STATES.has(detail.state);
  const act = (what, said, more) => async () => {
    await send("POST", deliveryPath(detail.id, `/${what}`), more ?? { body: {} });
    notice(said);
    await changed();
  };
  const tool = (label, name, work) => {
    const control = button(label, { icon: name, kind: "small", on: () => busy(control, work).catch(failure) });
    return control;
  };
  const tools = session.canManage && h("div", { class: "detail-tools" },
    tool(open ? "Try now" : "Deliver again", "retry", act("retry", "It is tried again now")),
    tool("Transform again and retry", "transformers", act("retry", "It is transformed and tried again now", { body: { retransform: true } })),
    open && tool("Cancel", "cross", async () => {
      if (await confirm({ title: "Cancel this delivery?", text: "It is not retried. An attempt in flight may still arrive.", yes: "Cancel delivery", danger: true })) await act("cancel", "Delivery cancelled")();
    }));
  return h("div", { class: "stack" },
    h("div", { class: "detail-head" }, chip(detail.state), h("span", null, h("a", { href: `/events/${encodeURIComponent(detail.event_id)}` }, detail.event_type), " to ", h("a", { href: `/webhooks/${encodeURIComponent(detail.webhook)}` }, detail.webhook)),
      h("a", { class: "muted small", href: `/deliveries/${detail.id}` }, "Link"), button("Copy id", { kind: "quiet small", icon: "copy", on: () => copy(detail.id, "Id copied") }), h("span", { class: "grow" }), tools),
    detail.batch?.length > 0 && h("details", { class: "form-section" }, h("summary", null, h("strong", null, "Batch"), h("span", { class: "muted" }, plural(detail.batch.length, "event"))),
      h("ul", { class: "sample" }, detail.batch.slice(0, 200).map((event) => h("li", null, h("a", { href: `/events/${encodeURIComponent(event)}` }, event))))),
    detail.reason && h("p", { class: detail.state === "failed" ? "error-text" : "muted" }, detail.reason),
    detail.next_attempt_at && open && h("p", { class: "muted" }, "Next attempt ", time(detail.next_attempt_at)),
    attempts.length === 0 ? h("p", { class: "muted" }, detail.state === "pending" ? "The first attempt is on its way." : "There was no attempt.") : h("div", { class: "attempts" }, attempts.map((attempt, at) => {
      const row = attemptRow(attempt, { open: shown.size > 0 ? shown.has(attempt.id) : at === 0 });
      row.dataset.attempt = attempt.id;
      return row;
    })));
}
