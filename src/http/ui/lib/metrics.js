// Numbers that only /metrics has: how often each transformer ran, how long it took, and how often it failed.

import { send } from "./api.js";

const LINE = /^(\w+)\{([^}]*)\} (\S+)/;

function labels(text) {
  return Object.fromEntries([...text.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)].map((match) => [match[1], match[2]]));
}

/** Where this share of all lies, by the buckets' upper ends in between. */
function quantile(buckets, share) {
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return null;
  let before = { le: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= total * share) {
      if (bucket.le === Infinity) return before.le * 1000;
      const within = bucket.count === before.count ? 1 : (total * share - before.count) / (bucket.count - before.count);
      return (before.le + (bucket.le - before.le) * within) * 1000;
    }
    before = bucket;
  }
  return null;
}

/** {name: {calls, errors, p50, p99}}; empty where the metrics are not to be had. */
export async function transformerMetrics(signal) {
  const found = {};
  const of = (name) => (found[name] ??= { calls: 0, errors: 0, buckets: [] });
  try {
    const text = await (await send("GET", "/metrics", { signal })).text();
    for (const line of text.split("\n")) {
      const match = line.startsWith("tenterhook_transform") && LINE.exec(line);
      if (!match) continue;
      const { transformer, le } = labels(match[2]);
      const value = Number(match[3]);
      if (match[1].endsWith("duration_seconds_count")) of(transformer).calls = value;
      else if (match[1].endsWith("errors_total")) of(transformer).errors = value;
      else if (match[1].endsWith("duration_seconds_bucket")) of(transformer).buckets.push({ le: le === "+Inf" ? Infinity : Number(le), count: value });
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return {};
  }
  return Object.fromEntries(Object.entries(found).map(([name, { calls, errors, buckets }]) => {
    buckets.sort((a, b) => a.le - b.le);
    return [name, { calls, errors, p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99) }];
  }));
}
