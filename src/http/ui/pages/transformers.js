// The modules that are loaded, and a playground: an event left, the resulting request right, run by the real module.

import { get, post } from "../lib/api.js";
import { h, replace, throttle } from "../lib/dom.js";
import { bytes, count, millis } from "../lib/format.js";
import { onLive } from "../lib/live.js";
import { session } from "../lib/session.js";
import { busy, button, chip, copy, empty, heading, iconButton, problemBox, skeleton } from "../parts/basics.js";
import { bodyView, headersTable, jsonField } from "../parts/json.js";
import { schemaForm } from "../parts/schema.js";

const SAMPLE = { id: "evt_sample", type: "circuit_breaker.opened", timestamp: "2026-01-28T10:30:45.123Z", data: { routeId: "api-service", errorRate: 0.75, threshold: 0.5, failureCount: 15, state: "open" } };

/** Between two reads of the call counts. */
const LOOK_MS = 5000;

/** Webhooks named in a row; the rest is a number. */
const USERS_SHOWN = 3;

export function transformersPage(main, name) {
  const abort = new AbortController();
  const place = h("div", null, skeleton(6));
  const list = h("div", { class: "stack-lg" });
  replace(main, heading("Transformers", "WebAssembly modules that make a request of an event"), place);
  let play = null;
  let before = "";
  const draw = (modules) => {
    const now = JSON.stringify(modules);
    if (now === before) return;
    before = now;
    const focused = document.activeElement?.closest?.("tr[data-module]")?.dataset.module;
    replace(list, tables(modules, (one) => {
      play.choose(one);
      play.element.scrollIntoView({ block: "start", behavior: "smooth" });
    }));
    if (focused) list.querySelector(`tr[data-module="${CSS.escape(focused)}"] button`)?.focus({ preventScroll: true });
  };
  const load = async () => {
    try {
      const { data } = await get("/v1/transformers", null, { signal: abort.signal });
      draw(data);
      if (play) return;
      const usable = data.filter((one) => !one.error);
      if (usable.length === 0) return replace(place, list, empty("There is no transformer to try", "Yours go into transformers/ beside config.toml."));
      play = playground(usable, usable.find((one) => one.name === name) ?? usable[0], abort.signal);
      replace(place, h("div", { class: "stack-lg" }, list, play.element));
    } catch (error) {
      if (error.name !== "AbortError" && !play) replace(place, problemBox(error, load));
    }
  };
  load();
  const soon = throttle(load, LOOK_MS);
  const stop = onLive(soon);
  return () => {
    stop();
    soon.stop();
    abort.abort();
  };
}

function tables(modules, choose) {
  const loaded = modules.filter((one) => one.loaded);
  const broken = modules.filter((one) => one.error);
  const ready = modules.filter((one) => !one.loaded && !one.error);
  return [
    loaded.length === 0 ? h("section", { class: "card" }, empty("No transformer is in use", "Name one in a webhook (transform = \"slack\"), and it is loaded. Yours go into transformers/ beside config.toml.")) : inUse(loaded, choose),
    broken.length > 0 && h("section", { class: "card pad stack" }, h("h2", null, "Files that cannot be used"), broken.map((one) => h("div", null, h("strong", null, one.name), h("p", { class: "error-text" }, one.error)))),
    ready.length > 0 && h("section", { class: "card pad" }, h("header", null, h("h2", null, "Built in, not used yet"), h("span", { class: "muted small" }, "loaded as soon as a webhook names one")),
      h("div", { class: "actions" }, ready.map((one) => button(one.name, { kind: "small", icon: "play", title: `Try ${one.name} in the playground`, "aria-label": `Try ${one.name}`, on: () => choose(one) })))),
  ];
}

function inUse(loaded, choose) {
  const time = (name, us) => h("td", { class: "num", "data-label": name }, us === null || us === undefined ? "–" : millis(us / 1000));
  return h("section", { class: "card table-wrap" }, h("table", { class: "modules" },
    h("thead", null, h("tr", null, h("th", null, "Module"), h("th", null, "Used by"), h("th", { class: "num" }, "Calls"), h("th", { class: "num" }, "Errors"), h("th", { class: "num" }, "p50"), h("th", { class: "num" }, "p99"), h("th", null, "Limits"), h("th", null, "SHA-256"), h("th", null, h("span", { class: "visually-hidden" }, "Actions")))),
    h("tbody", null, loaded.map((one) => {
      const { calls, errors, p50_us, p99_us } = one.usage ?? {};
      const { cpu_ms, memory_bytes, output_bytes } = one.limits ?? {};
      return h("tr", { data: { module: one.name } },
        h("td", { class: "module-name" }, h("div", { class: "name-line" }, h("strong", null, one.name), one.version && h("span", { class: "tag" }, one.version)), h("span", { class: "muted small" }, one.summary)),
        h("td", { class: "module-users", "data-label": "Used by" }, users(one.used_by ?? [])),
        h("td", { class: "num", "data-label": "Calls" }, count(calls)), h("td", { class: `num ${errors > 0 ? "bad-text" : ""}`, "data-label": "Errors" }, count(errors)), time("p50", p50_us), time("p99", p99_us),
        h("td", { class: "small module-limits", "data-label": "Limits" }, h("span", null, `${millis(cpu_ms)} CPU`), h("br", null), h("span", null, `${bytes(memory_bytes)} memory`), h("br", null), h("span", null, `${bytes(output_bytes)} output`)),
        h("td", { "data-label": "SHA-256" }, h("span", { class: "hash" }, h("code", { title: one.sha256 }, `${String(one.sha256).slice(0, 10)}…`), iconButton(`Copy the hash of ${one.name}`, "copy", () => copy(one.sha256, "Hash copied")))),
        h("td", { class: "actions-cell" }, button("Try it", { icon: "play", kind: "small", "aria-label": `Try it: ${one.name}`, on: () => choose(one) })));
    }))));
}

function users(ids) {
  if (ids.length === 0) return h("span", { class: "muted" }, "no webhook");
  const rest = ids.slice(USERS_SHOWN);
  return [ids.slice(0, USERS_SHOWN).map((id, at) => [at > 0 && ", ", h("a", { href: `/webhooks/${encodeURIComponent(id)}` }, id)]), rest.length > 0 && h("span", { class: "muted", title: rest.slice(0, 20).join("\n") }, ` and ${count(rest.length)} more`)];
}

function playground(modules, first, signal) {
  const select = h("select", { id: "play-module" }, modules.map((one) => h("option", { value: one.name, ".selected": one === first }, one.name)));
  const event = jsonField({ id: "play-event", label: "Event", rows: 13, value: JSON.stringify(SAMPLE, null, 2) });
  const options = h("div", null);
  const result = h("div", { class: "play-result", role: "region", "aria-label": "Result", "aria-live": "polite" }, empty("Nothing ran yet", "The request that would be sent appears here."));
  const recent = button("Use the latest event", { kind: "quiet small", on: () => busy(recent, async () => {
    const page = await get("/v1/events", { limit: 1 });
    if (!page.data[0]) return event.say("There is no event yet", "bad");
    const { id, type, timestamp, data, metadata, tenant } = page.data[0];
    event.area.value = JSON.stringify({ id, type, timestamp, data, ...(metadata ? { metadata } : {}), ...(tenant ? { tenant } : {}) }, null, 2);
    event.say("");
  }).catch((error) => event.say(error.message)) });
  let form = { read: () => ({ ok: true, value: {} }) };
  const draw = async () => {
    const { value: name } = select;
    try {
      // One that no webhook uses is loaded when it is asked for.
      const module = modules.find((one) => one.name === name && one.options_schema) ?? (await get(`/v1/transformers/${encodeURIComponent(name)}`, null, { signal }));
      if (name !== select.value) return;
      form = schemaForm(module.options_schema);
      replace(options, form.element);
    } catch (error) {
      if (error.name !== "AbortError") replace(options, problemBox(error, draw));
    }
  };
  select.addEventListener("change", draw);
  draw();
  const run = button("Run", { icon: "play", kind: "primary", type: "submit", disabled: !session.canManage, title: session.canManage ? undefined : "Needs a token with the scope manage" });
  const element = h("form", { class: "card pad playground", novalidate: true, "aria-label": "Playground", on: { submit: (submitted) => {
    submitted.preventDefault();
    busy(run, async () => {
      const read = event.read();
      const given = form.read();
      if (!read.ok) return event.say(read.message);
      if (!given.ok) return;
      try {
        const answer = await post(`/v1/transformers/${encodeURIComponent(select.value)}/run`, { event: read.value, options: given.value });
        replace(result, resultView(answer));
      } catch (error) {
        replace(result, error.status === 422 || error.status === 400 ? h("div", { class: "stack" }, h("p", { class: "error-text" }, error.message), logView(error.body.log)) : problemBox(error));
      }
    });
  } } },
    h("header", null, h("h2", null, "Playground"), h("span", { class: "muted small" }, "The real module, and nothing is sent"), h("span", { class: "grow" }), recent),
    h("div", { class: "play-columns" },
      h("div", { class: "stack play-left" }, h("div", { class: "play-choice" }, h("div", { class: "field" }, h("label", { for: select.id }, "Transformer"), select), run), event.element,
        h("details", { class: "form-section" }, h("summary", null, h("strong", null, "Options"), h("span", { class: "muted" }, "from the module's own schema")), options)),
      result));
  return { element, choose: (one) => {
    select.value = one.name;
    draw();
  } };
}

const WORDS = { request: "A request", event: "An event", events: "Events", drop: "Dropped", error: "Failed" };

function resultView(answer) {
  const { outcome, error, reason } = answer;
  const shown = answer.request ? [
    h("p", { class: "request-line" }, h("span", { class: "method" }, answer.request.method ?? "POST"), answer.request.url && h("code", { class: "break" }, answer.request.url)),
    headersTable(answer.request.headers),
    bodyView(typeof answer.request.body === "string" ? answer.request.body : JSON.stringify(answer.request.body), { label: "Resulting body", encoding: answer.request.body_encoding }),
  ] : answer.event ?? answer.events ? [h("p", { class: "muted" }, "An event, for the next stage:"), bodyView(JSON.stringify(answer.event ?? answer.events), { label: "Resulting event" })] : null;
  return h("div", { class: "stack" },
    h("p", { class: "play-head" }, chip(error ? "failed" : outcome === "drop" ? "dropped" : "succeeded", WORDS[outcome] ?? outcome), h("span", { class: "muted num" }, millis(answer.duration_ms))),
    error && h("p", { class: "error-text" }, error),
    reason && h("p", null, `Dropped: ${reason}`), shown, logView(answer.log));
}

const logView = (log) => log?.length > 0 && h("section", null, h("h3", null, "Log"), h("ol", { class: "log" }, log.map((line) => h("li", { class: line.level ?? "" }, line.level && h("span", { class: "level" }, line.level), line.message ?? String(line)))));
