"""What the Python library jsonschema says of configurations: the schema's file as the argument, JSON lines {toml} in,
one JSON list of complaints a line out. Needs Python 3.11 for its TOML reader.
"""

import datetime
import json
import sys
import tomllib

from jsonschema import Draft202012Validator

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)


def complaints(text):
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [f"no TOML: {error}"]
    # Dates become strings, as Tenterhook hands them on.
    value = json.loads(json.dumps(value, default=lambda date: date.isoformat() if isinstance(date, (datetime.date, datetime.time)) else str(date)))
    return [f"{error.message} at {error.json_path}" for error in validator.iter_errors(value)]


for line in sys.stdin:
    if line.strip():
        print(json.dumps(complaints(json.loads(line)["toml"])), flush=True)
