// The modules that are loaded, and a playground: an event left, the resulting request right, run by the real module.

import { get, post } from "../lib/api.js";
import { h, replace } from "../lib/dom.js";
import { transformerMetrics } from "../lib/metrics.js";
import { bytes, count, millis, plural } from "../lib/format.js";
import { session } from "../lib/session.js";
import { busy, button, copy, empty, heading, problemBox, skeleton } from "../parts/basics.js";
import { bodyView, headersTable, jsonField } from "../parts/json.js";
import { schemaForm } from "../parts/schema.js";

const SAMPLE = { id: "evt_sample", type: "circuit_breaker.opened", timestamp: "2026-01-28T10:30:45.123Z", data: { routeId: "api-service", errorRate: 0.75, threshold: 0.5, failureCount: 15, state: "open" } };

export function transformersPage(main, name) {
  const abort = new AbortController();
  const place = h("div", null, skeleton(6));
  replace(main, heading("Transformers", "WebAssembly modules that make a request of an event"), place);
  const load = async () => {
    try {
      const [list, metrics] = await Promise.all([get("/v1/transformers", null, { signal: abort.signal }), transformerMetrics(abort.signal)]);
      if (list.data.length === 0) return replace(place, empty("No transformer is in use", "Name one in a webhook (transform = \"slack\"), and it is loaded. Yours go into transformers/ beside config.toml."));
      replace(place, h("div", { class: "stack-lg" }, cards(list.data, metrics, (one) => {
        play.choose(one);
        play.element.scrollIntoView({ block: "start", behavior: "smooth" });
      }), play_(list.data)));
    } catch (error) {
      if (error.name !== "AbortError") replace(place, problemBox(error, load));
    }
  };
  let play = null;
  const play_ = (modules) => {
    play = playground(modules, modules.find((one) => one.name === name) ?? modules[0]);
    return play.element;
  };
  load();
  return () => abort.abort();
}

function cards(modules, metrics, choose) {
  return h("div", { class: "cards" }, modules.map((one) => {
    const { calls, errors, ...times } = metrics[one.name] ?? { calls: one.calls, errors: one.errors, ...one.duration_ms };
    return h("article", { class: "card pad module" },
      h("header", null, h("h2", null, one.name), one.version && h("span", { class: "tag" }, one.version), one.origin && h("span", { class: "tag" }, one.origin)),
      h("p", { class: "muted" }, one.summary),
      h("dl", { class: "facts" },
        h("dt", null, "Used by"), h("dd", null, one.used_by?.length ? one.used_by.slice(0, 5).map((id, at) => [at > 0 && ", ", h("a", { href: `/webhooks/${encodeURIComponent(id)}` }, id)]) : h("span", { class: "muted" }, "no webhook"), one.used_by?.length > 5 && ` and ${one.used_by.length - 5} more`),
        calls !== undefined && [h("dt", null, "Calls"), h("dd", { class: "num-left" }, count(calls), errors > 0 && h("span", { class: "bad-text" }, `, ${plural(errors, "error")}`))],
        times.p50 !== undefined && times.p50 !== null && [h("dt", null, "Time"), h("dd", { class: "num-left" }, `p50 ${millis(times.p50)}, p99 ${millis(times.p99)}`)],
        h("dt", null, "Limits"), h("dd", { class: "num-left" }, `${millis(one.limits?.cpu_ms)} CPU, ${bytes(one.limits?.memory_bytes)}, ${bytes(one.limits?.output_bytes)} out`),
        h("dt", null, "SHA-256"), h("dd", null, h("code", { title: one.sha256 }, `${String(one.sha256).slice(0, 12)}…`), button("Copy", { kind: "quiet small", icon: "copy", on: () => copy(one.sha256, "Hash copied") }))),
      button("Try it", { icon: "play", kind: "small", on: () => choose(one) }));
  }));
}

function playground(modules, first) {
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
  let form = null;
  const draw = () => {
    const module = modules.find((one) => one.name === select.value);
    form = schemaForm(module.options_schema);
    replace(options, form.element);
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
    h("header", null, h("h2", null, "Playground"), h("span", { class: "muted small" }, "The real module, and nothing is sent")),
    h("div", { class: "play-columns" },
      h("div", { class: "stack" }, h("div", { class: "field" }, h("label", { for: select.id }, "Transformer"), select), event.element, h("div", null, recent), h("details", { class: "form-section" }, h("summary", null, h("strong", null, "Options"), h("span", { class: "muted" }, "from the module's own schema")), options), h("div", null, run)),
      result));
  return { element, choose: (one) => {
    select.value = one.name;
    draw();
  } };
}

function resultView(answer) {
  const { outcome, error, reason } = answer;
  const shown = answer.request ? [
    h("p", { class: "request-line" }, h("span", { class: "method" }, answer.request.method ?? "POST"), answer.request.url && h("code", { class: "break" }, answer.request.url)),
    headersTable(answer.request.headers),
    bodyView(typeof answer.request.body === "string" ? answer.request.body : JSON.stringify(answer.request.body), { label: "Resulting body", encoding: answer.request.body_encoding }),
  ] : answer.event ?? answer.events ? [h("p", { class: "muted" }, "An event, for the next stage:"), bodyView(JSON.stringify(answer.event ?? answer.events), { label: "Resulting event" })] : null;
  return h("div", { class: "stack" },
    h("p", { class: "play-head" }, h("span", { class: `chip ${error ? "bad" : outcome === "drop" ? "calm" : "good"}` }, outcome), h("span", { class: "muted num" }, millis(answer.duration_ms))),
    error && h("p", { class: "error-text" }, error),
    reason && h("p", null, `Dropped: ${reason}`), shown, logView(answer.log));
}

const logView = (log) => log?.length > 0 && h("section", null, h("h3", null, "Log"), h("ol", { class: "log" }, log.map((line) => h("li", { class: line.level ?? "" }, line.level && h("span", { class: "level" }, line.level), line.message ?? String(line)))));
