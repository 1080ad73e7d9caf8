from typing import Any

import pytest

from gateway.simulator.errors import azure_error, error, incorrect_key


def test_an_error_has_all_four_keys() -> None:
    body: Any = error(400, "No.").parts[0].data

    assert body == {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}}


def test_azure_speaks_otherwise() -> None:
    assert azure_error(404, "404", "No.").parts[0].data == {"error": {"code": "404", "message": "No."}}


@pytest.mark.parametrize(("key", "shown"), [("sk-abcdefghijklmnop", "sk-ab***op"), ("sk-short", "***")])
def test_a_wrong_key_is_shown_masked(key: str, shown: str) -> None:
    body: Any = incorrect_key(key).parts[0].data

    assert f"provided: {shown}." in body["error"]["message"]
    assert key not in body["error"]["message"]
