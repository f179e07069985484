// What the scripts that walk through the UI share: a browser, an endpoint, the API, and steps that say how they went.
//   BASE=http://127.0.0.1:… TOKEN=… node SCRIPT.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { listen, openBrowser } from "./browser.mjs";
import { startReceiver } from "./receiver.mjs";

export const { BASE, TOKEN, READ_TOKEN, CONFIG } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What the page complained about; a script may forgive what it provoked. */
export const complaints = [];
export const receiver = await startReceiver();
const { context, close } = await openBrowser();
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: BASE });
export const page = await context.newPage();
// A hang, not slowness: a debug build that compiles a module on a busy machine takes more than ten seconds.
page.setDefaultTimeout(40000);
listen(page, complaints);

export async function api(method, path, body, token = TOKEN) {
  const response = await fetch(BASE + path, { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const answer = response.status === 204 ? null : await response.json();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

export const publish = async (type, data = {}) => (await api("POST", "/v1/events", { type, data })).id;
export const goTo = async (path) => {
  await page.goto(BASE + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
};
export const row = (id) => page.locator(`tr[data-webhook="${id}"]`);
export const notice = (text) => page.locator(".notice", { hasText: text }).last();
export const dialog = () => page.getByRole("dialog");

/** Asks until it is so: for what the page learns from the server in its own time. */
export async function until(what, check, patience = 15000) {
  const end = Date.now() + patience;
  for (;;) {
    if (await check()) return;
    assert.ok(Date.now() < end, `not within ${patience} ms: ${what}`);
    await page.waitForTimeout(50);
  }
}

export async function axe(where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((one) => ["serious", "critical"].includes(one.impact));
  assert.deepEqual(serious.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).slice(0, 4).join(" | ")}`), [], `axe on ${where}`);
}

/** Opens or closes the delivery log of a webhook. */
export async function expand(id, open = true) {
  const control = row(id).getByRole("button", { name: `Deliveries of ${id}` });
  if ((await control.getAttribute("aria-expanded")) !== String(open)) await control.click();
  return page.locator(`#logs-${id}`);
}

const steps = [];
export const step = (name, run) => steps.push({ name, run });

/** Runs the steps in their order, and ends the process with what came of it. */
export async function walk() {
  let failed = null;
  for (const { name, run } of steps) {
    const started = Date.now();
    try {
      await run();
      console.log(`ok    ${name} (${Date.now() - started} ms)`);
    } catch (error) {
      failed = `${name}: ${error.message}`;
      console.log(`FAIL  ${failed}`);
      if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true }).catch(() => {});
      break;
    }
  }
  if (!failed && complaints.length > 0) failed = `the page complained: ${complaints.join("; ")}`;
  await close();
  receiver.close();
  if (failed) console.error(failed);
  process.exit(failed ? 1 : 0);
}
