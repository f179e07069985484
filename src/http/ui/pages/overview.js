// The overview's charts: throughput, success rate, latency and backlog.

import { all, get, some, webhookPath } from "../lib/api.js";
import { h, replace, throttle } from "../lib/dom.js";
import { count, hourTime, millis, percent, plural, short } from "../lib/format.js";
import { onLive } from "../lib/live.js";
import { query, setQuery } from "../lib/router.js";
import { causeInWords } from "../parts/attempt.js";
import { chip, empty, heading, problemBox, skeleton, time } from "../parts/basics.js";
import { legend } from "../parts/chart.js";

const RANGES = { "15m": "15 min", "6h": "6 h", "24h": "24 h" };
const SAMPLES_MAX = 90;
const SAMPLE_MS = 10000;

/** Webhooks that are asked for one by one, with a token that may not see the status of all. */
const WEBHOOKS_ASKED_MAX = 100;

/** Rows of the most failing and of the slowest. */
const LISTED = 6;

const OUTCOMES = [
  { name: "Succeeded", tone: "good", kind: "bar" },
  { name: "Failed", tone: "bad", kind: "bar" },
];
const LATENCY = [
  { name: "p50", tone: "accent", kind: "line" },
  { name: "p99", tone: "warn", kind: "line" },
];
const SHARE = [{ name: "Success rate", tone: "good", kind: "line" }];
const BACKLOG = [
  { name: "Pending", tone: "info", kind: "bar" },
  { name: "Retrying", tone: "warn", kind: "bar" },
  { name: "Held", tone: "calm", kind: "bar" },
];

/** Samples of the totals since this tab opened, one in ten seconds; they survive a change of page. */
const samples = [];

function sample(stats) {
  const last = samples.at(-1);
  const taken = {
    at: Date.now(), attempts: stats.attempts, failed: stats.attempts_failed,
    pending: stats.deliveries.pending ?? 0, retrying: stats.deliveries.retrying ?? 0, held: stats.deliveries.held ?? 0,
  };
  if (last && taken.at - last.at < SAMPLE_MS) return;
  samples.push(taken);
  if (samples.length > SAMPLES_MAX + 1) samples.shift();
}

function hourPoints(stats, range) {
  const hours = range === "6h" ? stats.hours.slice(-6) : stats.hours;
  return hours.map((hour) => ({ hour, label: hourTime(hour.start), title: `${hourTime(hour.start)} – ${hourTime(Date.parse(hour.start) + 3600000)}` }));
}

function livePoints() {
  return samples.slice(1).map((now, at) => {
    const before = samples[at];
    const attempts = Math.max(0, now.attempts - before.attempts);
    const failed = Math.max(0, now.failed - before.failed);
    const label = new Date(now.at).toTimeString().slice(0, 8);
    return { label: label.slice(0, 5), title: label, attempts, failed, now };
  });
}

function charts(stats, range) {
  if (range === "15m") {
    const points = livePoints();
    return {
      attempts: points.map((p) => ({ ...p, values: [p.attempts - p.failed, p.failed] })),
      share: points.map((p) => ({ ...p, values: [p.attempts ? (p.attempts - p.failed) / p.attempts : null] })),
      latency: hourPoints(stats, "6h").map((p) => ({ ...p, values: [p.hour.duration_ms.p50, p.hour.duration_ms.p99] })),
    };
  }
  const points = hourPoints(stats, range);
  return {
    attempts: points.map((p) => ({ ...p, values: [p.hour.attempts - p.hour.attempts_failed, p.hour.attempts_failed] })),
    share: points.map((p) => ({ ...p, values: [p.hour.attempts ? (p.hour.attempts - p.hour.attempts_failed) / p.hour.attempts : null] })),
    latency: points.map((p) => ({ ...p, values: [p.hour.duration_ms.p50, p.hour.duration_ms.p99] })),
  };
}

function chartCard(title, series, note) {
  const chart = document.createElement("th-chart");
  const said = h("span", { class: "muted small" }, note);
  const card = h("section", { class: "card chart-card" }, h("header", null, h("h2", null, title), said, h("span", { class: "grow" }), series.length > 1 && legend(series)), chart);
  return { card, chart, said };
}

const panel = (title, note, inner) => h("section", { class: "card", "aria-label": title }, h("header", null, h("h2", null, title), h("span", { class: "muted small" }, `${note}, last 24 h`)), inner);

const tile = (label, link) => {
  const value = h("b", null, "–");
  const note = h("span", { class: "muted" }, "\u00a0");
  const inner = [h("span", { class: "tile-label" }, label), value, note];
  return { value, note, element: link ? h("a", { class: "card tile", href: link }, inner) : h("div", { class: "card tile" }, inner) };
};

export function overviewPage(main) {
  let range = RANGES[query().range] ? query().range : "24h";
  const abort = new AbortController();
  const { signal } = abort;
  let stats = null;
  const tiles = {
    rate: tile("Success rate"), attempts: tile("Attempts, 24 h"), latency: tile("Latency p50"),
    backlog: tile("Backlog", "/deliveries?state=retrying"), failed: tile("Dead letters", "/deliveries?state=failed"),
    breakers: tile("Breakers", "/webhooks?status=breaker_open"), config: tile("Configuration", "/config"),
  };
  const throughput = chartCard("Throughput", OUTCOMES, "attempts");
  const share = chartCard("Success rate", SHARE, "of attempts");
  const latency = chartCard("Latency", LATENCY, "of attempts");
  const backlog = chartCard("Backlog", BACKLOG, "deliveries, as this tab saw it");
  const causes = h("div", null, skeleton(3));
  const failing = h("div", null, skeleton(3));
  const slowest = h("div", null, skeleton(3));
  const recent = h("div", null, skeleton(3));
  const body = h("div", { class: "stack" }, skeleton(6));
  const filled = [
    h("div", { class: "tiles" }, Object.values(tiles).map((one) => one.element)),
    h("div", { class: "grid-2" }, throughput.card, share.card, latency.card, backlog.card),
    h("div", { class: "grid-3" }, panel("Most failing", "failed attempts", failing), panel("Slowest", "time of an attempt", slowest), panel("Retries by cause", "failed attempts", causes)),
    h("section", { class: "card" }, h("header", null, h("h2", null, "Latest failures"), h("span", { class: "grow" }), h("a", { href: "/deliveries?state=failed" }, "All dead letters")), recent),
  ];
  const choice = h("div", { class: "segments", role: "group", "aria-label": "Time range" }, Object.entries(RANGES).map(([key, label]) =>
    h("button", { type: "button", "aria-pressed": String(key === range), on: { click: (event) => {
      range = key;
      setQuery({ range: key === "24h" ? "" : key });
      for (const one of choice.children) one.setAttribute("aria-pressed", String(one === event.currentTarget));
      draw();
    } } }, label)));

  function draw() {
    if (!stats) return;
    if (!body.contains(throughput.card)) replace(body, filled);
    const drawn = charts(stats, range);
    throughput.chart.data = { label: "Throughput", points: drawn.attempts, series: OUTCOMES, format: short, whole: true, nothing: "No attempts" };
    share.chart.data = { label: "Success rate", points: drawn.share, series: SHARE, nothing: drawn.attempts.every((point) => !point.values[0] && !point.values[1]) && "No attempts", format: (v) => `${Math.round(v * 1000) / 10} %`, max: 1, min: shareFloor(drawn.share) };
    latency.chart.data = { label: "Latency", points: drawn.latency, series: LATENCY, format: millis, nothing: "No answers" };
    const waits = livePoints().map((p) => ({ ...p, values: [p.now.pending, p.now.retrying, p.now.held] }));
    backlog.chart.data = { label: "Backlog", points: waits.length ? waits : [{ label: "now", values: [stats.deliveries.pending, stats.deliveries.retrying, stats.deliveries.held] }], series: BACKLOG, format: short, whole: true, nothing: "Nothing waits" };
    replace(throughput.said, range === "15m" ? "attempts in 10 s, since this tab opened" : "attempts an hour");
    replace(latency.said, range === "15m" ? "by hour" : "of attempts, by hour");
  }

  function drawTiles(config) {
    const day = stats.hours.reduce((sum, hour) => ({ attempts: sum.attempts + hour.attempts, failed: sum.failed + hour.attempts_failed }), { attempts: 0, failed: 0 });
    const set = ({ value, note }, text, said) => {
      replace(value, text);
      replace(note, said);
    };
    const open = (stats.deliveries.pending ?? 0) + (stats.deliveries.retrying ?? 0);
    set(tiles.rate, percent(stats.success_rate), `${short(stats.deliveries.succeeded)} of ${short(stats.deliveries.total)}`);
    set(tiles.attempts, short(day.attempts), `${count(day.failed)} failed`);
    set(tiles.latency, millis(stats.duration_ms.p50), `p99 ${millis(stats.duration_ms.p99)}`);
    set(tiles.backlog, short(open), stats.next_due ? ["next ", time(stats.next_due)] : stats.deliveries.held ? `${count(stats.deliveries.held)} held` : "nothing waits");
    set(tiles.failed, short(stats.deliveries.failed), stats.deliveries.failed ? "gave up" : "none");
    tiles.failed.element.classList.toggle("bad", stats.deliveries.failed > 0);
    if (config) {
      set(tiles.config, `#${config.generation}`, config.last_error ? "last reload refused" : ["loaded ", time(config.loaded_at)]);
      tiles.config.element.classList.toggle("bad", Boolean(config.last_error));
    }
  }

  function drawBreakers({ breaker_open, disabled }) {
    replace(tiles.breakers.value, breaker_open === 0 ? "closed" : `${count(breaker_open)} open`);
    replace(tiles.breakers.note, disabled > 0 ? `${plural(disabled, "webhook")} off` : "all webhooks on");
    tiles.breakers.element.classList.toggle("bad", breaker_open > 0);
  }

  async function load() {
    try {
      // A tenant's token may not see the configuration.
      const config = get("/v1/config", null, { signal }).catch((error) => (error.status === 403 ? null : Promise.reject(error)));
      const [now, settings] = await Promise.all([get("/v1/stats", null, { signal }), config]);
      stats = now;
      sample(stats);
      draw();
      drawTiles(settings);
    } catch (error) {
      if (error.name !== "AbortError" && !stats) replace(body, problemBox(error, load));
    }
  }

  const complain = (...places) => (error) => error.name !== "AbortError" && places.forEach((place) => place.querySelector(".skeleton") && replace(place, problemBox(error, loadLists)));

  async function loadLists() {
    await Promise.all([
      standing(signal).then(({ failing: most, slowest: slow, causes: why, totals }) => {
        drawFailing(failing, most);
        drawSlowest(slowest, slow);
        drawCauses(causes, why);
        drawBreakers(totals);
      }).catch(complain(failing, slowest, causes)),
      drawFailures(recent, signal).catch(complain(recent)),
    ]);
  }

  replace(main, heading("Overview", null, choice), body);
  load();
  loadLists();
  const soon = throttle(load, 1500);
  const later = throttle(loadLists, 10000);
  const stop = onLive(() => {
    soon();
    later();
  });
  const timer = setInterval(() => document.hidden || soon(), SAMPLE_MS);
  return () => {
    stop();
    soon.stop();
    later.stop();
    clearInterval(timer);
    abort.abort();
  };
}

/** The scale ends where the worst value is, or a dip from 100 to 98 % is invisible. */
function shareFloor(points) {
  const lowest = Math.min(1, ...points.map((point) => point.values[0] ?? 1));
  return lowest >= 0.95 ? 0.9 : lowest >= 0.55 ? 0.5 : 0;
}

const sum = (counts) => Object.values(counts ?? {}).reduce((total, count) => total + count, 0);

/** {failing, slowest, causes, totals}: from one read of the status of all webhooks. */
async function standing(signal) {
  try {
    const [failing, slowest] = await Promise.all(["failures", "slowest"].map((sort) => get("/v1/webhooks/status", { sort, limit: LISTED }, { signal })));
    return { failing: failing.data, slowest: slowest.data, causes: failing.totals.causes_24h, totals: failing.totals };
  } catch (error) {
    // A tenant's token sees its own webhooks only, one by one.
    if (error.status !== 403) throw error;
    return standingOfTenant(signal);
  }
}

async function standingOfTenant(signal) {
  const webhooks = await all("/v1/webhooks", { max: WEBHOOKS_ASKED_MAX, signal });
  const stats = await some(webhooks.slice(0, WEBHOOKS_ASKED_MAX), (one) => get(webhookPath(one.id, "/stats"), null, { signal }));
  const rows = webhooks.map((one, at) => ({ id: one.id, status: one.status, ...stats[at] })).filter((row) => row.deliveries);
  const causes = {};
  for (const row of rows) for (const [cause, times] of Object.entries(row.causes_24h)) causes[cause] = (causes[cause] ?? 0) + times;
  const by = (value) => rows.filter((row) => value(row) > 0).sort((a, b) => value(b) - value(a)).slice(0, LISTED);
  return {
    failing: by((row) => sum(row.failures_24h)), slowest: by((row) => row.duration_ms.p50 ?? 0), causes,
    totals: { webhooks: rows.length, breaker_open: rows.filter((row) => row.status === "breaker_open").length, disabled: rows.filter((row) => row.status === "disabled").length },
  };
}

const nameCell = (row) => h("td", null, h("a", { href: `/webhooks/${encodeURIComponent(row.id)}` }, row.id), row.status !== "enabled" && [" ", chip(row.status)]);

function ranked(rows, columns, cells, nothing) {
  if (rows.length === 0) return nothing;
  return h("div", { class: "table-wrap" }, h("table", { class: "compact" },
    h("thead", null, h("tr", null, h("th", null, "Webhook"), columns.map(([name, kind]) => h("th", { class: kind }, name)))),
    h("tbody", null, rows.map((row) => h("tr", null, nameCell(row), cells(row))))));
}

const drawFailing = (place, rows) => replace(place, ranked(rows, [["Failed", "num"], ["Most often"]], (row) => {
  const [cause] = Object.entries(row.causes_24h).sort((a, b) => b[1] - a[1])[0] ?? ["–"];
  const last = row.last_failure;
  return [h("td", { class: "num bad-text" }, count(sum(row.failures_24h))), h("td", { class: "muted", title: last && `Last: ${last.error ?? last.class}` }, causeInWords(cause))];
}, empty("No attempt failed", "Webhooks with failed attempts appear here, the worst first.")));

const drawSlowest = (place, rows) => replace(place, ranked(rows, [["p50", "num"], ["p99", "num"]], (row) =>
  [h("td", { class: "num" }, millis(row.duration_ms.p50)), h("td", { class: "num" }, millis(row.duration_ms.p99))], empty("Nothing was sent yet", "Webhooks appear here by how long their endpoints take to answer.")));

async function drawFailures(place, signal) {
  const failed = await get("/v1/deliveries", { state: "failed", limit: 8 }, { signal });
  replace(place, failed.data.length === 0 ? empty("No dead letters", "Every delivery arrived, is on its way, or will be tried again.") : h("div", { class: "table-wrap" }, h("table", null,
    h("thead", null, h("tr", null, h("th", null, "Event"), h("th", null, "Webhook"), h("th", null, "Reason"), h("th", { class: "num" }, "Attempts"), h("th", { class: "num" }, "When"))),
    h("tbody", null, failed.data.map((row) => h("tr", null,
      h("td", null, h("a", { href: `/deliveries/${row.id}` }, row.event_type)), h("td", null, row.webhook), h("td", { class: "reason" }, row.reason ?? "–"),
      h("td", { class: "num" }, count(row.attempt_count)), h("td", { class: "num" }, time(row.created_at))))))));
}

function drawCauses(place, causes) {
  const sorted = Object.entries(causes ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 7);
  const most = sorted[0]?.[1] ?? 1;
  replace(place, sorted.length === 0 ? empty("Nothing had to be tried again", "Failed attempts appear here by what went wrong.") : h("dl", { class: "bars" }, sorted.map(([cause, times]) => {
    const bar = h("span", { class: "bar" });
    bar.style.setProperty("width", `${(times / most) * 100}%`);
    return [h("dt", null, causeInWords(cause)), h("dd", null, h("span", { class: "bar-track" }, bar), h("b", null, count(times)))];
  })));
}
