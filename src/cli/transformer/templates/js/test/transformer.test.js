// Runs in Node: no WebAssembly involved.
import assert from "node:assert/strict";
import test from "node:test";
import { check, describe, transform } from "../transformer.js";

const event = (type, data) => ({
  id: "evt_1",
  type,
  timestamp: "2026-01-28T10:30:45.123Z",
  data: JSON.stringify(data),
  metadata: undefined,
  tenant: undefined,
});

test("an event is greeted", () => {
  const outcome = transform([event("user.created", { name: "Zoë" })], '{"greeting":"Hi"}');
  assert.equal(outcome.tag, "request");
  assert.deepEqual(JSON.parse(outcome.val.body.val), { text: "Hi, Zoë", type: "user.created" });
});

test("a test event is dropped", () => {
  assert.equal(transform([event("test.ping", null)], "{}").tag, "drop");
});

test("a misspelt option is refused", () => {
  assert.throws(() => check('{"greting":"Hi"}'), (thrown) => thrown === "unknown option `greting`; there is: greeting");
  check('{"greeting":"Hi"}');
});

test("the options' schema is JSON", () => {
  assert.equal(JSON.parse(describe().optionsSchema).type, "object");
});
