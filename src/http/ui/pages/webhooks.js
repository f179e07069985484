// Who gets what: the table of webhooks, and everything that one does with one.

import { del, get, patch, post, some, webhookPath } from "../lib/api.js";
import { debounce, h, replace, throttle } from "../lib/dom.js";
import { count, millis, percent, plural, short } from "../lib/format.js";
import { WholeList } from "../lib/list.js";
import { onLive } from "../lib/live.js";
import { go, query, setQuery } from "../lib/router.js";
import { session } from "../lib/session.js";
import { busy, button, chip, copy, empty, failure, heading, iconButton, menu, notice, problemBox, skeleton } from "../parts/basics.js";
import { sparkline } from "../parts/chart.js";
import { confirm } from "../parts/dialog.js";
import { icon } from "../parts/icons.js";
import { logsPanel } from "../parts/logs.js";
import { replayDialog } from "../parts/replay.js";
import { showTestResult } from "../parts/test-result.js";
import { WindowedRows } from "../parts/windowed.js";
import { webhookDialog } from "./webhook-dialog.js";

/** Between two reads of the rows in view, with or without hints of the stream. */
const GLANCE_MS = 10000;

/** Between two reads of all rows, for webhooks created, deleted or changed elsewhere; less often with thousands of them. */
const LOOK_MS = 15000;
const LOOK_MANY_MS = 60000;
const MANY = 1000;

/** After the last scrolling, before statistics of the rows in view are asked for. */
const SETTLE_MS = 150;

const COLUMNS = 8;

/** Statistics in memory, those of the rows that were in view last: each has 24 hours. */
const STATS_MAX = 500;

/** All that a person may be looking for. */
const haystackOf = (one) => [one.id, one.url, one.description, one.tenant, ...(one.events ?? []), ...[one.transform ?? []].flat().map((step) => step?.use ?? step)].filter(Boolean).join(" ").toLowerCase();

/** Why it is as it is, on hover. */
function statusChip(one) {
  const element = chip(one.suspended ? "disabled" : one.status, one.suspended ? "Suspended" : undefined);
  const why = one.suspended ?? one.disabled?.reason ?? (one.breaker_open?.probe_at ? `Too many failures; next try ${one.breaker_open.probe_at}` : null) ?? (one.failing_since ? `Failing since ${one.failing_since}` : null);
  if (why) element.title = why;
  return element;
}

export function webhooksPage(main, openId) {
  const abort = new AbortController();
  const { signal } = abort;
  const state = { webhooks: [], stats: new Map(), open: new Set(openId ? [openId] : []), text: query().q ?? (openId ?? ""), status: query().status ?? "", loaded: false };
  const whole = new WholeList("/v1/webhooks");
  const haystacks = new WeakMap();
  const rows = new Map();
  const search = h("input", { type: "search", placeholder: "Search id, URL, event, tenant", "aria-label": "Search webhooks", ".value": state.text });
  const status = h("select", { "aria-label": "Status" }, [["", "Any status"], ["enabled", "Enabled"], ["disabled", "Disabled"], ["breaker_open", "Breaker open"]].map(([value, label]) => h("option", { value, ".selected": value === state.status }, label)));
  const total = h("span", { class: "muted", role: "status" });
  const place = h("div", null, skeleton(6));
  const create = session.canManage && button("Create webhook", { icon: "plus", kind: "primary", on: () => edit(null) });
  replace(main, heading("Webhooks", "Who gets which events, and how it goes", create),
    h("div", { class: "toolbar" }, h("span", { class: "search" }, icon("search", { size: 16 }), search), status, h("span", { class: "grow" }), total), place);

  const haystack = (one) => {
    if (!haystacks.has(one)) haystacks.set(one, haystackOf(one));
    return haystacks.get(one);
  };
  const filtered = () => {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    return state.webhooks.filter((one) => (!state.status || one.status === state.status) && words.every((word) => haystack(one).includes(word)));
  };

  const body = h("tbody", null);
  const table = h("div", { class: "card table-wrap" }, h("table", { class: "webhooks" },
    h("thead", null, h("tr", null, h("th", { class: "narrow" }, h("span", { class: "visually-hidden" }, "Deliveries")), h("th", { class: "w-name" }, "Webhook"), h("th", { class: "w-events" }, "Events"), h("th", { class: "w-status" }, "Status"), h("th", { class: "num w-count" }, "Delivered"), h("th", { class: "num w-time" }, "Average"), h("th", { class: "w-spark" }, "24 h"), h("th", { class: "w-actions" }, h("span", { class: "visually-hidden" }, "Actions")))),
    body));
  const settled = debounce((shown) => loadStats(shown.filter((one) => !state.stats.has(one.id))), SETTLE_MS);
  const list = new WindowedRows(body, {
    columns: COLUMNS,
    keyOf: (one) => one.id,
    rowsOf: (one) => rowOf(one),
    isPinned: (id) => state.open.has(id),
    onDrop: (id) => rows.delete(id),
    onWindow: (shown) => settled(shown),
  });

  function draw() {
    const found = filtered();
    replace(total, found.length === state.webhooks.length ? plural(found.length, "webhook") : `${count(found.length)} of ${count(state.webhooks.length)}`, !state.loaded && ", loading…");
    if (found.length === 0) replace(place, nothing());
    else if (!table.isConnected) replace(place, table);
    list.show(found);
  }

  const nothing = () => {
    if (!state.loaded) return skeleton(4);
    if (state.webhooks.length > 0) return empty("Nothing matches", "No webhook has all of these words and this status.", button("Show all", { on: () => {
      search.value = state.text = status.value = state.status = "";
      setQuery({ q: "", status: "" });
      draw();
    } }));
    return empty("No webhooks yet", "A webhook says which events go to which URL. Create one here, or declare it in config.toml: save the file and it is live.", create && button("Create webhook", { icon: "plus", kind: "primary", on: () => edit(null) }));
  };

  function rowOf(one) {
    const cells = { delivered: h("td", { class: "num delivered", "data-label": "Delivered" }, "–"), average: h("td", { class: "num average", "data-label": "Average" }, "–"), spark: h("td", { class: "spark-cell", "data-label": "24 h" }), panel: rows.get(one.id)?.panel ?? null };
    const logsId = `logs-${one.id}`;
    const logs = h("tr", { class: "logs-row", id: logsId, hidden: true }, h("td", { colspan: 8 }));
    const expand = iconButton(`Deliveries of ${one.id}`, "right", () => toggle(!state.open.has(one.id)), { "aria-expanded": "false", "aria-controls": logsId });
    expand.classList.add("expander");
    const toggle = (open, panel) => {
      if (open) state.open.add(one.id);
      else state.open.delete(one.id);
      expand.setAttribute("aria-expanded", String(open));
      logs.hidden = !open;
      if (!panel) cells.panel?.stop();
      cells.panel = open ? (panel ?? logsPanel(one.id, () => loadStats([one]))) : null;
      replace(logs.firstChild, cells.panel?.element);
    };
    const patterns = one.events ?? [];
    const row = h("tr", { class: one.status === "disabled" ? "off" : "", data: { webhook: one.id } },
      h("td", { class: "narrow" }, expand),
      h("td", { class: "main-cell" }, h("div", { class: "name-line" }, h("strong", null, one.id), one.origin === "config" && h("span", { class: "tag", title: `Declared in ${one.file}, line ${one.line}: change it there` }, icon("lock", { size: 11 }), `${String(one.file ?? "config").split("/").pop()}:${one.line}`), one.tenant && h("span", { class: "tag" }, one.tenant)), h("code", { class: "url", title: one.url }, one.url), one.description && h("span", { class: "muted small clip", title: one.description }, one.description)),
      h("td", { class: "events-cell", "data-label": "Events" }, patterns.slice(0, 2).map((pattern) => h("code", { class: "pattern" }, pattern)), patterns.length > 2 && h("span", { class: "more", tabindex: "0", title: patterns.slice(2).join("\n"), "aria-label": `and ${patterns.length - 2} more: ${patterns.slice(2).join(", ")}` }, `+${patterns.length - 2}`)),
      h("td", { "data-label": "Status", class: "status-cell" }, session.canManage ? toggleOf(one) : statusChip(one)),
      cells.delivered, cells.average, cells.spark,
      h("td", { class: "actions-cell" }, actions(one)));
    rows.set(one.id, cells);
    drawStats([one]);
    if (state.open.has(one.id)) toggle(true, cells.panel);
    return [row, logs];
  }

  function toggleOf(one) {
    const on = one.status !== "disabled";
    const control = h("button", { type: "button", class: "switch", role: "switch", "aria-checked": String(on), "aria-label": `${one.id} enabled`, title: on ? "Disable: waiting deliveries are held until it is enabled again; events published in between make no deliveries" : "Enable: held deliveries continue", on: { click: () => busy(control, async () => {
      await flip(one, !on);
      notice(on ? `${one.id} is disabled: what waits is held` : `${one.id} is enabled`);
      await refresh(one.id);
    }).catch(failure) } });
    return h("span", { class: "switch-line" }, control, statusChip(one));
  }

  /** The operator's switch; what the settings themselves say is another thing, and of config.toml changed there. */
  async function flip(one, to) {
    const own = one.origin === "api" && to && !one.enabled;
    if (own) await patch(webhookPath(one.id), { enabled: true });
    if (own && !one.disabled) return;
    await post(webhookPath(one.id, to ? "/enable" : "/disable")).catch((error) => {
      if (!error.isMissing || one.origin !== "api") throw error;
      return patch(webhookPath(one.id), { enabled: to });
    });
  }

  function actions(one) {
    if (!session.canManage) return iconButton(`Show ${one.id}`, "edit", () => edit(one));
    const readOnly = one.origin === "config";
    const place = `Declared in ${one.file}, line ${one.line}: change it there`;
    const test = iconButton(`Test ${one.id}`, "send", () => busy(test, async () => {
      await showTestResult(one, await post(webhookPath(one.id, "/test")));
      loadStats([one]);
      rows.get(one.id)?.panel?.refresh();
    }).catch(failure));
    const secret = iconButton(`Copy the secret of ${one.id}`, "copy", () => busy(secret, async () => {
      const answer = await get(webhookPath(one.id, "/secret"));
      await copy(answer.secret, "Secret copied");
    }).catch(failure), { disabled: !one.secret_preview });
    return h("div", { class: "row-actions" }, test, secret,
      iconButton(readOnly ? `Show ${one.id}` : `Edit ${one.id}`, "edit", () => edit(one)),
      iconButton(`Delete ${one.id}`, "trash", () => remove(one).catch(failure), { disabled: readOnly, title: readOnly ? place : `Delete ${one.id}` }),
      menu(`More for ${one.id}`, "more", [
        { label: "All deliveries", icon: "deliveries", on: () => go(`/deliveries?webhook=${encodeURIComponent(one.id)}`) },
        { label: "Deliver again…", icon: "replay", on: () => replayDialog(one) },
        { label: "Rotate secret…", icon: "key", disabled: !one.secret_preview, on: () => rotate(one).catch(failure) },
      ]));
  }

  async function rotate(one) {
    const sure = await confirm({ title: `Rotate the secret of ${one.id}?`, text: "A new secret is made. The old one signs too for 24 hours, so that receivers can change over without a gap.", yes: "Rotate" });
    if (!sure) return;
    const answer = await post(webhookPath(one.id, "/rotate-secret"));
    if (answer?.secret) await copy(answer.secret, "Secret rotated; the new one is copied");
    else notice("Secret rotated");
    await refresh(one.id);
  }

  async function remove(one) {
    const sure = await confirm({ title: `Delete ${one.id}?`, text: "It gets no more events, and what still waits for it is cancelled. Its delivery log goes with it.", yes: "Delete", danger: true });
    if (!sure) return;
    await del(webhookPath(one.id));
    state.webhooks = state.webhooks.filter((other) => other.id !== one.id);
    state.open.delete(one.id);
    notice(`${one.id} is deleted`);
    draw();
  }

  async function edit(one) {
    const saved = await webhookDialog(one);
    if (!saved) return;
    await refresh(saved.id);
    if (saved.secret) notice(["Webhook created. Its secret, shown this once: ", h("code", { class: "break secret" }, saved.secret)], { action: button("Copy secret", { icon: "copy", on: () => copy(saved.secret, "Secret copied") }) });
    else notice(one ? `${saved.id} is updated` : `${saved.id} is created`);
  }

  async function refresh(id) {
    const now = await get(webhookPath(id), null, { signal });
    const known = state.webhooks.some((one) => one.id === id);
    state.webhooks = known ? state.webhooks.map((one) => (one.id === id ? now : one)) : [...state.webhooks, now].sort((a, b) => (a.id < b.id ? -1 : 1));
    draw();
    if (!known) list.reveal(id);
  }

  function drawStats(shown) {
    for (const one of shown) {
      const stats = state.stats.get(one.id);
      const cells = rows.get(one.id);
      if (!stats || !cells) continue;
      const { succeeded, failed, total } = stats.deliveries;
      const waits = (stats.deliveries.pending ?? 0) + (stats.deliveries.retrying ?? 0) + (stats.deliveries.held ?? 0);
      replace(cells.delivered, h("span", { title: `${percent(stats.success_rate)} of those that ended succeeded` }, h("b", { class: "succeeded" }, short(succeeded)), h("span", { class: "muted" }, " / "), h("span", { class: "total" }, short(total))),
        h("span", { class: "small sub" }, failed > 0 && h("span", { class: "bad-text failed" }, `${short(failed)} failed`), failed > 0 && waits > 0 && " · ", waits > 0 && h("span", { class: "muted" }, `${short(waits)} waiting`)));
      replace(cells.average, millis(stats.duration_ms.avg), h("span", { class: "small muted sub" }, stats.duration_ms.p99 === null ? "" : `p99 ${millis(stats.duration_ms.p99)}`));
      replace(cells.spark, sparkline(stats.hours));
    }
  }

  async function loadStats(which) {
    await some(which, async (one) => {
      const stats = await get(webhookPath(one.id, "/stats"), null, { signal });
      state.stats.delete(one.id);
      state.stats.set(one.id, stats);
      if (state.stats.size > STATS_MAX) state.stats.delete(state.stats.keys().next().value);
      if (stats.status !== one.status) await refresh(one.id);
      else drawStats([one]);
    });
  }

  async function load() {
    try {
      const { rows: fresh, changed } = await whole.read({ signal, onRows: (sofar, isAll) => {
        if (state.loaded) return;
        state.webhooks = sofar;
        state.loaded = isAll;
        draw();
      } });
      state.webhooks = fresh;
      if (changed) draw();
    } catch (error) {
      if (error.name !== "AbortError" && !state.loaded) replace(place, problemBox(error, load));
    }
  }

  const look = () => {
    draw();
    if (list.items.length > 0 && scrollY > place.offsetTop) place.scrollIntoView({ block: "start" });
  };
  search.addEventListener("input", debounce(() => {
    state.text = search.value;
    setQuery({ q: state.text });
    look();
  }, 120));
  status.addEventListener("change", () => {
    state.status = status.value;
    setQuery({ status: state.status });
    look();
  });
  load();
  const touched = new Set();
  const tick = throttle(() => {
    const shown = list.items.filter((one) => rows.has(one.id) && (touched.has(one.id) || touched.has("*")));
    touched.clear();
    loadStats(shown);
    shown.forEach((one) => rows.get(one.id)?.panel?.refresh());
  }, 2500);
  const reload = throttle(() => document.querySelector("dialog[open], [popover]:popover-open") || load(), 2500);
  // The stream says which webhooks to read again; without it, all that are shown.
  const stop = onLive(({ kind, data }) => {
    if (kind === "event" && /^(webhook|tenterhook)\./.test(data?.type)) reload();
    const named = kind === "attempt" ? [data?.delivery?.webhook] : kind === "event" ? (data?.deliveries ?? []).map((one) => one.webhook) : ["*"];
    named.forEach((id) => touched.add(id ?? "*"));
    tick();
  });
  let looked = Date.now();
  const timer = setInterval(() => {
    if (document.hidden) return;
    touched.add("*");
    tick();
    if (Date.now() - looked < (state.webhooks.length > MANY ? LOOK_MANY_MS : LOOK_MS)) return;
    looked = Date.now();
    reload();
  }, GLANCE_MS);
  return () => {
    stop();
    tick.stop();
    reload.stop();
    clearInterval(timer);
    list.stop();
    rows.forEach((cells) => cells.panel?.stop());
    abort.abort();
  };
}
