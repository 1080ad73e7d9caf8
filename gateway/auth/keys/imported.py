"""Keys that clients have from another gateway, and go on using.

They are brought in by their SHA-256, as the other gateway kept them, so nobody has to know them. What is kept
is the HMAC of that: a stolen table is worth nothing without the pepper. They have no form of ours, and their
id does not stand in them: they are found by their hash.
"""

import hashlib
import re
from typing import Final

from gateway.auth.interfaces import KeyRefused, StoredKey
from gateway.auth.keys.api_keys import PREFIX

SHORTEST: Final = 8
LONGEST: Final = 512
"""Characters that such a key may have."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class AlreadyImported(KeyRefused):
    """Its clients are let in already, or were once and shall not be any more."""

    def __init__(self, key: StoredKey) -> None:
        revoked = " It was revoked, and what is revoked stays so." if key.revoked_at is not None else ""
        super().__init__("sha256", f"This key is here already: its id is {key.id}.{revoked}")


def may_be_imported(credential: str) -> bool:
    """Whether it could be such a key: visible ASCII, and not meant to be one of ours."""
    return (
        SHORTEST <= len(credential) <= LONGEST
        and credential.isascii()
        and credential.isprintable()
        and " " not in credential
        and not credential.startswith(PREFIX)
    )


def fingerprint(credential: str) -> str:
    """The SHA-256 of all of it, in hexadecimal."""
    return hashlib.sha256(credential.encode()).hexdigest()


def checked_fingerprint(text: str) -> str:
    """In lower case. Raises KeyRefused."""
    lower = text.strip().lower()
    if not _SHA256.fullmatch(lower):
        raise KeyRefused(
            "sha256",
            "`sha256` is the SHA-256 of the whole key: 64 hexadecimal digits. The key itself is not wanted.",
        )
    return lower
