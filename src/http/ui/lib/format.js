// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const DASH = "–";

export const count = (value) => (value === null || value === undefined ? DASH : whole.format(value));

export const short = (value) =>
  value === null || value === undefined ? DASH : value < 10000 ? whole.format(value) : compact.format(value);

export function percent(share) {
  if (share === null || share === undefined) return DASH;
  const value = share * 100;
  // 99.96 % is not everything.
  if (value >= 99.95 && value < 100) return "99.9 %";
  return `${value === 100 || value === 0 ? value : value.toFixed(1)} %`;
}

export function millis(value) {
  if (value === null || value === undefined) return DASH;
  if (value === 0) return "0 ms";
  if (value < 0.01) return "<0.01 ms";
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60000) return `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
  return `${Math.floor(value / 60000)} min ${Math.round((value % 60000) / 1000)} s`;
}

export function bytes(value) {
  if (value === null || value === undefined) return DASH;
  if (value < 1024) return `${value} B`;
  if (value < 1024 * 1024) return `${trim(value / 1024)} KiB`;
  return `${trim(value / 1024 / 1024)} MiB`;
}

const trim = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));

export const exactTime = (time) => `${exact.format(new Date(time))} (${time})`;
export const clockTime = (time) => clock.format(new Date(time));
export const hourTime = (time) => hour.format(new Date(time));

export function ago(time, now = Date.now()) {
  const seconds = Math.round((new Date(time).getTime() - now) / 1000);
  const distance = Math.abs(seconds);
  if (distance < 2) return "now";
  if (distance < 60) return relative.format(seconds, "second");
  if (distance < 3600) return relative.format(Math.trunc(seconds / 60), "minute");
  if (distance < 86400) return relative.format(Math.trunc(seconds / 3600), "hour");
  return relative.format(Math.trunc(seconds / 86400), "day");
}

const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 };

/** Milliseconds of `1s`, `500ms`, `2m`; a bare number is milliseconds; null when it is neither. */
export function parseDuration(text) {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$/.exec(String(text));
  return match ? Number(match[1]) * UNITS[match[2] ?? "ms"] : null;
}

/** In the greatest unit that needs no fraction, as config.toml writes it. */
export function showDuration(value) {
  const units = [["d", UNITS.d], ["h", UNITS.h], ["m", UNITS.m], ["s", UNITS.s]];
  const found = units.find(([, size]) => value > 0 && value % size === 0);
  return found ? `${value / found[1]}${found[0]}` : `${value}ms`;
}

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
