// An endpoint on loopback that records requests and answers as configured.

import { createServer } from "node:http";

export async function startReceiver() {
  const received = [];
  const answers = new Map();
  const waiting = new Set();
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      received.push({ path: request.url, headers: request.headers, body, at: Date.now() });
      const plan = answers.get(request.url) ?? [];
      const status = plan.length > 1 ? plan.shift() : (plan[0] ?? 200);
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ received: status < 300 }));
      waiting.forEach((look) => look());
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const at = (path) => received.filter((one) => one.path === path);
  return {
    url: (path) => base + path,
    at,
    /** The answers to come; the last one stays. */
    answer: (path, ...statuses) => answers.set(path, statuses),
    /** Resolves when a number of requests have come, or says how many did. */
    wait: (path, count, patience = 15000) => new Promise((resolve, reject) => {
      const timer = setTimeout(() => end(() => reject(new Error(`${at(path).length} of ${count} requests came to ${path}`))), patience);
      const look = () => at(path).length >= count && end(() => resolve(at(path)));
      const end = (then) => {
        clearTimeout(timer);
        waiting.delete(look);
        then();
      };
      waiting.add(look);
      look();
    }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
