// Walks through what the acceptance scenarios (walk.mjs) do not touch: empty, loading and error states, forms that help,
// attempts with their timings, charts that are live, a refused configuration beside the live one, times, and stillness.
//   BASE=… TOKEN=… CONFIG=… node craft.mjs, against a server without webhooks that allows 127.0.0.0/8.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { api, axe, BASE, complaints, CONFIG, dialog, expand, goTo, notice, page, publish, receiver, row, step, TOKEN, until, walk } from "./kit.mjs";

const section = (name) => dialog().locator("summary", { hasText: name });
const create = async () => {
  await page.getByRole("button", { name: "Create webhook" }).first().click();
  await dialog().waitFor();
};
const close = async () => {
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "hidden" });
};

step("a server that has nothing yet says on each page what to do", async () => {
  await page.goto(`${BASE}/#token=${TOKEN}`);
  for (const [path, words] of [
    ["/", "No attempt failed"], ["/webhooks", "No webhooks yet"], ["/deliveries", "No deliveries yet"], ["/events", "No events yet"],
    ["/transformers", "No transformer is in use"], ["/config", "The configuration on disk is the one that is live."],
  ]) {
    await goTo(path);
    await page.getByText(words).first().waitFor();
    await axe(`${path}, empty`);
  }
  await goTo("/deliveries?state=failed");
  await page.getByText("Nothing fits these filters").waitFor();
  await goTo("/webhooks");
  await page.getByRole("button", { name: "Create webhook" }).nth(1).waitFor();
});

step("while it loads there is a place holder, and an answer that is none can be asked for again", async () => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route("**/v1/events?*", async (route) => {
    await held;
    await route.continue();
  });
  await goTo("/events");
  await page.getByRole("status", { name: "Loading" }).first().waitFor();
  release();
  await page.getByText("No events yet").waitFor();
  await page.unroute("**/v1/events?*");
  for (const [path, address] of [["/", "**/v1/stats"], ["/webhooks", "**/v1/webhooks?limit=250*"], ["/deliveries", "**/v1/deliveries?*"], ["/events", "**/v1/events?*"], ["/transformers", "**/v1/transformers"], ["/config", "**/v1/config"]]) {
    await page.route(address, (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: '{"status":503,"title":"Later","detail":"the store is being looked after"}' }));
    await goTo(path);
    await page.locator(".problem", { hasText: "the store is being looked after" }).first().waitFor();
    await axe(`${path}, with an error`);
    await page.unroute(address);
    await page.locator(".problem").getByRole("button", { name: "Try again" }).first().click();
    await page.locator(".problem").waitFor({ state: "detached" });
  }
});

step("the form: patterns, the server's words at the field, a retry timeline that is drawn while one types", async () => {
  await goTo("/webhooks");
  await create();
  await dialog().getByLabel("Endpoint URL").fill("https://hooks.slack.com/services/T0000/B0000/aVerySecretPart");
  await dialog().getByLabel("Name", { exact: true }).fill("masked");
  await dialog().getByLabel("Other patterns").fill("order.* payment.** stock.low stock.gone");
  await section("Retries").click();
  const timeline = dialog().locator("svg.timeline");
  await until("the curve", async () => (await timeline.getAttribute("aria-label")) === "Attempts: immediately, +1s, +3s, +7s");
  await dialog().getByLabel("Max retries").fill("2");
  await until("a shorter curve", async () => (await timeline.getAttribute("aria-label")) === "Attempts: immediately, +1s, +3s");
  await dialog().getByLabel("Retries", { exact: true }).selectOption("schedule");
  await dialog().getByLabel("Delays").fill("15s, 2m, 10m, 1h");
  await until("the list", async () => (await timeline.getAttribute("aria-label"))?.startsWith("Attempts: immediately, +15s, +135s"));
  await dialog().getByLabel("Delays").fill("15s, soon");
  await dialog().getByText("A delay is a number and a unit").waitFor();
  await dialog().getByLabel("Delays").fill("15s, 2m, 10m, 1h");
  await section("Delivery").click();
  await dialog().getByLabel("Rate limit").fill("50/x");
  await dialog().getByText(/`rate_limit`/).first().waitFor();
  await dialog().getByLabel("Rate limit").fill("50/s");
  await until("no complaint", async () => (await dialog().locator('[aria-invalid="true"]').count()) === 0);
  await axe("the form, open");
  await dialog().getByLabel("Enabled").uncheck();
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  await dialog().waitFor({ state: "hidden" });
  const made = await api("GET", "/v1/webhooks/masked");
  assert.deepEqual([made.retry.schedule, made.rate_limit, made.enabled], [["15s", "2m", "10m", "1h"], "50/s", false]);
});

step("Create with problems out of view shows all of them, focuses the first, and says so beside the button", async () => {
  await goTo("/webhooks");
  await create();
  await dialog().getByLabel("Endpoint URL").fill("example.com");
  await section("Filter").click();
  await dialog().getByLabel("Filter (JSON)").fill('{"data": ');
  await section("Delivery").click();
  await dialog().getByLabel("Timeout").fill("soon");
  const button = dialog().getByRole("button", { name: "Create", exact: true });
  await button.scrollIntoViewIfNeeded();
  await button.click();
  await dialog().getByRole("alert").filter({ hasText: "4 fields need attention" }).waitFor();
  await dialog().getByText("Choose at least one event type, or all").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), "url");
  const box = await dialog().getByLabel("Endpoint URL").boundingBox();
  assert.ok(box.y >= 0 && box.y < page.viewportSize().height, "the first problem is in view");
  await axe("the form, refused");
  assert.equal((await api("GET", "/v1/webhooks")).data.filter((one) => one.url.includes("example.com")).length, 0);
  await close();
});

step("the table: a masked URL, +n for more patterns, search and status in the address", async () => {
  await api("POST", "/v1/webhooks", { id: "plain", url: receiver.url("/plain"), events: ["order.*", "fail.*"], retry: { schedule: ["1h"] } });
  await goTo("/webhooks");
  const url = await row("masked").locator(".url").textContent();
  assert.ok(url.startsWith("https://hooks.slack.com/") && url.includes("…") && !url.includes("aVerySecretPart"), url);
  assert.ok(!(await page.content()).includes("aVerySecretPart"));
  const more = row("masked").locator(".more");
  assert.equal(await more.textContent(), "+2");
  assert.equal(await more.getAttribute("title"), "stock.low\nstock.gone");
  await page.getByLabel("Search webhooks").fill("payment");
  await until("one row", async () => (await page.locator("tr[data-webhook]").count()) === 1);
  assert.match(page.url(), /q=payment/);
  await page.getByLabel("Search webhooks").fill("no such thing");
  await page.getByText("Nothing matches").waitFor();
  await page.getByRole("button", { name: "Show all" }).click();
  await page.getByLabel("Status", { exact: true }).selectOption("disabled");
  await until("the disabled one", async () => (await page.locator("tr[data-webhook]").count()) === 1 && (await row("masked").count()) === 1);
  await page.reload();
  await row("masked").waitFor();
  assert.equal(await row("plain").count(), 0);
});

step("a filter is checked while it is written, and tried on what came before", async () => {
  await publish("order.created", { total: 10 });
  await publish("order.created", { total: 90 });
  await goTo("/webhooks");
  await create();
  await dialog().getByLabel("Endpoint URL").fill(receiver.url("/filtered"));
  await dialog().getByLabel("Other patterns").fill("order.*");
  await section("Filter").click();
  const filter = dialog().getByLabel("Filter (JSON)");
  await filter.fill('{"data": ');
  await dialog().getByText(/Not JSON yet/).waitFor();
  await filter.fill('{"data": {"total": {"$bigger": 50}}}');
  await dialog().getByText(/\$bigger/).first().waitFor();
  await filter.fill('{"data": {"total": {"$gt": 50}}}');
  await dialog().getByText("It lets 1 of the 2 recent events of these types through; the others fail at data.total").waitFor();
  await axe("the filter editor");
  await close();
});

step("a transformer's form comes from its own schema, also before anybody uses it, and the server judges the options", async () => {
  await create();
  await dialog().getByLabel("Endpoint URL").fill(receiver.url("/paged"));
  await dialog().getByLabel("Name", { exact: true }).fill("paged");
  await dialog().getByLabel("Other patterns").fill("page.*");
  await section("Transformer").click();
  await dialog().getByLabel("Transformer", { exact: true }).selectOption("pagerduty");
  const key = dialog().getByLabel(/^routing_key/);
  await key.waitFor();
  await key.fill("short");
  await dialog().getByText(/the transformer `pagerduty`/).waitFor();
  await key.fill("0123456789abcdef0123456789abcdef");
  await until("the server is content", async () => (await dialog().getByText(/the transformer `pagerduty`/).count()) === 0);
  await axe("the transformer form");
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  await dialog().waitFor({ state: "hidden" });
  assert.equal((await api("GET", "/v1/webhooks/paged")).transform[0].use, "pagerduty");
});

step("a test shows what was answered", async () => {
  await row("plain").getByRole("button", { name: "Test plain" }).click();
  await notice("plain answered 200").getByRole("button", { name: "Details" }).click();
  await dialog().getByRole("tab", { name: "Response" }).click();
  await dialog().getByText('"received"').waitFor();
  await axe("the answer of a test");
  await close();
  const spark = row("plain").locator("svg.spark");
  await until("the last 24 hours", async () => /^Last 24 h: [1-9]\d* attempts, 0 failed$/.test((await spark.getAttribute("aria-label").catch(() => "")) ?? ""));
});

step("an attempt: where its time went, pretty and as sent, errors in words; tried again as it was, or transformed again; cancelled", async () => {
  receiver.answer("/plain", 503);
  const event = await publish("fail.now", { nested: { deep: [1, 2] } });
  await receiver.wait("/plain", 4);
  await goTo(`/deliveries?event_id=${event}`);
  await page.locator("tr[data-id]").first().getByText("Retrying").waitFor();
  await page.getByRole("button", { name: /^Attempts of fail.now/ }).click();
  await page.locator(".attempt-detail").first().waitFor();
  await page.locator(".attempt .error-text", { hasText: "503" }).first().waitFor();
  const phases = await page.locator(".phase > span:first-child").allTextContents();
  assert.ok(phases.includes("First byte") && phases.at(-1) === "Total", phases.join());
  await page.getByRole("button", { name: "Raw" }).click();
  const raw = await page.getByRole("region", { name: "Request body" }).textContent();
  assert.equal(raw, receiver.at("/plain").at(-1).body.toString());
  await page.getByRole("button", { name: "Transform again and retry" }).click();
  await receiver.wait("/plain", 5);
  await until("a manual attempt", async () => (await page.locator(".attempt .tag", { hasText: "manual" }).count()) === 1);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await dialog().getByRole("button", { name: "Cancel delivery" }).click();
  await page.locator("tr[data-id]").first().locator(".chip", { hasText: "Cancelled" }).waitFor();
  const told = page.locator("tr[data-id] th-time").first();
  const [exact, shown] = [await told.getAttribute("title"), await told.textContent()];
  assert.ok(/\d{4}-\d\d-\d\dT.*Z/.test(exact) && /now|ago/.test(shown), `${shown}: ${exact}`);
});

step("the waterfall has each phase in its order, one after the other", async () => {
  const [{ id }] = (await api("GET", "/v1/deliveries?webhook=plain&state=succeeded")).data;
  await page.route(`**/v1/deliveries/${id}`, async (route) => {
    const answer = await (await route.fetch()).json();
    answer.attempts[0].duration_ms = 100;
    answer.attempts[0].timings = { transform_us: 5000, resolve_us: 10000, connect_us: 20000, tls_us: 30000, first_byte_us: 30000, body_us: 5000 };
    await route.fulfill({ json: answer });
  });
  await goTo(`/deliveries/${id}`);
  await page.locator(".waterfall").waitFor();
  assert.deepEqual(await page.locator(".phase > span:first-child").allTextContents(), ["Transform", "DNS", "Connect", "TLS", "First byte", "Body", "Total"]);
  const bars = await page.locator(".phase-bar .mark").evaluateAll((marks) => marks.map((mark) => [Number(mark.getAttribute("x")), Number(mark.getAttribute("width"))]));
  assert.deepEqual(bars, [[0, 5], [5, 10], [15, 20], [35, 30], [65, 30], [95, 5]]);
  await page.unroute(`**/v1/deliveries/${id}`);
});

step("the overview: by time range, live, by cause, with the slowest and the most failing", async () => {
  await goTo("/");
  const attempts = page.locator(".tile", { hasText: "Attempts, 24 h" }).locator("b");
  const before = async () => Number((await attempts.textContent()).replaceAll(",", ""));
  await until("a number", async () => (await before()) > 0);
  const was = await before();
  receiver.answer("/plain", 200);
  await publish("order.created", { total: 1 });
  await until("the new attempt, by itself", async () => (await before()) > was);
  const panel = (name) => page.getByRole("region", { name, exact: true });
  await panel("Retries by cause").getByText("HTTP 503").waitFor();
  await panel("Most failing").getByRole("link", { name: "plain" }).waitFor();
  await panel("Slowest").getByRole("link", { name: "plain" }).waitFor();
  for (const [range, key] of [["6 h", "6h"], ["15 min", "15m"], ["24 h", null]]) {
    await page.getByRole("button", { name: range, exact: true }).click();
    assert.equal(new URL(page.url()).searchParams.get("range"), key);
  }
  await page.locator(".tile", { hasText: "Breakers" }).getByText("closed").waitFor();
  await axe("overview, filled");
});

step("transformers: calls, times and hash; the playground runs one that nobody uses, with its log", async () => {
  await publish("page.me");
  await receiver.wait("/paged", 1);
  await goTo("/transformers");
  const module = page.locator('tr[data-module="pagerduty"]');
  await until("it was called", async () => /[1-9]/.test(await module.locator("td").nth(2).textContent()));
  assert.match(await module.locator("td").nth(4).textContent(), /\d ms$/);
  assert.match(await module.locator("td").nth(6).textContent(), /CPU.*memory.*output/);
  await module.getByRole("button", { name: "Copy the hash of pagerduty" }).click();
  await notice("Hash copied").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^[0-9a-f]{64}$/);
  await page.getByRole("button", { name: "Try jq" }).click();
  await page.locator(".playground summary", { hasText: "Options" }).click();
  const program = page.locator(".playground").getByLabel(/^filter/);
  await program.fill('.data | debug');
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator(".play-result").getByText('"api-service"').first().waitFor();
  await page.locator(".play-result .log li").first().waitFor();
  await page.getByRole("button", { name: "Use the latest event" }).click();
  await until("the latest event", async () => (await page.getByLabel("Event", { exact: true }).inputValue()).includes("page.me"));
  await axe("playground");
});

step("a refused file: the line underlined, and what it would change in the live configuration", async () => {
  const good = readFileSync(CONFIG, "utf8");
  const declared = (more) => `${good}\n[webhooks.one]\nurl = "${receiver.url("/one")}"\nevents = ["one.*"]\ntimeout = "5s"\n${more}`;
  writeFileSync(CONFIG, declared(""));
  await until("it is live", async () => (await api("GET", "/v1/webhooks?limit=250")).data.some((one) => one.id === "one"));
  await goTo("/config");
  writeFileSync(CONFIG, declared(`[webhooks.two]\nurl = "${receiver.url("/two")}"\nevnts = ["two.*"]\n`).replace('"5s"', '"9s"'));
  await page.locator(".d-mark", { hasText: "^^^" }).first().waitFor();
  const plan = page.getByRole("region", { name: "What the refused configuration would change" });
  await plan.locator("del", { hasText: "5s" }).waitFor();
  await plan.locator("ins", { hasText: "9s" }).waitFor();
  await plan.getByText("has a problem").waitFor();
  await axe("config, refused");
  writeFileSync(CONFIG, good);
  await page.getByText("The configuration on disk is the one that is live.").waitFor();
});

step("nothing jumps while a page fills", async () => {
  await page.addInitScript(() => {
    window.shifted = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifted += entry.hadRecentInput ? 0 : entry.value))).observe({ type: "layout-shift", buffered: true });
  });
  for (const path of ["/", "/webhooks", "/deliveries", "/events", "/transformers", "/config"]) {
    await goTo(path);
    await until(`${path} is there`, async () => (await page.locator(".skeleton").count()) === 0);
    await page.waitForTimeout(300);
    const shifted = await page.evaluate(() => window.shifted);
    console.log(`measured: ${path} shifted by ${shifted.toFixed(4)}`);
    assert.ok(shifted < 0.1, `${path} shifted by ${shifted}`);
  }
});

step("without a connection the page says so, and goes on when it is back", async () => {
  await goTo("/webhooks");
  await page.getByText("Live", { exact: true }).waitFor();
  await page.context().setOffline(true);
  await row("plain").getByRole("button", { name: "Test plain" }).click();
  await notice("the server does not answer").waitFor();
  await page.context().setOffline(false);
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 20000 });
  complaints.splice(0);
  const logs = await expand("plain");
  await logs.locator(".attempt-line").first().waitFor();
});

await walk();
