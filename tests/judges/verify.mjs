// What official JavaScript libraries say of signatures: JSON lines {headers, body_base64, secret} in, one JSON verdict
// {ok, judges: {library: "ok" or what it objects to}} a line out. Needs ./install.
//
// standardwebhooks judges `webhook-signature`; @octokit/webhooks-methods judges `x-hub-signature-256` and
// `x-webhook-signature`, which is the same form; @shopify/shopify-api judges `x-shopify-hmac-sha256`. Ed25519 (`v1a`),
// which no library knows, and a dialect of one's own under `x-my-sig` are judged by node:crypto.
import '@shopify/shopify-api/adapters/node';
import { createHmac, createPublicKey, timingSafeEqual, verify as verifySignature } from 'node:crypto';
import { createInterface } from 'node:readline';
import { verify as verifyGithub } from '@octokit/webhooks-methods';
import { ApiVersion, LogSeverity, shopifyApi } from '@shopify/shopify-api';
import { Webhook } from 'standardwebhooks';

function standard(headers, body, secret) {
  const webhook = secret.startsWith('whsec_') ? new Webhook(secret) : new Webhook(new TextEncoder().encode(secret), { format: 'raw' });
  webhook.verify(body, headers);
}

const sha256 = (header) => async (headers, body, secret) => {
  if (!(await verifyGithub(secret, body, headers[header]))) throw new Error('the signature does not match');
};

/** The key that Standard Webhooks writes as `whpk_`, in DER: RFC 8410 §4. */
function ed25519(headers, body, secret) {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(secret.replace(/^whpk_/, ''), 'base64')]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  const message = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const entries = headers['webhook-signature'].split(' ').filter((entry) => entry.startsWith('v1a,'));
  const holds = (entry) => verifySignature(null, Buffer.from(message), key, Buffer.from(entry.slice(4), 'base64'));
  if (!entries.some(holds)) throw new Error('the signature does not match');
}

async function shopify(headers, body, secret) {
  const apiVersion = Object.values(ApiVersion)[0];
  const logger = { level: LogSeverity.Error };
  const app = shopifyApi({ apiKey: 'x', apiSecretKey: secret, hostName: 'example.com', apiVersion, isEmbeddedApp: false, logger });
  const verdict = await app.webhooks.validate({ rawBody: body, rawRequest: { method: 'POST', url: '/', headers } });
  if (!verdict.valid) throw new Error(JSON.stringify(verdict));
}

/** `t={timestamp},s={signature}` over `{timestamp}.{body}`. */
function ownDialect(headers, body, secret) {
  const [, time, signature] = /^t=(\d+),s=([0-9a-f]{64})$/.exec(headers['x-my-sig']);
  const expected = createHmac('sha256', secret).update(`${time}.${body}`).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, 'hex'))) throw new Error('the signature does not match');
}

const isEd25519 = (headers) => headers['webhook-signature']?.startsWith('v1a,');

const JUDGES = [
  ['standardwebhooks', 'webhook-signature', standard, (headers) => !isEd25519(headers)],
  ['node:crypto (v1a)', 'webhook-signature', ed25519, isEd25519],
  ['@shopify/shopify-api', 'x-shopify-hmac-sha256', shopify],
  ['node:crypto (template)', 'x-my-sig', ownDialect],
  ['@octokit/webhooks-methods', 'x-hub-signature-256', sha256('x-hub-signature-256')],
  ['@octokit/webhooks-methods (sha256)', 'x-webhook-signature', sha256('x-webhook-signature')],
];

async function judge(line) {
  const request = JSON.parse(line);
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const body = Buffer.from(request.body_base64, 'base64').toString('utf8');
  const judges = {};
  for (const [name, header, check, applies = () => true] of JUDGES) {
    if (!(header in headers) || !applies(headers)) continue;
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
