// What official JavaScript libraries say of signatures: JSON lines {headers, body_base64, secret} in, one JSON verdict
// {ok, judges: {library: "ok" or what it objects to}} a line out. Needs ./install.
//
// standardwebhooks judges `webhook-signature`; @octokit/webhooks-methods judges `x-hub-signature-256` and
// `x-webhook-signature`, which is the same form.
import { createInterface } from 'node:readline';
import { verify as verifyGithub } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';

function standard(headers, body, secret) {
  const webhook = secret.startsWith('whsec_') ? new Webhook(secret) : new Webhook(new TextEncoder().encode(secret), { format: 'raw' });
  webhook.verify(body, headers);
}

const sha256 = (header) => async (headers, body, secret) => {
  if (!(await verifyGithub(secret, body, headers[header]))) throw new Error('the signature does not match');
};

const JUDGES = [
  ['standardwebhooks', 'webhook-signature', standard],
  ['@octokit/webhooks-methods', 'x-hub-signature-256', sha256('x-hub-signature-256')],
  ['@octokit/webhooks-methods (sha256)', 'x-webhook-signature', sha256('x-webhook-signature')],
];

async function judge(line) {
  const request = JSON.parse(line);
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const body = Buffer.from(request.body_base64, 'base64').toString('utf8');
  const judges = {};
  for (const [name, header, check] of JUDGES) {
    if (!(header in headers)) continue;
    try {
      await check(headers, body, request.secret);
      judges[name] = 'ok';
    } catch (error) {
      judges[name] = `${error.name}: ${error.message}`;
    }
  }
  const verdicts = Object.values(judges);
  return { ok: verdicts.length > 0 && verdicts.every((verdict) => verdict === 'ok'), judges };
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) process.stdout.write(`${JSON.stringify(await judge(line))}\n`);
}
