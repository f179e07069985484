"""What official Python libraries say of signatures: JSON lines {headers, body_base64, secret} in, one JSON verdict
{ok, judges: {library: "ok" or what it objects to}} a line out. Run it with the Python that ./install made.

standardwebhooks judges `webhook-signature`, stripe judges `x-tenterhook-signature`.
"""

import base64
import json
import sys

import stripe
from standardwebhooks import Webhook

TOLERANCE_SECONDS = 300


def standard(headers, body, secret):
    # Without the prefix the library would decode base64 all the same: a plain secret is its own bytes.
    key = secret if secret.startswith("whsec_") else secret.encode()
    Webhook(key).verify(body, headers)


def timestamped(headers, body, secret):
    stripe.WebhookSignature.verify_header(body.decode(), headers["x-tenterhook-signature"], secret, TOLERANCE_SECONDS)


JUDGES = {
    "standardwebhooks": ("webhook-signature", standard),
    "stripe": ("x-tenterhook-signature", timestamped),
}


def judge(line):
    request = json.loads(line)
    headers = {name.lower(): value for name, value in request["headers"].items()}
    body = base64.b64decode(request["body_base64"])
    verdicts = {}
    for name, (header, check) in JUDGES.items():
        if header not in headers:
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
