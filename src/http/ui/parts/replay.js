// Replay: delivers again what a webhook got (or should have got) in a time range. First a preview with the count, then the job.

import { get, post, webhookPath } from "../lib/api.js";
import { h, replace, uid } from "../lib/dom.js";
import { count, plural } from "../lib/format.js";
import { busy, button, notice, time } from "./basics.js";
import { openDialog } from "./dialog.js";

const SPANS = [["1h", "last hour", 3600e3], ["24h", "last 24 hours", 86400e3], ["7d", "last 7 days", 7 * 86400e3], ["own", "from … to …", 0]];

/** Between two requests for a job's progress. */
const POLL_MS = 500;

const local = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);

export function replayDialog(webhook) {
  return openDialog({ title: `Deliver again to ${webhook.id}`, build: (close, dialog) => build(webhook, close, dialog) });
}

function build(webhook, close, dialog) {
  const id = uid("replay");
  const span = h("select", { id: `${id}-span`, autofocus: true }, SPANS.map(([value, label]) => h("option", { value, ".selected": value === "24h" }, label)));
  const since = h("input", { id: `${id}-since`, type: "datetime-local", ".value": local(new Date(Date.now() - 86400e3)) });
  const until = h("input", { id: `${id}-until`, type: "datetime-local" });
  const own = h("div", { class: "field-row", hidden: true }, h("div", { class: "field" }, h("label", { for: since.id }, "From"), since), h("div", { class: "field" }, h("label", { for: until.id }, "To (empty: now)"), until));
  const state = h("select", { id: `${id}-state` }, [["failed", "Failed (dead letters)"], ["", "All deliveries"], ["cancelled", "Cancelled"], ["dropped", "Dropped"]].map(([value, label]) => h("option", { value }, label)));
  const types = h("input", { id: `${id}-types`, type: "text", placeholder: "all; or: order.created, order.paid", spellcheck: "false" });
  const said = h("div", { role: "status", class: "replay-said" });
  span.addEventListener("change", () => (own.hidden = span.value !== "own"));
  for (const control of [span, since, until, state, types]) control.addEventListener("input", () => (start.disabled = false));
  const request = (dry_run) => {
    const length = SPANS.find(([value]) => value === span.value)[2];
    const from = length ? new Date(Date.now() - length) : new Date(since.value);
    const event_types = types.value.split(/[\s,]+/).filter(Boolean);
    return { since: from.toISOString(), until: !length && until.value ? new Date(until.value).toISOString() : undefined, state: state.value || undefined, event_types: event_types.length ? event_types : undefined, dry_run };
  };
  const matched = (answer) => answer?.matching;
  const preview = button("Preview", { on: () => busy(preview, async () => {
    const answer = await post(webhookPath(webhook.id, "/replay"), request(true));
    const number = matched(answer) ?? 0;
    // What a preview found to be empty needs no job; a changed question may find more.
    start.disabled = number === 0 && answer?.complete !== false;
    replace(said, h("p", null, `${answer?.complete === false ? "At least " : ""}${plural(number, "delivery", "deliveries")} would be sent again${number === 0 ? ": nothing to do" : ""}.`),
      answer?.sample?.length > 0 && h("ul", { class: "sample" }, answer.sample.slice(0, 5).map((one) => h("li", null, one.event_type, " ", time(one.created_at)))));
  }).catch((error) => replace(said, h("p", { class: "bad-text" }, error.message))) });
  const start = button("Deliver again", { kind: "primary", type: "submit" });
  return {
    body: h("div", { class: "stack" }, h("div", { class: "field" }, h("label", { for: span.id }, "When"), span), own, h("div", { class: "field" }, h("label", { for: state.id }, "Which"), state), h("div", { class: "field" }, h("label", { for: types.id }, "Event types"), types), h("p", { class: "hint" }, "Receivers see the same webhook-id as before, so one that de-duplicates will ignore what it has."), said),
    foot: [preview, h("span", { class: "grow" }), button("Cancel", { on: () => close() }), start],
    onSubmit: () => busy(start, async () => {
      const job = await post(webhookPath(webhook.id, "/replay"), request(false));
      const ended = await follow(job, said, dialog);
      if (ended?.state === "failed") throw new Error(ended.reason ?? "the replay failed");
      const sent = ended?.progress?.done;
      if (sent === 0) notice(`Nothing to deliver again to ${webhook.id}`, { tone: "calm" });
      else notice(sent ? `${plural(sent, "delivery is", "deliveries are")} being sent to ${webhook.id} again` : `Delivering again to ${webhook.id}`);
      if (dialog.open) close(true);
    }).catch((error) => replace(said, h("p", { class: "bad-text" }, error.message))),
  };
}

/** A bar while the job runs. A server that reports no progress leaves the text at "Started…". */
async function follow(job, said, dialog) {
  if (!job?.id) return;
  const path = `/v1/jobs/${encodeURIComponent(job.id)}`;
  const bar = h("progress", { max: 1, value: 0 });
  const words = h("p", null, "Started…");
  replace(said, bar, words);
  let now = job;
  while (dialog.open && now.state === "running") {
    const { total, done = 0 } = now.progress ?? {};
    if (total) {
      bar.value = done / total;
      replace(words, `${count(done)} of ${count(total)}`);
    } else bar.removeAttribute("value");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      now = await get(path);
    } catch (error) {
      if (error.status === 404) return now;
      throw error;
    }
  }
  return now;
}
