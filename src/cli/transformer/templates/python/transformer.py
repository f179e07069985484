"""@NAME@: a Tenterhook transformer. Plain Python: tests run it as it is (see test_transformer.py)."""

import json
from dataclasses import dataclass, field

NAME = "@NAME@"
VERSION = "0.1.0"
SUMMARY = "Greets every event"
OPTIONS_SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "greeting": {"type": "string", "minLength": 1, "default": "Hello", "description": "What the text begins with"}
        },
    }
)


class Refused(Exception):
    """Shown to the person who wrote the options, or as the error of the attempt."""


@dataclass
class Request:
    body: str
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Drop:
    reason: str


def check(text: str) -> dict:
    """Called when a configuration is loaded: are these options good?"""
    options = json.loads(text)
    for name in options:
        if name != "greeting":
            raise Refused(f"unknown option `{name}`; there is: greeting")
    greeting = options.get("greeting", "Hello")
    if not isinstance(greeting, str) or not greeting:
        raise Refused("option `greeting` must be a text, and not an empty one")
    return options


def transform(events, text: str, log=print) -> Request | Drop:
    """Called for each delivery: one event, or several of a webhook with `batch` (oldest first)."""
    greeting = json.loads(text).get("greeting", "Hello")
    event = events[0]
    if event.type.startswith("test."):
        return Drop("tests are not greeted")
    data = json.loads(event.data)
    name = data.get("name", "world") if isinstance(data, dict) else "world"
    log(f"greeting {event.id}")
    body = json.dumps({"text": f"{greeting}, {name}", "type": event.type}, ensure_ascii=False)
    return Request(body, [("x-greeter", "1")])
