// Ten thousand webhooks and five thousand deliveries: what is in the page stays a few dozen rows, wherever one scrolls and
// whatever one types, and the longest stop of the page is told (it is measured, not judged: other tests run beside).
//   BASE=… TOKEN=… node many.mjs, against a server with `a-log`, which takes log.*, and 9,999 others.

import assert from "node:assert/strict";
import { api, axe, goTo, page, row, step, TOKEN, BASE, until, walk } from "./kit.mjs";

const WEBHOOKS = 10000;
const DELIVERIES = 5000;

/** The view and the margin around it, on a screen of 900 pixels. */
const ROWS_MAX = 80;

const inPage = (what) => page.locator(`tr[data-${what}]`).count();

/** Scrolls as a wheel does, from top to bottom in a number of steps, and counts the rows after each. */
async function scrollThrough(what, steps) {
  let most = 0;
  for (let at = 1; at <= steps; at += 1) {
    await page.evaluate((share) => scrollTo({ top: share * document.documentElement.scrollHeight, behavior: "instant" }), at / steps);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const rows = await inPage(what);
    assert.ok(rows > 0, `nothing is there at ${at} of ${steps}`);
    most = Math.max(most, rows);
  }
  assert.ok(most <= ROWS_MAX, `${most} rows are in the page`);
  return most;
}

/** The longest tasks of the page since the last look. */
async function watchTasks() {
  await page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => Math.round(entry.duration)))).observe({ type: "longtask" });
  });
}
const tell = async (what) => {
  const tasks = await page.evaluate(() => window.longTasks.splice(0).sort((a, b) => b - a));
  console.log(`measured: ${what}: longest task ${tasks[0] ?? "under 50"} ms, ${tasks.length} over 50 ms`);
};

step("ten thousand webhooks: all are found, few are in the page", async () => {
  await page.goto(`${BASE}/webhooks#token=${TOKEN}`);
  await watchTasks();
  const started = Date.now();
  await row("a-log").waitFor();
  console.log(`measured: first rows after ${Date.now() - started} ms`);
  await page.getByText("10,000 webhooks", { exact: true }).waitFor({ timeout: 60000 });
  console.log(`measured: all of them after ${Date.now() - started} ms`);
  await tell("loading");
  assert.ok((await inPage("webhook")) <= ROWS_MAX);
  assert.equal(await page.locator("table.webhooks").getAttribute("aria-rowcount"), String(WEBHOOKS + 1));
  const most = await scrollThrough("webhook", 60);
  await row("hook-09999").waitFor();
  await tell(`scrolling, at most ${most} rows`);
});

step("typing into the search finds one of them immediately, wherever the list was scrolled to", async () => {
  for (const text of ["hook-0", "hook-07", "hook-0777", "hook-07777"]) {
    await page.getByLabel("Search webhooks").fill(text);
    await page.waitForTimeout(150);
  }
  await row("hook-07777").waitFor();
  await page.getByText("1 of 10,000").waitFor();
  await tell("typing");
  await axe("one of ten thousand webhooks");
  await page.getByLabel("Search webhooks").fill("");
  await until("all are back", async () => (await inPage("webhook")) > 10);
  assert.ok((await inPage("webhook")) <= ROWS_MAX);
});

step("a row far down opens, stays open when it is scrolled away and back, and a look at the server moves nothing", async () => {
  await page.evaluate(() => scrollTo({ top: document.documentElement.scrollHeight / 2, behavior: "instant" }));
  await until("rows of the middle", async () => /^hook-0[45]/.test(await page.locator("tr[data-webhook]").first().getAttribute("data-webhook")));
  const id = await page.evaluate(() => [...document.querySelectorAll("tr[data-webhook]")].find((one) => one.getBoundingClientRect().top > 200).dataset.webhook);
  await row(id).getByRole("button", { name: `Deliveries of ${id}` }).click();
  await page.locator(`#logs-${id}`).getByText("No deliveries yet").waitFor();
  const at = await page.evaluate(() => scrollY);
  await page.evaluate(() => scrollTo(0, 0));
  await until("it is out of the page", async () => (await row(id).count()) === 0);
  await page.evaluate((y) => scrollTo({ top: y, behavior: "instant" }), at);
  await page.locator(`#logs-${id}`).getByText("No deliveries yet").waitFor();
  const top = () => row(id).evaluate((element) => Math.round(element.getBoundingClientRect().top));
  const before = await top();
  await api("POST", `/v1/webhooks/${id}/disable`);
  await row(id).getByText("Disabled").waitFor({ timeout: 20000 });
  assert.ok(Math.abs((await top()) - before) <= 2, `the row moved from ${before} to ${await top()}`);
  await tell("a look at all of them");
});

step("five thousand deliveries: older ones come while one scrolls, few rows are in the page", async () => {
  for (let from = 0; from < DELIVERIES; from += 500) {
    await api("POST", "/v1/events", Array.from({ length: 500 }, (_, at) => ({ type: "log.line", data: { number: from + at } })));
  }
  await until("all are delivered", async () => (await api("GET", "/v1/webhooks/a-log/stats")).deliveries.succeeded === DELIVERIES, 60000);
  await goTo("/deliveries?webhook=a-log");
  await watchTasks();
  await page.locator("tr[data-id]").first().waitFor();
  const listed = async () => Number((await page.locator("table.deliveries").getAttribute("aria-rowcount")) ?? 1) - 1;
  const end = Date.now() + 90000;
  let most = 0;
  while ((await listed()) < DELIVERIES) {
    assert.ok(Date.now() < end, `${await listed()} of ${DELIVERIES} rows are listed`);
    await page.evaluate(() => scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" }));
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    most = Math.max(most, await inPage("id"));
  }
  assert.ok(most <= ROWS_MAX, `${most} rows are in the page`);
  await tell(`fetching ${await listed()} deliveries by scrolling`);
  await scrollThrough("id", 60);
  await tell("scrolling through them");
});

step("a later look that is answered before the first leaves older deliveries in reach", async () => {
  let answered;
  const second = new Promise((resolve) => (answered = resolve));
  let asked = 0;
  const list = /\/v1\/deliveries\?/;
  await page.route(list, async (route) => {
    asked += 1;
    if (asked === 1) {
      await second;
      return route.continue();
    }
    await route.fulfill({ response: await route.fetch() });
    answered();
  });
  await goTo("/webhooks");
  await goTo("/deliveries?webhook=a-log");
  await until("the first read is in flight", () => asked > 0);
  await api("POST", "/v1/events", { type: "log.line", data: { number: DELIVERIES } });
  await second;
  await page.unroute(list);
  await page.getByRole("button", { name: "Show older" }).waitFor();
});

await walk();
