// Walks through the web UI as people do: the acceptance scenarios TC7.1 to TC7.15, signing in, what a read token sees,
// the other pages, the keyboard, narrow screens, and what axe says of each page.
//   BASE=http://127.0.0.1:… TOKEN=… READ_TOKEN=… CONFIG=… node walk.mjs
// CONFIG is the server's configuration file. The server must allow 127.0.0.0/8.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { api, axe, BASE, CONFIG, dialog, expand, goTo, notice, page, publish, READ_TOKEN, receiver, row, step, TOKEN, until, walk } from "./kit.mjs";

/** What TC7.1 asks for, with the fields given. */
async function createWebhook({ id, url, events = [], patterns = "", description, delay = "1000", retries = "3" }) {
  await page.getByRole("button", { name: "Create webhook" }).first().click();
  await dialog().getByLabel("Endpoint URL").fill(url);
  await dialog().getByLabel("Name", { exact: true }).fill(id);
  if (description) await dialog().getByLabel("Description").fill(description);
  for (const event of events) await dialog().locator(`input[value="${event}"]`).check();
  if (patterns) await dialog().getByLabel("Other patterns").fill(patterns);
  await dialog().locator("summary", { hasText: "Retries" }).click();
  await dialog().getByLabel("Max retries").fill(retries);
  await dialog().getByLabel("Initial delay").fill(delay);
  await dialog().getByLabel("Backoff multiplier").fill("2");
  assert.ok(await dialog().getByLabel("Enabled").isChecked());
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  await dialog().waitFor({ state: "hidden" });
  await row(id).waitFor();
}

const verifies = (request, secret) => {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures } = request.headers;
  const wanted = `v1,${createHmac("sha256", key).update(`${id}.${at}.`).update(request.body).digest("base64")}`;
  return signatures.split(" ").includes(wanted);
};

const state = {};

step("a wrong token is refused in words, the server's link signs in and leaves no token in the address", async () => {
  await goTo("/");
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("this token is not known").waitFor();
  await axe("sign in");
  await page.goto(`${BASE}/webhooks#token=${TOKEN}`);
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
  assert.equal(page.url(), `${BASE}/webhooks`);
});

step("TC7.13 a bad URL is refused while typing, with the server's words; a good one passes", async () => {
  await page.getByRole("button", { name: "Create webhook" }).first().click();
  const url = dialog().getByLabel("Endpoint URL");
  const said = dialog().locator(`#${await url.getAttribute("id")}-note`);
  // This server allows loopback, so a name may lead there: what can be said of it while typing is an address.
  for (const [text, words] of [["invalid-url", "`url` is not an absolute URL"], ["http://203.0.113.7/hook", "203.0.113.7 is in a blocked range"], ["http://93.184.216.34/hook", "HTTPS required"], ["ftp://example.com/hook", "`url` is not an http or https URL"]]) {
    await url.fill(text);
    await until(`a word about ${text}`, async () => (await said.textContent()).includes(words) && (await url.getAttribute("aria-invalid")) === "true");
  }
  await url.fill("http://insecure.com/hook");
  await dialog().getByText("Plain http is delivered only when").waitFor();
  await url.fill("https://valid.com/webhook");
  await until("no complaint", async () => (await said.textContent()) === "");
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  await dialog().getByText(/at least one event/i).waitFor();
  await axe("create webhook");
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "hidden" });
  assert.ok(!(await api("GET", "/v1/webhooks?limit=250")).data.some((one) => one.url.includes("valid.com")), "nothing was saved by looking at it");
});

step("TC7.1 create a webhook: it is listed, and its secret is shown once", async () => {
  await createWebhook({ id: "first", url: receiver.url("/first"), description: "Test webhook", events: ["circuit_breaker.opened", "rate_limit.exceeded"] });
  await notice("Webhook created").getByText(/whsec_/).waitFor();
  state.shown = (await notice("Webhook created").locator(".secret").textContent()).trim();
  const made = await api("GET", "/v1/webhooks/first");
  assert.deepEqual([made.events.sort(), made.retry.max_retries, made.retry.initial_delay, made.retry.multiplier, made.description, made.enabled], [["circuit_breaker.opened", "rate_limit.exceeded"], 3, "1s", 2, "Test webhook", true]);
  await row("first").getByText("circuit_breaker.opened").waitFor();
});

step("TC7.12 the secret is copied", async () => {
  await row("first").getByRole("button", { name: "Copy the secret of first" }).click();
  await notice("Secret copied").waitFor();
  state.secret = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(state.secret, state.shown);
});

step("TC7.2, TC7.3 a test delivery arrives, verifies with the copied secret, and is logged as a success", async () => {
  await row("first").getByRole("button", { name: "Test first" }).click();
  await notice("first answered 200").waitFor();
  const [request] = await receiver.wait("/first", 1);
  const body = JSON.parse(request.body);
  assert.ok(body.id && body.type && body.timestamp && "data" in body, JSON.stringify(body));
  assert.ok(verifies(request, state.secret));
  assert.ok(!verifies({ ...request, body: Buffer.concat([request.body, Buffer.from(" ")]) }, state.secret));
  const logs = await expand("first");
  await logs.locator(".outcome.good", { hasText: "200" }).first().waitFor();
});

step("TC7.10 the log shows attempts newest first, and opens and closes", async () => {
  await publish("circuit_breaker.opened", { routeId: "api-service" });
  await receiver.wait("/first", 2);
  const logs = await expand("first");
  await until("two lines", async () => (await logs.locator(".attempt-line").count()) === 2);
  const times = await logs.locator(".attempt-line td:first-child").allTextContents();
  assert.deepEqual(times, [...times].sort().reverse());
  for (const head of ["Time", "Event", "Attempt", "Status", "Duration", "Error"]) await logs.getByRole("columnheader", { name: head }).waitFor();
  await logs.locator(".attempt-line button").first().click();
  await logs.getByRole("tab", { name: "Request" }).waitFor();
  await logs.getByText("webhook-signature").waitFor();
  await logs.getByRole("tab", { name: "Response" }).click();
  await logs.getByText('"received"').waitFor();
  await axe("webhooks with an open log");
  await expand("first", false);
  await page.locator("#logs-first").waitFor({ state: "hidden" });
});

step("TC7.4 four attempts with growing delays, then failed, with a red cross and the reason", async () => {
  receiver.answer("/broken", 500);
  await createWebhook({ id: "broken", url: receiver.url("/broken"), patterns: "broken.*", delay: "150" });
  await publish("broken.now");
  const requests = await receiver.wait("/broken", 4);
  const gaps = requests.slice(1).map((one, at) => one.at - requests[at].at);
  assert.ok(gaps[1] > gaps[0] && gaps[2] > gaps[1], `delays grow: ${gaps}`);
  const logs = await expand("broken");
  await until("four crosses", async () => (await logs.locator(".outcome.bad", { hasText: "500" }).count()) === 4);
  assert.match(await logs.locator(".attempt-line").first().textContent(), /500/);
  await until("it has failed", async () => (await api("GET", "/v1/deliveries?webhook=broken")).data[0].state === "failed");
});

step("TC7.5 retries stop with the first success", async () => {
  receiver.answer("/flaky", 500, 500, 200);
  await createWebhook({ id: "flaky", url: receiver.url("/flaky"), patterns: "flaky.*", delay: "100" });
  await publish("flaky.now");
  await receiver.wait("/flaky", 3);
  const logs = await expand("flaky");
  await until("two crosses and a check", async () => (await logs.locator(".outcome.bad").count()) === 2 && (await logs.locator(".outcome.good").count()) === 1);
  assert.equal(receiver.at("/flaky").length, 3);
});

step("TC7.11 the statistics are those of the log", async () => {
  for (const [id, succeeded, failed, total] of [["first", 2, 0, 2], ["broken", 0, 1, 1], ["flaky", 1, 0, 1]]) {
    const cell = row(id).locator(".delivered");
    await until(`the counts of ${id}`, async () => (await cell.locator(".succeeded").textContent().catch(() => "")) === String(succeeded) && (await cell.locator(".total").textContent()) === String(total));
    assert.equal(await cell.locator(".failed").count(), failed ? 1 : 0);
    const deliveries = (await api("GET", `/v1/deliveries?webhook=${id}`)).data;
    assert.deepEqual([deliveries.filter((one) => one.state === "succeeded").length, deliveries.filter((one) => one.state === "failed").length, deliveries.length], [succeeded, failed, total]);
  }
  const details = await Promise.all((await api("GET", "/v1/deliveries?webhook=first")).data.map((one) => api("GET", `/v1/deliveries/${one.id}`)));
  const times = details.flatMap((one) => one.attempts).map((attempt) => attempt.duration_ms);
  const average = times.reduce((sum, time) => sum + time, 0) / times.length;
  const shown = parseFloat(await row("first").locator(".average").textContent());
  assert.ok(Math.abs(shown - average) <= Math.max(0.06, average * 0.05), `average ${shown} of ${average}`);
});

step("TC7.6 only what is subscribed arrives", async () => {
  const before = receiver.at("/first").length;
  await publish("rate_limit.exceeded");
  await publish("proxy.request_completed");
  await publish("circuit_breaker.opened", { last: true });
  const requests = await receiver.wait("/first", before + 2);
  assert.deepEqual(requests.slice(before).map((one) => JSON.parse(one.body).type).sort(), ["circuit_breaker.opened", "rate_limit.exceeded"]);
});

step("TC7.7 edit: another URL, other events, other retries", async () => {
  await row("first").getByRole("button", { name: "Edit first" }).click();
  await dialog().getByLabel("Endpoint URL").fill(receiver.url("/moved"));
  await dialog().locator('input[value="rate_limit.exceeded"]').uncheck();
  await dialog().locator('input[value="circuit_breaker.opened"]').waitFor();
  await dialog().getByLabel("Other patterns").fill("health.check_failed");
  await dialog().locator("summary", { hasText: "Retries" }).click();
  await dialog().getByLabel("Max retries").fill("5");
  await dialog().getByRole("button", { name: "Update" }).click();
  await notice("first is updated").waitFor();
  const changed = await api("GET", "/v1/webhooks/first");
  assert.deepEqual([changed.events.sort(), changed.retry.max_retries], [["circuit_breaker.opened", "health.check_failed"], 5]);
  const before = receiver.at("/first").length;
  await publish("rate_limit.exceeded");
  await publish("health.check_failed");
  const [request] = await receiver.wait("/moved", 1);
  assert.equal(JSON.parse(request.body).type, "health.check_failed");
  assert.equal(receiver.at("/first").length, before);
});

step("TC7.9 disabled it gets nothing, enabled it does again", async () => {
  const control = row("first").getByRole("switch");
  await control.click();
  await row("first").getByText("Disabled").waitFor();
  const event = await publish("circuit_breaker.opened", { while: "disabled" });
  const became = await api("GET", `/v1/events/${event}`);
  assert.ok(!became.deliveries.some((one) => one.webhook === "first" && one.state !== "held"), JSON.stringify(became));
  assert.equal(receiver.at("/moved").length, 1);
  await row("first").getByRole("switch").click();
  await row("first").getByText("Enabled").waitFor();
  await publish("circuit_breaker.opened", { while: "enabled" });
  await until("it arrives", async () => receiver.at("/moved").some((one) => JSON.parse(one.body).data.while === "enabled"));
});

step("TC7.14, TC7.15 events reach those who want them immediately; the explorer says why others did not", async () => {
  const wanted = { a: ["circuit_breaker.*"], b: ["rate_limit.*"], c: ["**"] };
  for (const [id, events] of Object.entries(wanted)) await api("POST", "/v1/webhooks", { id: `filter-${id}`, url: receiver.url(`/${id}`), events });
  const event = await publish("circuit_breaker.opened", { for: "filters" });
  await Promise.all([receiver.wait("/a", 1), receiver.wait("/c", 1)]);
  assert.equal(receiver.at("/b").length, 0);
  const ids = [receiver.at("/a")[0], receiver.at("/c").at(-1)].map((request) => JSON.parse(request.body).id);
  assert.deepEqual(ids, [event, event]);
  await goTo(`/events/${event}`);
  const detail = page.locator(".event-detail");
  await detail.locator("tr", { hasText: "filter-a" }).getByText("Succeeded").waitFor();
  await detail.locator("tr", { hasText: "filter-b" }).getByText(/pattern/).waitFor();
  await axe("events");
});

step("send an event from the page", async () => {
  await page.getByRole("button", { name: "Send event" }).click();
  await dialog().getByLabel("Type").fill("rate_limit.exceeded");
  await dialog().getByLabel("Data (JSON)").fill("{ not json");
  await dialog().getByText(/Not JSON yet/).waitFor();
  await dialog().getByLabel("Data (JSON)").fill('{"from": "the page"}');
  await dialog().getByRole("button", { name: "Send", exact: true }).click();
  await notice("Sent to").waitFor();
  const [request] = await receiver.wait("/b", 1);
  assert.deepEqual(JSON.parse(request.body).data, { from: "the page" });
});

step("the deliveries are live, filtered by the address, and can be retried manually", async () => {
  await goTo("/deliveries?webhook=broken&state=failed");
  await page.locator("tr[data-id]").first().waitFor();
  assert.equal(await page.locator("tr[data-id]").count(), 1);
  await page.getByRole("button", { name: /^Attempts of broken.now/ }).click();
  await until("four attempts", async () => (await page.locator(".attempt").count()) === 4);
  await axe("deliveries");
  receiver.answer("/broken", 200);
  await page.getByRole("button", { name: "Deliver again", exact: true }).click();
  await until("it has succeeded", async () => (await api("GET", "/v1/deliveries?webhook=broken")).data[0].state === "succeeded");
  await goTo("/deliveries?webhook=flaky");
  await until("one", async () => (await page.locator("tr[data-id]").count()) === 1);
  receiver.answer("/flaky", 200);
  await publish("flaky.live");
  await until("the new one by itself", async () => (await page.locator("tr[data-id]").count()) === 2);
  await page.getByLabel("State").selectOption("failed");
  await page.getByText("Nothing fits these filters").waitFor();
  assert.match(page.url(), /state=failed/);
});

step("TC7.8 delete: cancel keeps it, confirm removes it with its log", async () => {
  await goTo("/webhooks");
  await row("flaky").getByRole("button", { name: "Delete flaky" }).click();
  await dialog().getByRole("button", { name: "Cancel" }).click();
  await row("flaky").waitFor();
  await row("flaky").getByRole("button", { name: "Delete flaky" }).click();
  await dialog().getByRole("button", { name: "Delete", exact: true }).click();
  await row("flaky").waitFor({ state: "detached" });
  const before = receiver.at("/flaky").length;
  const event = await publish("flaky.gone");
  const became = await api("GET", `/v1/events/${event}`);
  assert.ok(!became.deliveries.some((one) => one.webhook === "flaky"));
  assert.equal(receiver.at("/flaky").length, before);
});

step("rotate the secret, and replay after a preview", async () => {
  await row("first").getByRole("button", { name: "More for first" }).click();
  await page.getByRole("menuitem", { name: "Rotate secret…" }).click();
  await dialog().getByRole("button", { name: "Rotate", exact: true }).click();
  await notice("Secret rotated").waitFor();
  const rotated = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(rotated.startsWith("whsec_") && rotated !== state.secret);
  await row("first").getByRole("button", { name: "More for first" }).click();
  await page.getByRole("menuitem", { name: "Deliver again…" }).click();
  await dialog().getByLabel("Which").selectOption("");
  await dialog().getByRole("button", { name: "Preview" }).click();
  await dialog().getByText(/would be sent again/).waitFor();
  const before = receiver.at("/moved").length;
  await dialog().getByRole("button", { name: "Deliver again", exact: true }).click();
  await notice("being sent to first again").waitFor();
  await receiver.wait("/moved", before + 2);
});

step("the playground runs the real module", async () => {
  await goTo("/transformers");
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator(".play-result").getByText(/"blocks"/).waitFor();
  await axe("transformers");
});

step("a refused reload is shown with the line underlined, and goes away when it is mended", async () => {
  const good = readFileSync(CONFIG, "utf8");
  await goTo("/config");
  await page.getByText("The configuration on disk is the one that is live.").waitFor();
  await axe("config");
  writeFileSync(CONFIG, good.replace("events =", "evnts ="));
  await page.getByText("did you mean `events`?").first().waitFor();
  await page.locator(".d-mark", { hasText: "^^^" }).first().waitFor();
  await axe("config with an error");
  await goTo("/webhooks");
  await row("declared").getByRole("button", { name: "Show declared" }).click();
  await dialog().getByText(/Declared in/).waitFor();
  await page.keyboard.press("Escape");
  assert.ok(await row("declared").getByRole("button", { name: "Delete declared" }).isDisabled());
  writeFileSync(CONFIG, good);
  await goTo("/config");
  await page.getByText("The configuration on disk is the one that is live.").waitFor();
});

step("the overview counts what happened", async () => {
  await goTo("/");
  await page.getByRole("heading", { name: "Throughput" }).waitFor();
  const stats = await api("GET", "/v1/stats");
  await until("the tile has the server's number", async () => {
    const text = await page.locator(".tile", { hasText: "Attempts, 24 h" }).locator("b").textContent();
    return text === new Intl.NumberFormat("en").format((await api("GET", "/v1/stats")).attempts);
  });
  assert.ok(stats.attempts > 10);
  await page.locator(".plot").first().focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator(".chart-tip").first().waitFor();
  await axe("overview");
});

step("narrow and dark: nothing overflows, axe agrees", async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  for (const width of [390, 1360]) {
    await page.setViewportSize({ width, height: 844 });
    for (const path of ["/", "/webhooks", "/deliveries", "/events", "/transformers", "/config"]) {
      await goTo(path);
      await until(`${path} is there`, async () => (await page.locator(".skeleton").count()) === 0);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${path} is ${over} px too wide at ${width}`);
      await axe(`${path}, dark, ${width} px`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
});

step("the keyboard alone: skip link, navigation, a dialog that keeps and gives back the focus", async () => {
  await goTo("/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.getByRole("link", { name: "Webhooks", exact: true }).first().focus();
  await page.keyboard.press("Enter");
  const create = page.getByRole("button", { name: "Create webhook" }).first();
  await create.focus();
  await page.keyboard.press("Enter");
  await dialog().waitFor();
  for (let press = 0; press < 60; press += 1) await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest("dialog") !== null));
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "hidden" });
  assert.ok(await create.evaluate((element) => element === document.activeElement));
});

step("a read token looks and changes nothing", async () => {
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").fill(READ_TOKEN);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("read-only").waitFor();
  await goTo("/webhooks");
  await row("declared").waitFor();
  for (const name of [/^Create/, /^Test/, /^Copy the secret/, /^Delete/, /^More for/]) assert.equal(await page.getByRole("button", { name }).count(), 0, String(name));
  assert.equal(await page.getByRole("switch").count(), 0);
  await axe("webhooks, read-only");
});

await walk();
