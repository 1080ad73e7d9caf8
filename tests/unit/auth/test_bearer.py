"""Which credential a request carries."""

import pytest
from multidict import CIMultiDict

from gateway.auth.bearer import find_credential
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer k1")],
        [("authorization", "bearer k1")],
        [("AUTHORIZATION", "  BEARER   k1  ")],
        [("api-key", "k1")],
        [("x-api-key", " k1 ")],
        [("Authorization", "Bearer k1"), ("api-key", "k1")],
        [("api-key", "k1"), ("x-api-key", "k1")],
        [("Authorization", "Bearer"), ("api-key", "k1")],
        [("Authorization", "Bearer "), ("x-api-key", "k1")],
        [("Authorization", "Bearer k1"), ("api-key", "")],
    ],
)
def test_one_credential_is_found_where_clients_put_it(headers: list[tuple[str, str]]) -> None:
    assert find_credential(CIMultiDict(headers)) == "k1"


@pytest.mark.parametrize(
    "headers",
    [[], [("Authorization", "Bearer ")], [("Authorization", "Bearer"), ("api-key", " ")], [("cookie", "k1")]],
)
def test_no_credential_is_none(headers: list[tuple[str, str]]) -> None:
    assert find_credential(CIMultiDict(headers)) is None


@pytest.mark.parametrize("value", ["Basic dXNlcjpodW50ZXIy", "hunter2", "Token hunter2", ""])
def test_another_scheme_than_bearer_is_refused_without_quoting_it(value: str) -> None:
    denied = find_credential(CIMultiDict([("Authorization", value)]))
    assert isinstance(denied, Deny)
    assert denied.code is ErrorCode.INVALID_API_KEY
    assert "hunter2" not in denied.reason
    assert "dXNl" not in denied.reason


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer k1"), ("Authorization", "Bearer k2")],
        [("Authorization", "Bearer k1"), ("authorization", "Bearer k1")],
        [("Authorization", "Bearer k1"), ("api-key", "k2")],
        [("Authorization", "Bearer k1"), ("x-api-key", "k2")],
        [("api-key", "k1"), ("x-api-key", "k2")],
        [("api-key", "k1"), ("api-key", "k2")],
    ],
)
def test_more_than_one_credential_is_a_bad_request(headers: list[tuple[str, str]]) -> None:
    denied = find_credential(CIMultiDict(headers))
    assert isinstance(denied, Deny)
    assert denied.code is ErrorCode.BAD_REQUEST
    assert "k1" not in denied.reason
