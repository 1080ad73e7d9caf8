"""How a key looks: `gwk_<id>_<secret><checksum>`, 66 characters of ASCII.

The id (12 base62 characters) is public: it is what logs, lists and the ledger show. The secret (43 base62
characters, 256 bits) exists in the client's hands only; kept is an HMAC of the whole key. The checksum
(CRC-32 of all before it, 6 base62 characters) refuses typos and random strings without a question to the
store.

Secret scanners match `\\bgwk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\\b`, and can check the checksum for certainty.
"""

import hmac
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "gwk_"
LENGTH: Final = 66

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHARACTERS: Final = frozenset(_BASE62)
_ID: Final = 12
_SECRET: Final = 43
_CHECKSUM: Final = 6
_ID_END: Final = len(PREFIX) + _ID


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A string with the form and the checksum of a key. Whether there is such a key is another question."""

    id: str
    text: str = field(repr=False)


def subject_of(team: str, name: str) -> str:
    """Who asks with a key: the keys of one name, one after the other, are one subject."""
    return f"key:{team}/{name}"


def name_in(subject: str) -> str:
    """The key's name in such a subject; empty for one of another kind."""
    return subject.partition("/")[2] if subject.startswith("key:") else ""


def new_key() -> tuple[str, str]:
    """A key's public id, and the key itself: to be shown once, and kept nowhere."""
    key_id = new_key_id()
    return key_id, key_with(key_id)


def new_key_id() -> str:
    """A public id alone: for a key whose holders have it already."""
    return _random(_ID)


def key_with(key_id: str) -> str:
    """A key of this id, with a secret that nobody has seen: to be shown once, and kept nowhere."""
    body = f"{PREFIX}{key_id}_{_random(_SECRET)}"
    return body + checksum(body)


def parse_key(text: str) -> ParsedKey | None:
    """None for what cannot be a key. The cost does not grow with what was sent."""
    if len(text) != LENGTH or not text.startswith(PREFIX) or text[_ID_END] != "_":
        return None
    key_id = text[len(PREFIX) : _ID_END]
    if not _CHARACTERS.issuperset(key_id + text[_ID_END + 1 :]):
        return None
    if checksum(text[:-_CHECKSUM]) != text[-_CHECKSUM:]:
        return None
    return ParsedKey(key_id, text)


def checksum(body: str) -> str:
    """The six characters that follow the id and the secret."""
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits


def hash_secret(pepper: bytes, key: str) -> bytes:
    """What is kept of a key: HMAC-SHA256 over all of it, so that a stolen table is worth nothing alone."""
    return KeyHash(pepper).of(key)


class KeyHash:
    """The same for many keys: the pepper is worked in once, which halves the cost of each."""

    def __init__(self, pepper: bytes) -> None:
        self._peppered = hmac.new(pepper, digestmod="sha256")

    def of(self, key: str) -> bytes:
        hash_ = self._peppered.copy()
        hash_.update(key.encode())
        return hash_.digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))
