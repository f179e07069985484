// Which configuration is live, since when, and what was wrong with the last one that was refused.

import { get, post } from "../lib/api.js";
import { h, replace, throttle } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { onLive } from "../lib/live.js";
import { session } from "../lib/session.js";
import { busy, button, copy, failure, heading, notice, problemBox, skeleton, time } from "../parts/basics.js";
import { icon } from "../parts/icons.js";
import { jsonBlock } from "../parts/json.js";
import { planView } from "../parts/plan.js";

export function configPage(main) {
  const abort = new AbortController();
  const place = h("div", null, skeleton(5));
  let before = "";
  const load = async () => {
    try {
      const config = await get("/v1/config", null, { signal: abort.signal });
      const now = JSON.stringify(config);
      if (now === before) return;
      const refused = config.last_error && (await get("/v1/config/changes", null, { signal: abort.signal }).catch(() => null));
      before = now;
      replace(place, view(config, refused?.changes));
    } catch (error) {
      if (error.name !== "AbortError" && before === "") replace(place, problemBox(error, load));
    }
  };
  const reload = session.canManage && button("Reload now", { icon: "retry", on: () => busy(reload, async () => {
    try {
      const answer = await post("/v1/config/reload");
      notice(answer?.changed === false ? "Nothing had changed" : "The file is read and live");
    } catch (error) {
      // What was wrong is on this page in a moment.
      if (error.isMissing || error.status >= 500 || error.isNetwork) failure(error);
      else notice("Refused: the old configuration goes on", { tone: "bad" });
    }
    await load();
  }) });
  replace(main, heading("Config", "The file is the truth: save it and it is live, or it is refused and the old one goes on", reload), place);
  load();
  const soon = throttle(load, 1500);
  const stop = onLive(soon);
  const timer = setInterval(() => document.hidden || soon(), 5000);
  return () => {
    stop();
    soon.stop();
    clearInterval(timer);
    abort.abort();
  };
}

function view(config, changes) {
  const error = config.last_error;
  return h("div", { class: "stack-lg" },
    error ? refused(error) : h("div", { class: "callout good", role: "status" }, icon("check"), h("span", null, "The configuration on disk is the one that is live.")),
    changes && h("section", { class: "card pad", "aria-label": "What the refused configuration would change" }, h("header", null, h("h2", null, "What it would change"), h("span", { class: "muted small" }, "the refused files against what is live")), planView(changes)),
    config.at_next_start?.length > 0 && nextStart(config.at_next_start),
    h("section", { class: "card pad" }, h("h2", null, "Live configuration"), h("dl", { class: "facts" },
      h("dt", null, "Generation"), h("dd", { class: "num-left" }, count(config.generation)), h("dt", null, "Loaded"), h("dd", null, time(config.loaded_at)),
      h("dt", null, "Fingerprint"), h("dd", null, h("code", null, config.fingerprint), button("Copy", { kind: "quiet small", icon: "copy", on: () => copy(config.fingerprint, "Fingerprint copied") })),
      h("dt", null, "Webhooks"), h("dd", { class: "num-left" }, h("a", { href: "/webhooks" }, count(config.webhooks))))),
    config.settings && h("section", { class: "card pad" }, h("h2", null, "Settings besides webhooks"), jsonBlock(config.settings, "Settings")));
}

const nextStart = (keys) => h("section", { class: "callout", "aria-label": "At the next start" }, icon("clock"),
  h("div", null, h("strong", null, "Takes effect at the next start"), keys.map(({ key, running, wanted }) => h("p", null, h("code", null, key), ": ", h("code", null, running), " now, ", h("code", null, wanted), " then"))));

function refused(error) {
  return h("section", { class: "card pad refused", role: "alert" },
    h("header", null, icon("warn"), h("h2", null, "The last reload was refused"), h("span", { class: "grow" }), h("span", { class: "muted" }, time(error.at))),
    h("p", null, "The configuration from before goes on. Mend this and save the file again:"),
    error.problems.length === 0 ? h("p", { class: "error-text" }, error.message) : h("div", { class: "stack" }, error.problems.map(problem)));
}

/** As `tenterhook check` prints it, the marks in colour. */
function problem(one) {
  if (!one.rendered) return h("div", null, h("p", { class: "error-text" }, `${one.file}:${one.line}:${one.column}: ${one.message}`), one.help && h("p", { class: "muted" }, one.help));
  const lines = one.rendered.trimEnd().split("\n").map((line, at) => {
    const kind = at === 0 ? "d-title" : /^\s*(-->|:::)/.test(line) ? "d-place" : /^\s*\|\s*[-^]/.test(line) ? "d-mark" : /^\s*=|^help/.test(line) ? "d-help" : "";
    return h("span", { class: kind }, `${line}\n`);
  });
  return h("pre", { class: "code diagnostic", tabindex: "0", role: "region", "aria-label": `${one.file}, line ${one.line}: ${one.message}` }, lines);
}
