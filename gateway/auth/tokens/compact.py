"""A signed token in its compact form, taken apart strictly: what two readers could read differently is none.

Nothing that is read here is believed yet. So there is one way to spell a token (three parts of base64url
without padding, spaces or stray bits), no name stands twice in any object of it, and it is short.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

LONGEST: Final = 16 * 1024
"""Characters of a token; a longer one is not looked at."""

_FORM: Final = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)
_TOKEN: Final = re.compile(rb'("(?:[^"\\]++|\\.)*+")[ \t\n\r]*+(:)?|[{}]')
_decode: Final = msgspec.json.Decoder().decode
_decode_string: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class SignedToken:
    """What a token says, before anything is known of who says it."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    """What the signature stands under."""
    signature: bytes = field(repr=False)


def read_token(text: str) -> SignedToken | None:
    """None for whatever is not exactly a signed token with a JSON object in it."""
    form = _FORM.fullmatch(text) if len(text) <= LONGEST else None
    if form is None:
        return None
    try:
        header, claims = _object(base64url(form[1])), _object(base64url(form[2]))
        return SignedToken(header, claims, text[: form.end(2)].encode(), base64url(form[3]))
    except (ValueError, RecursionError):
        return None


def base64url(text: str) -> bytes:
    """What this stands for. Raises ValueError unless it is the one spelling of it, without padding."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != text.encode():
        raise ValueError("another spelling of the same bytes")
    return data


def _object(data: bytes) -> dict[str, Any]:
    """Raises ValueError, RecursionError."""
    members = _decode(data)
    if type(members) is not dict:
        raise ValueError("not an object")
    if _encode(members) != data:  # if equal, no name was dropped: most issuers write like that
        _refuse_repeated(data)
    return members


def _refuse_repeated(data: bytes) -> None:
    """Raises ValueError when an object has a name twice, at any depth. The data is known to be valid JSON."""
    open_objects: list[set[str]] = []
    for token in _TOKEN.finditer(data):
        if token[2]:
            name = _decode_string(token[1])
            if name in open_objects[-1]:
                raise ValueError("a name stands twice")
            open_objects[-1].add(name)
        elif token[0] == b"{":
            open_objects.append(set())
        elif token[0] == b"}":
            open_objects.pop()
