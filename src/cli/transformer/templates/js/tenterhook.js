// The border between Tenterhook and transformer.js: usually nothing to change here. It gives QuickJS a `console` that
// writes into the attempt's log and a `Math.random` that differs between calls, and it logs the stack of what is thrown.
import { log } from "tenterhook:transformer/host@1.1.0";
import { getRandomU64 } from "wasi:random/random@0.2.0";
import * as own from "./transformer.js";

for (const name of ["describe", "check", "transform"]) {
  if (typeof own[name] !== "function") throw new Error(`transformer.js exports no function \`${name}\``);
}

Math.random = () => {
  const random = getRandomU64() / 2 ** 64;
  return random < 1 ? random : 0; // the largest numbers are rounded up
};

function text(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value}\n${value.stack}`.trimEnd();
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

const writer = (level) => (...values) => log(level, values.map(text).join(" "));
globalThis.console = {
  debug: writer("debug"),
  trace: writer("debug"),
  log: writer("info"),
  info: writer("info"),
  warn: writer("warn"),
  error: writer("error"),
};

// What is thrown becomes the error of the attempt, or of the configuration: a string as it is, anything else with its
// stack in the log.
function border(call) {
  return (...given) => {
    let made;
    try {
      made = call(...given);
    } catch (thrown) {
      if (typeof thrown === "string") throw thrown;
      console.error(thrown);
      throw String(thrown);
    }
    if (typeof made?.then === "function") throw "the function is async, which a transformer cannot be: nothing in it needs waiting";
    return made;
  };
}

export const describe = border(own.describe);
export const check = border(own.check);
export const transform = border(own.transform);
