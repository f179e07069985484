// What a test delivery got for an answer.

import { h } from "../lib/dom.js";
import { millis } from "../lib/format.js";
import { button, notice } from "./basics.js";
import { attemptDetail, errorInWords } from "./attempt.js";
import { openDialog } from "./dialog.js";

/** The answer is the attempt, or holds it. */
export const attemptOf = (answer) => answer?.attempt ?? answer?.attempts?.at(-1) ?? (answer?.outcome ? answer : null);

export async function showTestResult(webhook, answer) {
  const attempt = attemptOf(answer);
  if (!attempt) return notice(`The test of ${webhook.id} is on its way: see its log`);
  const good = attempt.outcome === "succeeded";
  const said = good ? `${webhook.id} answered ${attempt.status} in ${millis(attempt.duration_ms)}` : `The test of ${webhook.id} failed: ${errorInWords(attempt) ?? attempt.status}`;
  const details = button("Details", { kind: "quiet small", on: () => openDialog({ title: `Test of ${webhook.id}`, wide: true, build: (close) => ({
    body: h("div", null, h("p", { class: good ? "good-text" : "bad-text" }, said), attemptDetail({ number: 1, ...attempt })), foot: [button("Close", { kind: "primary", on: () => close() })],
  }) }) });
  notice(said, { tone: good ? "good" : "bad", action: details });
}
