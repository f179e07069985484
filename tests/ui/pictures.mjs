// Makes the README's pictures (docs/pictures): a day of a shop's events, then the pages that show it, light, dark and on
// a phone. Started by tests/it/ui.rs, which moves the server's clock when this says `advance SECONDS`:
//   cargo test --test it -- --ignored pictures

import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { openBrowser } from "./browser.mjs";

const { BASE, TOKEN, CONFIG, PICTURES } = process.env;

/** The same numbers every time. */
let seed = 20260128;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 4294967296;
};
const pick = (items) => items[Math.floor(random() * items.length)];

/** path: [milliseconds, share that fails, with what] */
const ENDPOINTS = {
  "/orders": [18, 0.004, 503], "/billing": [42, 0.01, 500], "/warehouse": [65, 0.03, 502], "/search": [25, 0.12, 503],
  "/slack": [90, 0, 500], "/pagerduty": [70, 0, 500], "/discord": [80, 0, 500], "/crm": [30, 1, 500], "/audit": [6, 0, 500],
};

async function startEndpoints() {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const [milliseconds, share, status] = ENDPOINTS[request.url] ?? [5, 0, 500];
      const fails = random() < share;
      const slow = random() < 0.03 ? 4 : 1;
      setTimeout(() => {
        response.writeHead(fails ? status : 200, { "content-type": "application/json", server: "shop/2.1" });
        response.end(fails ? '{"error":"upstream connect error or disconnect before headers"}' : '{"received":true}');
      }, milliseconds * (0.6 + random() * 0.8) * slow);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const config = (base, tokens) => `[server]
listen = "127.0.0.1:0"

[network]
allow = ["127.0.0.0/8"]

${tokens}
[defaults]
retry = { max_retries = 3, initial_delay = "200ms", multiplier = 2 }

[webhooks.orders-api]
url = "${base}/orders"
events = ["order.*"]
description = "Order service"

[webhooks.billing]
url = "${base}/billing"
events = ["order.paid", "invoice.*", "payment.**"]
description = "Invoices and dunning"

[webhooks.warehouse]
url = "${base}/warehouse"
events = ["order.paid", "stock.*"]

[webhooks.search-index]
url = "${base}/search"
events = ["product.*", "stock.*", "order.created"]

[webhooks.ops-slack]
url = "${base}/slack"
events = ["circuit_breaker.*", "health.*", "rate_limit.exceeded"]
transform = "slack"
description = "#ops"

[webhooks.on-call]
url = "${base}/pagerduty"
events = ["circuit_breaker.*", "health.*"]
filter.data.errorRate = { "$gt" = 0.5 }
transform = { use = "pagerduty", options = { routing_key = "0123456789abcdef0123456789abcdef" } }

[webhooks.community]
url = "${base}/discord"
events = ["product.released"]
transform = "discord"

[webhooks.legacy-crm]
url = "${base}/crm"
events = ["customer.*"]
description = "To be retired in March"

[webhooks.audit-log]
url = "${base}/audit"
events = ["*"]
`;

const TYPES = [
  ["order.created", 9, () => ({ order_id: `ORD-${1000 + Math.floor(random() * 9000)}`, total: Math.round(random() * 40000) / 100, currency: "EUR" })],
  ["order.paid", 7, () => ({ order_id: `ORD-${1000 + Math.floor(random() * 9000)}`, method: pick(["card", "transfer", "wallet"]) })],
  ["order.shipped", 5, () => ({ order_id: `ORD-${1000 + Math.floor(random() * 9000)}`, carrier: pick(["DHL", "UPS", "Post"]) })],
  ["invoice.issued", 4, () => ({ invoice: `INV-${Math.floor(random() * 9999)}`, due_in_days: 14 })],
  ["payment.card.declined", 1, () => ({ reason: pick(["insufficient_funds", "expired_card"]) })],
  ["stock.changed", 6, () => ({ sku: `SKU-${Math.floor(random() * 500)}`, left: Math.floor(random() * 80) })],
  ["product.updated", 3, () => ({ sku: `SKU-${Math.floor(random() * 500)}`, changed: ["price"] })],
  ["customer.updated", 0.6, () => ({ customer: Math.floor(random() * 900), changed: ["email"] })],
  ["circuit_breaker.opened", 0.3, () => ({ routeId: "api-service", errorRate: Math.round(random() * 100) / 100, threshold: 0.5, failureCount: 15, state: "open" })],
  ["health.check_failed", 0.3, () => ({ upstream: "stock-manager", consecutive_failures: 3 })],
  ["rate_limit.exceeded", 0.5, () => ({ routeId: "search", client: "10.0.0.7", limit: 100, window: "1m" })],
];

function anEvent() {
  let at = random() * TYPES.reduce((sum, [, weight]) => sum + weight, 0);
  const [type, , data] = TYPES.find(([, weight]) => (at -= weight) < 0) ?? TYPES[0];
  return { type, data: data() };
}

async function api(method, path, body) {
  const response = await fetch(BASE + path, { method, headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
}

async function until(check) {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 40));
}

const heard = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function advance(seconds) {
  console.log(`advance ${seconds}`);
  await heard.next();
}

const endpoints = await startEndpoints();
const base = `http://127.0.0.1:${endpoints.address().port}`;
const text = config(base, process.env.TOKENS);
writeFileSync(CONFIG, text);
await until(async () => (await api("GET", "/v1/config")).webhooks > 5);

/** How busy each hour of the day was, up to now. */
const BUSY = [8, 6, 5, 5, 6, 9, 14, 20, 26, 30, 32, 34, 30, 28, 31, 36, 40, 38, 30, 26, 22, 24, 20, 14];
for (const [hour, many] of BUSY.entries()) {
  // In the afternoon the warehouse had a bad hour.
  ENDPOINTS["/warehouse"][1] = hour === 15 ? 0.55 : 0.03;
  await api("POST", "/v1/events", Array.from({ length: many }, anEvent));
  await until(async () => {
    const { pending, retrying } = (await api("GET", "/v1/stats")).deliveries;
    return pending + retrying === 0;
  });
  if (hour < BUSY.length - 1) await advance(3600);
}
await api("POST", "/v1/events", { type: "circuit_breaker.opened", data: { routeId: "api-service", errorRate: 0.75, threshold: 0.5, failureCount: 15, state: "open" } });
await api("POST", "/v1/events", Array.from({ length: 6 }, anEvent));

const { context, close } = await openBrowser({ viewport: { width: 1360, height: 850 } });
const page = await context.newPage();
await page.goto(`${BASE}/#token=${TOKEN}`);
await page.getByRole("heading", { level: 1 }).waitFor();

async function picture(name, path, { scheme = "light", phone = false, prepare, height } = {}) {
  await page.emulateMedia({ colorScheme: scheme });
  await page.setViewportSize(phone ? { width: 390, height: 844 } : { width: 1360, height: height ?? 850 });
  await page.goto(BASE + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
  await until(async () => (await page.locator(".skeleton").count()) === 0);
  await page.evaluate(() => document.fonts.ready);
  await prepare?.();
  // The last of what comes in by itself, and the end of each transition.
  await page.waitForTimeout(600);
  await page.screenshot({ path: `${PICTURES}/${name}.png`, animations: "disabled" });
}

const openLog = async () => {
  await page.getByRole("button", { name: "Deliveries of warehouse" }).click();
  await page.locator(".attempt-line").first().waitFor();
};

await picture("overview", "/", { height: 980 });
await picture("overview-dark", "/", { scheme: "dark", height: 980 });
await picture("overview-phone", "/", { phone: true });
await picture("webhooks", "/webhooks", { prepare: openLog });
await picture("webhooks-dark", "/webhooks", { scheme: "dark" });
await picture("webhooks-phone", "/webhooks", { phone: true, scheme: "dark" });
await picture("create", "/webhooks", {
  prepare: async () => {
    await page.getByRole("button", { name: "Create webhook" }).first().click();
    await page.getByLabel("Endpoint URL").fill("http://insecure.example/hook");
    await page.locator('input[value="order.paid"]').check();
    await page.locator('[aria-invalid="true"]').waitFor();
  },
});
await picture("deliveries", "/deliveries?webhook=warehouse&state=failed", {
  prepare: async () => {
    await page.locator(".expander").first().click();
    await page.locator(".attempt").first().waitFor();
  },
});
await picture("deliveries-phone", "/deliveries?state=failed", { phone: true });
const breaker = (await api("GET", "/v1/events?event_type=circuit_breaker.opened&limit=1")).data[0];
await picture("events", `/events/${breaker.id}`, { prepare: () => page.locator(".event-detail table").waitFor() });
await picture("transformers", "/transformers/slack", {
  prepare: async () => {
    await page.getByRole("button", { name: "Run" }).click();
    await page.locator(".play-head, .play-result .problem").first().waitFor();
    await page.locator(".playground").scrollIntoViewIfNeeded();
    await page.evaluate(() => document.querySelector(".playground").scrollIntoView({ block: "start" }));
  },
});
writeFileSync(CONFIG, text.replace('events = ["order.*"]', 'evnts = ["order.*"]').replace('"200ms"', '"200 ms"'));
await until(async () => (await api("GET", "/v1/config")).last_error !== null);
await picture("config", "/config", { prepare: () => page.locator(".diagnostic").first().waitFor() });

await close();
endpoints.closeAllConnections();
endpoints.close();
process.exit(0);
