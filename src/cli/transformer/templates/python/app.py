"""The border between Tenterhook and transformer.py: usually nothing to change here."""

from componentize_py_types import Err
from wit_world.imports import host, types

import transformer


class WitWorld:
    def describe(self) -> types.Description:
        return types.Description(
            name=transformer.NAME,
            version=transformer.VERSION,
            summary=transformer.SUMMARY,
            options_schema=transformer.OPTIONS_SCHEMA,
        )

    def check(self, options: str) -> None:
        try:
            transformer.check(options)
        except transformer.Refused as refused:
            raise Err(str(refused))

    def transform(self, events: list[types.Event], options: str) -> types.Outcome:
        def log(message: str) -> None:
            host.log(host.Level.INFO, message)

        try:
            made = transformer.transform(events, options, log)
        except transformer.Refused as refused:
            raise Err(str(refused))
        if isinstance(made, transformer.Drop):
            return types.Outcome_Drop(made.reason)
        # A text is sent as UTF-8; types.Body_Bytes is for anything else. No method is POST, no url the webhook's own.
        request = types.Request(body=types.Body_Text(made.body), headers=made.headers, method=None, url=None)
        return types.Outcome_Request(request)
