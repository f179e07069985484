"""Judges messages by the official Python libraries: slack_sdk, pagerduty, cloudevents.

Standard input: lines of {"kind", "case", "headers", "body"}. Standard output: a line {"ok", "judges", "error"} for each."""

import json
import sys
from unittest import mock

import httpx2
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from pagerduty import EventsApiV2Client
from slack_sdk.models.blocks import Block


def slack(headers, body):
    message = json.loads(body)
    for blocks in [message.get("blocks", [])] + [a["blocks"] for a in message.get("attachments", [])]:
        parsed = Block.parse_all(blocks)
        assert len(parsed) == len(blocks) and len(blocks) <= 50, "a block is unknown to slack_sdk"
        for block in parsed:
            block.validate_json()
    return ["slack_sdk"]


def pagerduty(headers, body):
    """What the official client posts when it is told the same must be what is sent."""
    message = json.loads(body)
    client = EventsApiV2Client(message["routing_key"])
    # `client`, `client_url`: fields of the API that the library has no parameters for.
    extra = {key: message.pop(key) for key in ("client", "client_url") if key in message}
    assert extra.get("client") == "Tenterhook"
    payload = dict(message["payload"])
    details = payload.pop("custom_details")
    answer = json.dumps({"status": "success", "message": "", "dedup_key": message["dedup_key"]}).encode()
    posted = []

    def take(self, method, url, **arguments):
        posted.append(arguments["json"])
        return httpx2.Response(202, content=answer, request=httpx2.Request(method, url))

    with mock.patch.object(httpx2.Client, "request", take):
        if message["event_action"] == "trigger":
            client.trigger(
                payload.pop("summary"),
                payload.pop("source"),
                dedup_key=message["dedup_key"],
                severity=payload.pop("severity"),
                payload=payload,
                custom_details=details,
                links=message.get("links"),
            )
        elif message["event_action"] == "resolve":
            client.resolve(message["dedup_key"])
        else:
            client.acknowledge(message["dedup_key"])
    (posted,) = posted
    # Where the library puts the key depends on its version; that it was told ours is all there is to compare.
    posted.setdefault("routing_key", message["routing_key"])
    if message["event_action"] != "trigger":
        # The library sends no payload with these; PagerDuty ignores one.
        message.pop("payload"), message.pop("links", None)
    assert posted == message, f"the official client posts {posted}"
    return ["pagerduty"]


def cloudevents(headers, body):
    kind = headers.get("content-type", "")
    if kind.startswith("application/cloudevents-batch"):
        singles = [json.dumps(event) for event in json.loads(body)]
        events = [from_http_event(HTTPMessage({"content-type": "application/cloudevents+json"}, one.encode())) for one in singles]
    else:
        events = [from_http_event(HTTPMessage(headers, body.encode()))]
    for event in events:
        assert event.get_specversion() == "1.0" and event.get_id() and event.get_source() and event.get_type()
        assert event.get_time() is not None
    return ["cloudevents"]


JUDGES = {"slack": slack, "pagerduty": pagerduty, "cloudevents": cloudevents}

for line in sys.stdin:
    asked = json.loads(line)
    judge = JUDGES.get(asked["kind"])
    verdict = {"kind": asked["kind"], "case": asked["case"], "ok": True, "judges": [], "error": None}
    try:
        verdict["judges"] = judge(asked["headers"], asked["body"]) if judge else []
    except Exception as error:  # whatever the library says
        verdict.update(ok=False, error=f"{type(error).__name__}: {error}")
    print(json.dumps(verdict), flush=True)
