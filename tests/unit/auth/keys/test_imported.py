"""Keys of other gateways."""

import hashlib

import pytest

from gateway.auth.interfaces import KeyRefused
from gateway.auth.keys.api_keys import checksum
from gateway.auth.keys.imported import AlreadyImported, checked_fingerprint, fingerprint, may_be_imported
from tests.unit.auth.conftest import a_stored_key

_BODY = f"gwk_{'a' * 12}_{'b' * 43}"
A_KEY = _BODY + checksum(_BODY)


@pytest.mark.parametrize("text", ["sk-1234567", "sk-proj-" + "x" * 156, "x" * 512, "!~!~!~!~"])
def test_visible_ascii_may_be_a_key_of_another_gateway(text: str) -> None:
    assert may_be_imported(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short-7",
        "x" * 513,
        "with a space",
        "with\ta tab",
        "ünïcode-key",
        "\udce9" * 10,
        A_KEY,
        "gwk_abcdef",
    ],
)
def test_what_else_there_is_costs_no_look_up(text: str) -> None:
    assert not may_be_imported(text)


def test_a_key_is_known_by_the_sha256_of_all_of_it() -> None:
    assert fingerprint("sk-1234567") == hashlib.sha256(b"sk-1234567").hexdigest()


@pytest.mark.parametrize("text", ["AB" * 32, f" {'ab' * 32}\n"])
def test_a_hash_is_spelled_in_one_way(text: str) -> None:
    assert checked_fingerprint(text) == "ab" * 32


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "gh" * 32, "sk-1234567", "٣" * 64])
def test_what_is_no_hash_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyRefused, match="64 hexadecimal digits") as refused:
        checked_fingerprint(text)
    assert refused.value.field == "sha256"
    assert not text or text not in str(refused.value)


def test_a_key_that_is_here_already_is_told_by_its_id() -> None:
    error = AlreadyImported(a_stored_key("k7"))
    assert (error.field, str(error)) == ("sha256", "This key is here already: its id is k7.")


def test_of_a_key_that_was_revoked_it_is_said_that_it_stays_so() -> None:
    assert "what is revoked stays so" in str(AlreadyImported(a_stored_key(revoked_at=5)))
