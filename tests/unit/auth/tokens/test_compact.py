"""A token is taken apart strictly, or not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.tokens.compact import LONGEST, base64url, read_token
from tests.support.issuer import base64url as spelled

HEADER = spelled(b'{"alg":"ES256"}')
CLAIMS = spelled(b'{"iss":"a"}')


def token(header: bytes = b'{"alg":"ES256"}', claims: bytes = b"{}", signature: bytes = b"signature") -> str:
    return ".".join(map(spelled, (header, claims, signature)))


def test_a_token_is_its_header_its_claims_and_what_is_signed() -> None:
    read = read_token(f"{HEADER}.{CLAIMS}.{spelled(b'signature')}")
    assert read is not None
    assert (read.header, read.claims) == ({"alg": "ES256"}, {"iss": "a"})
    assert (read.signed, read.signature) == (f"{HEADER}.{CLAIMS}".encode(), b"signature")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        HEADER,
        f"{HEADER}.{CLAIMS}",
        f"{HEADER}.{CLAIMS}.",
        f".{CLAIMS}.AAAA",
        f"{HEADER}..AAAA",
        f"{HEADER}.{CLAIMS}.AAAA.AAAA",
        f"{HEADER}.{CLAIMS}.AAAA.",
        f"{HEADER}.{CLAIMS}.AAA=",
        f"{HEADER}.{CLAIMS}.AAAA\n",
        f" {HEADER}.{CLAIMS}.AAAA",
        f"{HEADER}.{CLAIMS}.AA+A",
        f"{HEADER}.{CLAIMS}.AA/A",
        f"{HEADER}.{CLAIMS}.AAAAA",
        f"{HEADER}.{CLAIMS}.AB",
        f"{HEADER}.{CLAIMS}.AÄAA",
        f"{HEADER}.{CLAIMS}.AA\0A",
    ],
)
def test_what_has_another_form_is_none(text: str) -> None:
    assert read_token(text) is None


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b"{} {}",
        b'{"a":NaN}',
        b'{"a":1,}',
        b"{'a':1}",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":1e999}',
        b"[" * 9_000,
        b'{"a":' * 1_500,
    ],
)
def test_what_is_no_json_object_is_none(claims: bytes) -> None:
    assert read_token(token(claims=claims)) is None
    assert read_token(token(header=claims)) is None


@pytest.mark.parametrize(
    "claims",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[{"a":1}, {"b":1,"b":2}]}',
        b'{ "a" : "{", "b": 1, "a" : 2 }',
        b'{"a\\\\":1,"a\\\\":2}',
    ],
)
def test_a_name_that_stands_twice_makes_it_none(claims: bytes) -> None:
    assert read_token(token(claims=claims)) is None
    assert read_token(token(header=claims)) is None


@pytest.mark.parametrize(
    "claims",
    [
        b'{ "a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}] }',
        b'{"a":"\\"a\\":1,\\"a\\"", "b":"{}"}',
        b'{"a":1e2}',
        b'{"\\u00e4":"\\/"}',
        b'{"a":123456789012345678901234567890}',
    ],
)
def test_json_may_be_written_in_any_way(claims: bytes) -> None:
    read = read_token(token(claims=claims))
    assert read is not None
    assert read.claims == json.loads(claims)


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    longest = token() + "A" * (LONGEST - len(token()))
    assert read_token(longest) is not None
    assert read_token(f"{longest}AAAA") is None


def test_a_token_does_not_show_itself() -> None:
    assert "iss" not in repr(read_token(f"{HEADER}.{CLAIMS}.AAAA"))


NAMES = st.sampled_from(["a", "b", ":", '"', "\\", "{", "ä", "\\u0061"])
VALUES: Any = st.recursive(
    st.one_of(NAMES, st.integers(), st.none()),
    lambda below: st.one_of(st.lists(below, max_size=3), st.lists(st.tuples(NAMES, below), max_size=4)),
    max_leaves=12,
)


def is_object(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, tuple) for each in value)


def written(value: Any, space: str) -> str:
    """Lists of pairs are objects, which may have a name twice."""
    if is_object(value) and value:
        inside = ",".join(
            f"{space}{json.dumps(name)}{space}:{written(below, space)}" for name, below in value
        )
        return f"{{{inside}{space}}}"
    if isinstance(value, list):
        return f"[{','.join(written(each, space) for each in value)}]"
    return json.dumps(value)


def repeats(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    if is_object(value):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(repeats(below) for _, below in value)
    return any(map(repeats, value))


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=4), st.sampled_from(["", " ", "\n"]))
def test_it_is_none_if_and_only_if_a_name_stands_twice(members: Any, space: str) -> None:
    read = read_token(token(claims=written(members, space).encode()))
    assert (read is None) == repeats(members)


@given(st.binary(max_size=80))
def test_every_bytes_have_one_spelling(data: bytes) -> None:
    assert base64url(spelled(data)) == data


@given(st.text("AB_-=+/ \n", max_size=9))
def test_no_other_spelling_is_read(text: str) -> None:
    try:
        data = base64url(text)
    except ValueError:
        return
    assert spelled(data) == text
