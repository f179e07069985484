"""What official Python libraries say of signatures: JSON lines {headers, body_base64, secret} in, one JSON verdict
{ok, judges: {library: "ok" or what it objects to}} a line out. Run it with the Python that ./install made.

standardwebhooks judges `webhook-signature`, stripe `x-tenterhook-signature`, slack_sdk `x-slack-signature`.
"""

import base64
import json
import sys

import stripe
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

TOLERANCE_SECONDS = 300


def standard(headers, body, secret):
    # Without the prefix the library would decode base64 all the same: a plain secret is its own bytes.
    key = secret if secret.startswith("whsec_") else secret.encode()
    Webhook(key).verify(body, headers)


def timestamped(headers, body, secret):
    stripe.WebhookSignature.verify_header(body.decode(), headers["x-tenterhook-signature"], secret, TOLERANCE_SECONDS)


def slack(headers, body, secret):
    if not SignatureVerifier(secret).is_valid_request(body, headers):
        raise ValueError("the signature does not match")


JUDGES = {
    "standardwebhooks": ("webhook-signature", standard),
    "stripe": ("x-tenterhook-signature", timestamped),
    "slack_sdk": ("x-slack-signature", slack),
}


def judge(line):
    request = json.loads(line)
    headers = {name.lower(): value for name, value in request["headers"].items()}
    body = base64.b64decode(request["body_base64"])
    verdicts = {}
    for name, (header, check) in JUDGES.items():
        # No library knows `v1a`; verify.mjs judges it.
        if header not in headers or headers[header].startswith("v1a,"):
            continue
        try:
            check(headers, body, request["secret"])
            verdicts[name] = "ok"
        except Exception as error:  # each library has exceptions of its own
            verdicts[name] = f"{type(error).__name__}: {error}"
    ok = bool(verdicts) and all(verdict == "ok" for verdict in verdicts.values())
    return {"ok": ok, "judges": verdicts}


for line in sys.stdin:
    if line.strip():
        print(json.dumps(judge(line)), flush=True)
