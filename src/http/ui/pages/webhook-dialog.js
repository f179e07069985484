// Creating and editing a webhook. The server validates while the person types; webhooks of config.toml are only shown.

import { get, patch, post, webhookPath } from "../lib/api.js";
import { debounce, h, replace, uid } from "../lib/dom.js";
import { mismatch, patternMatches } from "../lib/filter.js";
import { plural } from "../lib/format.js";
import { session } from "../lib/session.js";
import { SIGNATURES } from "../lib/signatures.js";
import { busy, button } from "../parts/basics.js";
import { openDialog } from "../parts/dialog.js";
import { eventPicker } from "../parts/event-picker.js";
import { jsonBlock, jsonField } from "../parts/json.js";
import { retryEditor } from "../parts/retry-editor.js";
import { transformEditor } from "../parts/transform-editor.js";

const VALIDATE_MS = 450;

/** Resolves with the webhook as the server answered it, or undefined. */
export function webhookDialog(webhook) {
  const readOnly = !session.canManage || webhook?.origin === "config";
  const title = readOnly ? webhook.id : webhook ? `Edit ${webhook.id}` : "Create webhook";
  return openDialog({ title, wide: true, build: (close, dialog) => (readOnly ? shown(webhook, close) : form(webhook, close, dialog)) });
}

function shown(webhook, close) {
  const { file, line, origin, ...rest } = webhook;
  return {
    body: h("div", { class: "stack" }, origin === "config" && h("p", { class: "callout" }, "Declared in ", h("code", null, file), `, line ${line}. Change it there: save the file and it is live.`), jsonBlock(rest, `Settings of ${webhook.id}`)),
    foot: [button("Close", { kind: "primary", on: () => close() })],
  };
}

function form(webhook, close, dialog) {
  const id = uid("webhook");
  const fields = {};
  const touched = new Set();
  const touch = (name) => {
    touched.add(name);
    validate();
  };
  const text = (name, label, { hint, value = "", ...attributes } = {}) => {
    const note = h("p", { class: "field-note bad", role: "status", id: `${id}-${name}-note` });
    const input = h("input", { id: `${id}-${name}`, name, type: "text", spellcheck: "false", autocapitalize: "off", "aria-describedby": note.id, ...attributes, ".value": value ?? "", on: { input: () => touch(name) } });
    fields[name] = { input, isBad: () => note.textContent !== "", read: () => input.value.trim(), say: (message) => {
      replace(note, message);
      input.setAttribute("aria-invalid", String(Boolean(message)));
    } };
    return h("div", { class: "field" }, h("label", { for: input.id }, label), input, note, hint && h("p", { class: "hint" }, hint));
  };
  const part = (name, made) => {
    fields[name] = made;
    return made.element;
  };
  const enabled = h("input", { type: "checkbox", ".checked": webhook?.enabled ?? true, on: { change: () => touched.add("enabled") } });
  fields.enabled = { read: () => enabled.checked, say: () => {} };
  const headers = headersField(id, () => touch("headers"), webhook);
  const filter = filterField(id, webhook, () => touch("filter"), () => fields.events.read());
  fields.signature = signatureField(id, webhook, () => touch("signature"));
  const general = h("p", { class: "field-note bad", role: "alert" });
  const caution = h("p", { class: "field-note warn", role: "status" });
  const masked = webhook && webhook.url.includes("…");
  const body = h("div", { class: "webhook-form" },
    h("div", { class: "stack" },
      text("url", "Endpoint URL", { type: "url", placeholder: "https://example.com/webhook", value: webhook?.url, autofocus: !webhook, required: true, hint: masked && "Part of it is a secret and hidden: it stays unchanged unless you enter another URL." }),
      caution,
      h("div", { class: "field-row" }, !webhook && text("id", "Name", { placeholder: "generated if empty", hint: "Letters, digits, - and _" }), text("description", "Description", { value: webhook?.description })),
      part("events", eventPicker({ value: webhook?.events ?? [], onInput: () => {
        touch("events");
        filter.tryIt();
      } })),
      h("label", { class: "check" }, enabled, h("span", null, "Enabled"))),
    section("Retries", "when failures are retried", part("retry", retryEditor({ value: webhook?.retry, onInput: () => touch("retry") }))),
    section("Filter", "only some of these events", part("filter", filter)),
    section("Transformer", "Slack, PagerDuty, Discord, your own", part("transform", transformEditor({ value: webhook?.transform, onInput: () => touch("transform") }))),
    section("Delivery", "signature, headers, timeout, rate", h("div", { class: "stack" },
      h("div", { class: "field-row" }, fields.signature.element, text("secret", "Secret", { type: "password", autocomplete: "new-password", placeholder: webhook ? "unchanged" : "generated if empty" })),
      h("div", { class: "field-row" }, text("timeout", "Timeout", { placeholder: "5s", value: webhook?.timeout }), text("concurrency", "Concurrency", { type: "number", min: 1, placeholder: "10", value: webhook?.concurrency }), text("rate_limit", "Rate limit", { placeholder: "50/s", value: typeof webhook?.rate_limit === "string" ? webhook.rate_limit : "" }), text("tenant", "Tenant", { value: webhook?.tenant })),
      part("headers", headers))),
    general);

  fields.url.input.addEventListener("input", () => replace(caution, plainName(fields.url.read()) && "Plain http is delivered only when this name resolves to an address in [network] allow: use https:// instead."));
  const read = () => changes(fields, touched, webhook);
  const summary = h("p", { class: "field-note bad grow", role: "alert" });
  const say = (problem) => {
    spread(problem, fields, general);
    replace(summary);
  };
  // Beside the button: the field with the problem may be out of view.
  const refuse = (problem) => {
    spread(problem, fields, general);
    const bad = Object.values(fields).filter((field) => field.isBad?.());
    replace(summary, bad.length === 0 ? problem.message || general.textContent : bad.length === 1 ? "1 field needs attention" : `${bad.length} fields need attention`);
    const first = bad.map((field) => field.focus ?? field.input).filter(Boolean).sort((a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1))[0];
    first?.focus();
    first?.scrollIntoView({ block: "center" });
  };
  let asked = 0;
  // An answer to an earlier request than the newest is out of date.
  const validate = debounce(async () => {
    const mine = (asked += 1);
    const errors = await check(read, webhook, touched);
    if (mine === asked && dialog.open) say({ errors, message: "" });
  }, VALIDATE_MS);
  const save = button(webhook ? "Update" : "Create", { kind: "primary", type: "submit" });
  return {
    body,
    foot: [summary, button("Cancel", { on: () => close() }), save],
    onSubmit: () => busy(save, async () => {
      asked += 1;
      Object.keys(fields).forEach((name) => !webhook && touched.add(name));
      clear(fields, general);
      const local = localProblems(read(), webhook, fields, touched);
      if (local.length > 0) {
        // The server's problems with the other fields as well, so that all are shown at once.
        const known = new Set(local.map((one) => fieldName(one.field)));
        const judged = await check(read, webhook, touched);
        return { errors: [...local, ...judged.filter((one) => !known.has(fieldName(one.field)))], message: "" };
      }
      const answer = webhook ? await patch(webhookPath(webhook.id), read()) : await post("/v1/webhooks", read());
      close(answer);
    }).catch((error) => error).then((problem) => problem && refuse(problem)),
  };
}

const section = (title, hint, inner) => h("details", { class: "form-section" }, h("summary", null, h("strong", null, title), h("span", { class: "muted" }, hint)), inner);

/** What is to be sent: everything that was filled in when creating, only what was touched when changing. */
function changes(fields, touched, webhook) {
  const body = {};
  for (const [name, field] of Object.entries(fields)) {
    if (!touched.has(name)) continue;
    const value = field.read();
    if (value === undefined || (value === "" && !webhook)) continue;
    if (name === "secret" && value === "") continue;
    body[name] = value === "" ? null : name === "concurrency" ? Number(value) : value;
  }
  if (!webhook) {
    body.url ??= "";
    body.events ??= fields.events.read();
  }
  return body;
}

/** What needs no server to know: missing fields, and text that cannot be read and would otherwise be left out silently. */
function localProblems(body, webhook, fields, touched) {
  const problems = [];
  for (const [name, field] of Object.entries(fields)) {
    const message = touched.has(name) && field.problem?.();
    if (message) problems.push({ field: `/${name}`, message });
  }
  if (!webhook && !body.url) problems.push({ field: "/url", message: "An endpoint URL is needed" });
  if ("events" in body && body.events.length === 0) problems.push({ field: "/events", message: "Choose at least one event type, or all" });
  return problems;
}

/** A plain http URL with a name: its address is known only after resolution, so the server cannot check it here. */
const plainName = (text) => URL.canParse(text) && new URL(text).protocol === "http:" && !/^(\[|[\d.]+$)|localhost$/.test(new URL(text).hostname);

/** Has the server validate the webhook without saving it. */
async function check(read, webhook, touched) {
  const body = { ...read(), dry_run: true };
  try {
    if (webhook) await patch(webhookPath(webhook.id), body);
    else await post("/v1/webhooks", body);
  } catch (problem) {
    if (problem.status === 422) return problem.errors.filter((one) => touched.has(fieldName(one.field)));
    if (problem.status === 409) return [{ field: "/id", message: problem.message }];
  }
  return [];
}

const fieldName = (pointer) => String(pointer ?? "").replace(/^[/]|^body\./, "").split(/[/.]/)[0];

function clear(fields, general) {
  Object.values(fields).forEach((field) => field.say?.(""));
  replace(general);
}

/** Shows each message at its field, and the rest below the form. */
function spread(problem, fields, general) {
  clear(fields, general);
  const rest = [];
  const said = new Map();
  for (const one of problem.errors ?? []) {
    const name = fieldName(one.field ?? one.pointer);
    const words = [one.message ?? one.detail, one.help].filter(Boolean).join(": ");
    if (fields[name]) said.set(name, [...(said.get(name) ?? []), words]);
    else rest.push(words);
  }
  for (const [name, words] of said) {
    fields[name].say(words.join("; "));
    fields[name].input?.closest("details")?.setAttribute("open", "");
  }
  if (said.size === 0 && rest.length === 0 && problem.message) {
    const name = /^`?(\w+)`?/.exec(problem.message)?.[1];
    if (fields[name]?.input) return fields[name].say(problem.message);
    rest.push(problem.message);
  }
  replace(general, rest.join("; "));
}

function signatureField(id, webhook, onInput) {
  const value = webhook?.signature ?? "standard";
  const simple = typeof value === "string" && SIGNATURES.includes(value);
  const input = h("select", { id: `${id}-signature`, on: { change: onInput } }, !simple && h("option", { value: "", ".selected": true }, "unchanged"), SIGNATURES.map((name) => h("option", { value: name, ".selected": name === value }, name)));
  const note = h("p", { class: "field-note bad", role: "status" });
  return { input, element: h("div", { class: "field" }, h("label", { for: input.id }, "Signature"), input, note), isBad: () => note.textContent !== "", read: () => input.value || undefined, say: (message) => replace(note, message) };
}

function headersField(id, onInput, webhook) {
  const kept = Object.entries(webhook?.headers ?? {}).map(([name, value]) => `${name}: ${value}`);
  const note = h("p", { class: "field-note bad", role: "status" });
  const input = h("textarea", { id: `${id}-headers`, rows: 2, class: "mono", spellcheck: "false", placeholder: "X-Api-Key: …", ".value": kept.join("\n"), on: { input: onInput } });
  return {
    input,
    element: h("div", { class: "field" }, h("label", { for: input.id }, "Headers"), input, note, h("p", { class: "hint" }, kept.length > 0 ? "One per line. A hidden value (…) stays unchanged." : "One per line, as Name: value.")),
    read: () => Object.fromEntries(input.value.split("\n").filter((line) => line.trim()).map((line) => {
      const at = line.indexOf(":");
      return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    })),
    isBad: () => note.textContent !== "",
    say: (message) => replace(note, message),
  };
}

function filterField(id, webhook, onInput, patterns) {
  const tried = h("p", { class: "hint", role: "status" });
  let recent = null;
  const tryIt = async () => {
    const read = field.read();
    if (!read.ok || read.value === undefined) return replace(tried);
    recent ??= get("/v1/events", { limit: 50 }).then((page) => page.data, () => []);
    const events = (await recent).filter((event) => patterns().length === 0 || patterns().some((pattern) => patternMatches(pattern, event.type)));
    try {
      const missed = events.map((event) => mismatch(event, read.value));
      const hits = missed.filter((at) => at === null).length;
      const clause = missed.find((at) => at !== null);
      replace(tried, events.length === 0 ? "No recent event of these types to try it on." : `It lets ${hits} of the ${plural(events.length, "recent event")} of these types through${hits < events.length ? `; the others fail at ${clause}` : ""}.`);
    } catch (error) {
      field.say(error.message);
    }
  };
  const field = jsonField({ id: `${id}-filter`, label: "Filter (JSON)", rows: 4, optional: true, value: webhook?.filter ? JSON.stringify(webhook.filter, null, 2) : "", hint: h("span", null, "For example ", h("code", null, '{"data": {"errorRate": {"$gt": 0.5}}}')), onInput: () => {
    onInput();
    tryIt();
  } });
  field.element.append(tried);
  const problem = () => {
    const read = field.read();
    return read.ok ? "" : read.message;
  };
  return { input: field.area, element: field.element, tryIt, problem, isBad: () => field.area.getAttribute("aria-invalid") === "true", read: () => {
    const read = field.read();
    return read.ok ? (read.value ?? null) : undefined;
  }, say: (message) => field.say(message || problem()) };
}
