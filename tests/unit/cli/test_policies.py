"""`gateway policies`: help for people who write policy files."""

import msgspec

from gateway.policies.schema import json_schema
from tests.unit.cli.conftest import Installation


def test_the_schema_is_json(gateway: Installation) -> None:
    printed = gateway("policies", "schema")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert msgspec.json.decode(printed.stdout) == msgspec.json.decode(msgspec.json.encode(json_schema()))


def test_the_schema_needs_no_installation(gateway: Installation) -> None:
    assert gateway("policies", "schema", listen="nowhere").exit_code == 0
