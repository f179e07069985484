"""Runs in any Python: no WebAssembly involved."""

import json
import unittest
from types import SimpleNamespace

import transformer


def event(type, data):
    return SimpleNamespace(
        id="evt_1", type=type, timestamp="2026-01-28T10:30:45.123Z", data=json.dumps(data), metadata=None, tenant=None
    )


class Transforming(unittest.TestCase):
    def test_an_event_is_greeted(self):
        made = transformer.transform([event("user.created", {"name": "Zoë"})], '{"greeting": "Hi"}')
        self.assertEqual(json.loads(made.body), {"text": "Hi, Zoë", "type": "user.created"})

    def test_a_test_event_is_dropped(self):
        self.assertIsInstance(transformer.transform([event("test.ping", None)], "{}"), transformer.Drop)

    def test_a_misspelt_option_is_refused(self):
        with self.assertRaisesRegex(transformer.Refused, "unknown option `greting`"):
            transformer.check('{"greting": "Hi"}')
        transformer.check('{"greeting": "Hi"}')

    def test_the_schema_of_the_options_is_json(self):
        self.assertEqual(json.loads(transformer.OPTIONS_SCHEMA)["type"], "object")


if __name__ == "__main__":
    unittest.main()
