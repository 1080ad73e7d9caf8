"""The form of keys, and what of them can be told without a store."""

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import api_keys
from gateway.auth.keys.api_keys import (
    KeyHash,
    hash_secret,
    key_with,
    name_in,
    new_key,
    new_key_id,
    parse_key,
    subject_of,
)

ID, KEY = new_key()
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_new_key_is_a_key() -> None:
    parsed = parse_key(KEY)
    assert parsed is not None
    assert parsed.id == ID


def test_two_new_keys_have_nothing_in_common_but_the_prefix() -> None:
    other_id, other = new_key()
    assert other_id != ID
    assert other[17:] != KEY[17:]


def test_another_secret_under_one_id_is_a_key_too() -> None:
    other = key_with(ID)
    parsed = parse_key(other)
    assert parsed is not None
    assert (parsed.id, other == KEY) == (ID, False)


def test_an_id_alone_looks_like_that_of_a_key() -> None:
    assert parse_key(key_with(new_key_id())) is not None


def test_the_scanner_expression_of_the_docstring_finds_keys() -> None:
    expression = re.search(r"`(\\bgwk_.*?)`", api_keys.__doc__ or "")
    assert expression is not None
    assert re.findall(expression[1], f'OPENAI_API_KEY="{KEY}"; x') == [KEY]


def test_the_secret_has_256_bits() -> None:
    assert 62**43 >= 2**256


@given(position=st.integers(0, 65), character=st.sampled_from(BASE62 + "_-. é"))
def test_any_one_wrong_character_is_seen_without_a_store(position: int, character: str) -> None:
    typo = KEY[:position] + character + KEY[position + 1 :]
    assert (parse_key(typo) is None) == (typo != KEY)


@given(first=st.integers(0, 65), second=st.integers(0, 65))
def test_two_swapped_characters_are_seen_without_a_store(first: int, second: int) -> None:
    letters = list(KEY)
    letters[first], letters[second] = letters[second], letters[first]
    assert (parse_key("".join(letters)) is None) == ("".join(letters) != KEY)


@given(st.text())
def test_what_is_not_a_key_is_refused_and_not_a_fault(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "gwk_", KEY[:-1], KEY + "x", KEY.upper(), f" {KEY}", f"sk-{KEY[3:]}", KEY * 1000, "\udce9" * 66],
    ids=["empty", "prefix", "cut", "longer", "shouted", "indented", "other prefix", "huge", "surrogates"],
)
def test_what_is_nearly_a_key_is_refused(text: str) -> None:
    assert parse_key(text) is None


def test_a_parsed_key_does_not_show_itself() -> None:
    assert KEY[17:] not in repr(parse_key(KEY))


def test_a_key_is_kept_as_an_hmac_of_all_of_it() -> None:
    assert hash_secret(b"pepper", KEY) == hmac.new(b"pepper", KEY.encode(), hashlib.sha256).digest()


def test_without_the_pepper_the_hash_is_another() -> None:
    assert hash_secret(b"pepper", KEY) != hash_secret(b"salt", KEY)


def test_a_hash_for_many_keys_is_that_for_one() -> None:
    hashes = KeyHash(b"pepper")
    _, other = new_key()
    assert [hashes.of(KEY), hashes.of(other)] == [hash_secret(b"pepper", KEY), hash_secret(b"pepper", other)]


def test_a_subject_tells_the_name_of_its_key() -> None:
    assert name_in(subject_of("search", "nightly/index")) == "nightly/index"


def test_a_subject_of_another_kind_tells_none() -> None:
    assert name_in("user:alice/web") == ""
