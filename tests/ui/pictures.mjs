// Makes the pictures of the README and of docs/ui.md (docs/pictures): a day of a shop's events, then the pages that show
// it, light, dark and on a phone. Started by tests/it/ui.rs, which moves the server's clock when this says
// `advance SECONDS`:
//   cargo test --test it -- --ignored pictures
// With EVERY=directory each page and dialog is made in all three, there: to be looked at after a change.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openBrowser } from "./browser.mjs";

const { BASE, TOKEN, CONFIG, PICTURES, EVERY } = process.env;

/** The same numbers every time. */
let seed = 20260128;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 4294967296;
};
const pick = (items) => items[Math.floor(random() * items.length)];

/** host: [milliseconds, share that fails, with what] */
const ENDPOINTS = {
  "orders.acme.shop": [18, 0.004, 503], "billing.acme.shop": [42, 0.01, 500], "wms.logistics.example": [65, 0.03, 502],
  "search.acme.shop": [25, 0.12, 503], "hooks.slack.com": [90, 0, 500], "events.pagerduty.com": [70, 0, 500], "discord.com": [80, 0, 500],
  "crm.legacy.example": [30, 1, 500], "audit.acme.shop": [6, 0, 500],
};

/** The hosts above, behind a proxy on loopback and a certificate of our own: pictures with addresses that people know. */
async function startEndpoints() {
  const directory = mkdtempSync(join(tmpdir(), "tenterhook-pictures-"));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(directory, name));
  const names = Object.keys(ENDPOINTS).map((host) => `DNS:${host}`).join(",");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", "/CN=pictures", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", `subjectAltName=${names}`, "-keyout", key, "-out", cert], { stdio: "ignore" });
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    request.resume();
    request.on("end", () => {
      const [milliseconds, share, status] = ENDPOINTS[request.headers.host] ?? [5, 0, 500];
      const fails = random() < share;
      const slow = random() < 0.03 ? 4 : 1;
      setTimeout(() => {
        response.writeHead(fails ? status : 200, { "content-type": "application/json", server: "shop/2.1" });
        response.end(fails ? '{"error":"upstream connect error or disconnect before headers"}' : '{"received":true}');
      }, milliseconds * (0.6 + random() * 0.8) * slow);
    });
  });
  const proxy = createServer();
  proxy.on("connect", (_request, client) => {
    const upstream = connect(server.address().port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connected\r\n\r\n");
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on("error", () => client.destroy());
    client.on("error", () => upstream.destroy());
  });
  for (const one of [server, proxy]) await new Promise((resolve) => one.listen(0, "127.0.0.1", resolve));
  return { proxy: `http://127.0.0.1:${proxy.address().port}`, ca: cert, close: () => [server, proxy].forEach((one) => one.close()) };
}

const config = ({ proxy, ca }, tokens) => `[server]
listen = "127.0.0.1:0"

[network]
allow = ["127.0.0.0/8"]
proxy = "${proxy}"
ca_file = "${ca}"

${tokens}
[defaults]
retry = { max_retries = 3, initial_delay = "200ms", multiplier = 2 }

[webhooks.orders-api]
url = "https://orders.acme.shop/hooks/tenterhook"
events = ["order.*"]
description = "Order service"

[webhooks.billing]
url = "https://billing.acme.shop/webhooks"
events = ["order.paid", "invoice.*", "payment.**"]
description = "Invoices and dunning"

[webhooks.warehouse]
url = "https://wms.logistics.example/v2/inbound"
events = ["order.paid", "stock.*"]

[webhooks.search-index]
url = "https://search.acme.shop/index"
events = ["product.*", "stock.*", "order.created"]

[webhooks.ops-slack]
url = "https://hooks.slack.com/services/T024BE7LD/B01A2B3C4D5/aVeryLongSecret3f2a"
events = ["circuit_breaker.*", "health.*", "rate_limit.exceeded"]
transform = "slack"
description = "#ops"

[webhooks.on-call]
url = "https://events.pagerduty.com/v2/enqueue"
events = ["circuit_breaker.*", "health.*"]
filter.data.errorRate = { "$gt" = 0.5 }
transform = { use = "pagerduty", options = { routing_key = "0123456789abcdef0123456789abcdef" } }

[webhooks.community]
url = "https://discord.com/api/webhooks/112233445566778899/aVeryLongSecret9c4d"
events = ["product.released"]
transform = "discord"

[webhooks.legacy-crm]
url = "https://crm.legacy.example/events"
events = ["customer.*"]
description = "To be retired in March"

[webhooks.audit-log]
url = "https://audit.acme.shop/append"
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
const text = config(endpoints, process.env.TOKENS);
writeFileSync(CONFIG, text);
await until(async () => (await api("GET", "/v1/config")).webhooks > 5);

/** How busy each hour of the day was, up to now. */
const BUSY = [8, 6, 5, 5, 6, 9, 14, 20, 26, 30, 32, 34, 30, 28, 31, 36, 40, 38, 30, 26, 22, 24, 20, 14];
for (const [hour, many] of BUSY.entries()) {
  // In the afternoon the warehouse had a bad hour.
  ENDPOINTS["wms.logistics.example"][1] = hour === 15 ? 0.8 : 0.03;
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

const SIZES = { light: [1360, 900], dark: [1360, 900], phone: [390, 844] };

async function picture(file, path, variant, { prepare, height }) {
  const [width, usual] = SIZES[variant];
  await page.emulateMedia({ colorScheme: variant === "dark" ? "dark" : "light" });
  await page.setViewportSize({ width, height: (variant !== "phone" && height) || usual });
  await page.goto("about:blank");
  await page.goto(BASE + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
  await until(async () => (await page.locator(".skeleton").count()) === 0);
  await page.evaluate(() => document.fonts.ready);
  // The browser hides its scroll bars here; their place is not kept free either.
  await page.evaluate(() => (document.documentElement.style.scrollbarGutter = "auto"));
  await prepare?.(variant);
  // The last of what comes in by itself, and the end of each transition.
  await page.waitForTimeout(600);
  await page.screenshot({ path: file, animations: "disabled" });
}

/** One page or dialog, in the variants that are kept; with EVERY in all of them. */
async function pictures(name, path, kept, more = {}) {
  for (const variant of EVERY ? Object.keys(SIZES) : kept) {
    await picture(`${EVERY || PICTURES}/${name}${variant === "light" ? "" : `-${variant}`}.png`, path, variant, more);
  }
}

const dialog = page.getByRole("dialog");
const opened = (name) => async () => {
  await page.getByRole("button", { name }).first().click();
  await dialog.waitFor();
};
const chosen = async (webhook, item) => {
  await page.getByRole("button", { name: `More for ${webhook}` }).click();
  await page.getByRole("menuitem", { name: item }).click();
  await dialog.waitFor();
};
const section = (name) => dialog.locator("summary", { hasText: name }).click();
const draft = async () => {
  await opened("Create webhook")();
  await dialog.getByLabel("Name", { exact: true }).fill("shipping");
  await dialog.locator('input[value="order.paid"]').check();
  await dialog.locator('input[value="order.shipped"]').check();
};

await pictures("overview", "/", ["light", "dark", "phone"], { height: 1010 });
await pictures("webhooks", "/webhooks", ["light", "dark", "phone"], {
  prepare: async (variant) => {
    if (variant !== "light") return;
    await page.getByRole("button", { name: "Deliveries of warehouse" }).click();
    await page.locator(".attempt-line").first().waitFor();
  },
});
await pictures("create", "/webhooks", ["light"], {
  prepare: async () => {
    await draft();
    // A name may lead into what this server allows: an address does not.
    await dialog.getByLabel("Endpoint URL").fill("http://93.184.216.34/hook");
    await dialog.locator('[aria-invalid="true"]').waitFor();
  },
});
await pictures("create-retries", "/webhooks", [], {
  prepare: async () => {
    await draft();
    await dialog.getByLabel("Endpoint URL").fill("https://shipping.acme.shop/hook");
    await section("Retries");
    await section("Filter");
    await dialog.getByLabel("Filter (JSON)").fill('{"data": {"method": "card"}}');
    await dialog.getByText(/It lets/).waitFor();
    await dialog.locator("summary", { hasText: "Filter" }).scrollIntoViewIfNeeded();
  },
});
await pictures("create-transformer", "/webhooks", [], {
  prepare: async () => {
    await draft();
    await dialog.getByLabel("Endpoint URL").fill("https://events.pagerduty.com/v2/enqueue");
    await section("Transformer");
    await dialog.getByLabel("Transformer", { exact: true }).selectOption("pagerduty");
    await dialog.getByLabel(/^routing_key/).fill("short");
    await dialog.getByText(/the transformer `pagerduty`/).first().waitFor();
    await dialog.locator("summary", { hasText: "Transformer" }).scrollIntoViewIfNeeded();
  },
});
await pictures("create-delivery", "/webhooks", [], {
  prepare: async () => {
    await draft();
    await section("Delivery");
    await dialog.locator("summary", { hasText: "Delivery" }).scrollIntoViewIfNeeded();
  },
});
await pictures("declared", "/webhooks", [], { prepare: opened("Show billing") });
await pictures("menu", "/webhooks", [], { prepare: () => page.getByRole("button", { name: "More for audit-log" }).click() });
await pictures("rotate", "/webhooks", [], { prepare: () => chosen("audit-log", "Rotate secret…") });
await pictures("replay", "/webhooks", [], {
  prepare: async () => {
    await chosen("warehouse", "Deliver again…");
    await dialog.getByRole("button", { name: "Preview" }).click();
    await dialog.getByText(/would be sent again/).waitFor();
  },
});
await pictures("test", "/webhooks", [], {
  prepare: async () => {
    await page.getByRole("button", { name: "Test orders-api" }).click();
    await page.locator(".notice").getByRole("button", { name: "Details" }).click();
    await dialog.waitFor();
  },
});
await pictures("deliveries", "/deliveries?state=failed", ["light", "dark"], {
  prepare: async () => {
    await page.locator(".expander").first().click();
    await page.locator(".attempt").first().waitFor();
  },
});
await pictures("deliveries-all", "/deliveries", ["phone"]);
const breaker = (await api("GET", "/v1/events?event_type=circuit_breaker.opened&limit=1")).data[0];
await pictures("events", `/events/${breaker.id}`, ["light"], { prepare: () => page.locator(".event-detail table").waitFor() });
await pictures("send", "/events", [], { prepare: opened("Send event") });
await pictures("transformers", "/transformers", ["light"]);
await pictures("playground", "/transformers/slack", ["light", "dark"], {
  prepare: async () => {
    await page.getByRole("button", { name: "Run" }).click();
    await page.locator(".play-head, .play-result .problem").first().waitFor();
    await page.evaluate(() => document.querySelector(".playground").scrollIntoView({ block: "start" }));
  },
});
await pictures("config-live", "/config", []);
writeFileSync(CONFIG, text.replace('events = ["order.*"]', 'evnts = ["order.*"]').replace('"200ms"', '"400ms"').replace('events = ["product.released"]', 'events = ["product.*"]').replace(/\[webhooks.legacy-crm\][^]*?\n\n/, ""));
await until(async () => (await api("GET", "/v1/config")).last_error !== null);
await pictures("config", "/config", ["light", "phone"], { prepare: () => page.locator(".diagnostic").first().waitFor(), height: 980 });
await page.getByRole("button", { name: "Sign out" }).click();
if (EVERY) await page.screenshot({ path: `${EVERY}/sign-in.png` });

await close();
endpoints.close();
process.exit(0);
