"""What schemathesis has to be told of this API: lines of JSON are sent as the text that they are."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return str(value).encode("utf-8", errors="replace")
