// What npm's simple-json-match says: JSON lines {filter, input} in, one line `true` or `false` each out.
// Needs `npm install` in this directory.
import { createInterface } from 'node:readline';
import simpleJsonMatch from 'simple-json-match';

const matches = simpleJsonMatch.default ?? simpleJsonMatch;
for await (const line of createInterface({ input: process.stdin })) {
  const { filter, input } = JSON.parse(line);
  process.stdout.write(`${matches(input, filter)}\n`);
}
