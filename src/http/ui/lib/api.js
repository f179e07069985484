// The public API, and nothing but it.

import { forgetToken, keepScope, keptScope, session } from "./session.js";

/** What the server (or the network) said no with. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the server answered ${status}`);
    this.status = status;
    this.title = body?.title ?? "";
    this.errors = Array.isArray(body?.errors) ? body.errors : [];
    this.body = body ?? {};
  }

  /** This server has no such endpoint (an older one, or one built without it). */
  get isMissing() {
    return this.status === 405 || (this.status === 404 && /^nothing is at/.test(this.message));
  }

  get isNetwork() {
    return this.status === 0;
  }
}

function address(path, query) {
  const entries = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(entries.map(([key, value]) => [key, String(value)])).toString();
  return path + (search ? `?${search}` : "");
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "ui-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The raw response; throws a Problem for everything that is not a success. */
export async function send(method, path, { query, body, signal, headers, token } = {}) {
  const sent = { Authorization: `Bearer ${token ?? session.token ?? ""}`, Accept: "application/json", ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (method === "POST") sent["Idempotency-Key"] = randomKey();
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  let response;
  try {
    response = await fetch(address(path, query), { method, headers: sent, body: text, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the server does not answer: is it running, and is the network up?" });
  }
  if (response.ok) return response;
  const problem = new Problem(response.status, await response.json().catch(() => null));
  if (response.status === 401 && token === undefined && session.token) {
    forgetToken();
    window.dispatchEvent(new CustomEvent("signed-out", { detail: problem.message }));
  }
  throw problem;
}

async function json(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json().catch(() => null);
}

export const get = (path, query, options) => json("GET", path, { query, ...options });
export const post = (path, body, options) => json("POST", path, { body: body ?? {}, ...options });
export const put = (path, body, options) => json("PUT", path, { body, ...options });
export const patch = (path, body, options) => json("PATCH", path, { body, ...options });
export const del = (path, options) => json("DELETE", path, options);

/** Every row of a list, page after page, at most `max`; `onPage` sees each page as it comes. */
export async function all(path, { query, max = 20000, onPage, signal } = {}) {
  const rows = [];
  let cursor = null;
  do {
    const page = await get(path, { ...query, limit: 250, cursor }, { signal });
    rows.push(...page.data);
    cursor = page.next;
    onPage?.(rows, cursor);
  } while (cursor && rows.length < max);
  return rows;
}

/** Runs `work` over items, a few at a time; one that fails stays undefined. */
export async function some(items, work, atOnce = 6) {
  const results = new Array(items.length);
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at]).catch((error) => (error.name === "AbortError" ? undefined : undefined));
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}

/** What the token may do: asked of the server once a tab, without changing anything. */
export async function learnScopes(token) {
  // What every token with the scope read may ask, also one that is confined to a tenant.
  await get("/v1/webhooks", { limit: 1 }, { token });
  let may = keptScope(token);
  // A path that exists for managers only, with an id that no webhook can have.
  may ??= await get("/v1/webhooks/~/secret", null, { token }).then(
    () => true,
    (problem) => problem.status !== 403 && problem.status !== 401,
  );
  keepScope(token, may);
  session.canManage = may;
  session.canPublish = may;
}

export const webhookPath = (id, rest = "") => `/v1/webhooks/${encodeURIComponent(id)}${rest}`;
export const deliveryPath = (id, rest = "") => `/v1/deliveries/${encodeURIComponent(id)}${rest}`;
