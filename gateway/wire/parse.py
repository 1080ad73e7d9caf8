"""A JSON body is read once, strictly, or refused: what two parsers could read differently is not forwarded.

**Repeated names.** msgspec keeps the last of two equal names and says nothing. Two facts show, at C speed,
whether any was dropped:

1. When encoding the document gives the very bytes that came, none was: an encoded dict has no name twice. The
   official SDKs write like that.
2. Else colons are counted. In valid JSON each `:` outside a string belongs to exactly one member, and each
   colon in a decoded string was written as `:` or as the escape `\\u003a`. So for the text as written,
   `members + colons in strings == colons in the body + escaped colons`. For every repeated name, decoding
   drops a member and its strings, which makes the left side smaller by at least one; nothing makes it larger.
   Hence the two are equal for the decoded document if, and only if, no name was repeated.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from gateway.core.call import Call
from gateway.core.endpoint import Endpoint, ModelRule
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.patch import find_members

LARGEST_COUNT: Final = 2**31 - 1
"""The largest number accepted where a count is asked for."""

COUNTS: Final = ("n", "max_tokens", "max_completion_tokens", "max_output_tokens")
"""Members by which the gateway reserves: a whole number in [0, LARGEST_COUNT], null or absent."""

_LONGEST_PARAM: Final = 64
_TOKENS_SEARCHED: Final = 100_000
"""How far the repeated name is looked for: some 50 ms. The body is refused whether or not it is found."""

_decode: Final = msgspec.json.Decoder().decode
_decode_string: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode
_TOKEN: Final = re.compile(rb'("(?:[^"\\]++|\\.)*+")[ \t\n\r]*+(:)?|[{}]')
_MALFORMED: Final = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")


def parse_json(endpoint: Endpoint, content_type: str, body: bytes, *, max_depth: int = 64) -> Call:
    """The call that these bytes make. `max_depth` counts the outermost object as 1.

    Raises Refused: `invalid_json`, `duplicate_json_key`, `json_too_deep`, `invalid_value`.
    """
    document = _document(body, max_depth)
    texts, members = _walk(document, max_depth)
    if _encode(document) != body and _colons_written(body) != members + "".join(texts).count(":"):
        raise _repeated(body)
    require_model(endpoint, document)
    _check_members(document)
    return Call(endpoint, content_type, body, document, tuple(texts))


def require_model(endpoint: Endpoint, members: Mapping[str, Any]) -> None:
    """Raises Refused (`invalid_value`, param `model`): no model where there must be one, or not a string."""
    model = members.get("model")
    if model is not None and type(model) is not str:
        raise _wrong("model", "a string")
    if not model and endpoint.model is ModelRule.REQUIRED:
        raise Refused(ErrorCode.INVALID_VALUE, "you must provide a model parameter", param="model")


def _document(body: bytes, max_depth: int) -> dict[str, Any]:
    try:
        document = _decode(body)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except msgspec.ValidationError:
        raise _out_of_range(body) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(ErrorCode.INVALID_JSON, _complaint(body, error)) from None
    if type(document) is not dict:
        raise Refused(ErrorCode.INVALID_JSON, "The request body must be one JSON object.")
    return document


def _walk(document: dict[str, Any], max_depth: int) -> tuple[list[str], int]:
    """All strings, names included, and the number of members; one level of nesting after the other."""
    texts: list[str] = []
    members = 0
    level: list[Any] = [document]
    for _ in range(max_depth):
        below: list[Any] = []
        for node in level:
            children = node
            if type(node) is dict:
                members += len(node)
                texts += node
                children = node.values()
            for child in children:
                kind = type(child)
                if kind is str:
                    texts.append(child)
                elif kind is dict or kind is list:
                    below.append(child)
        if not below:
            return texts, members
        level = below
    raise _too_deep(max_depth)


def _colons_written(body: bytes) -> int:
    r"""Colons in valid JSON, also those that are written `\u003a`.

    Pairs of backslashes are taken out first, because after a pair `u003a` is plain text.
    """
    colons = body.count(b":")
    first, last = body.find(b"\\"), body.rfind(b"\\")
    if first < 0 or body.find(b"\\u003", first, last + 5) < 0:
        return colons
    escapes = body.replace(b"\\\\", b"")
    return colons + escapes.count(b"\\u003a") + escapes.count(b"\\u003A")


def _check_members(members: dict[str, Any]) -> None:
    """Types of the members by which the gateway decides and reserves. The rest is the upstream's to judge."""
    stream = members.get("stream")
    if stream is not None and type(stream) is not bool:
        raise _wrong("stream", "true or false")
    options = members.get("stream_options")
    if options is not None and type(options) is not dict:
        raise _wrong("stream_options", "an object")
    for name in COUNTS:
        value = members.get(name)
        if value is not None and (type(value) is not int or not 0 <= value <= LARGEST_COUNT):
            raise _wrong(name, f"a whole number from 0 to {LARGEST_COUNT}")


def _wrong(member: str, wanted: str) -> Refused:
    return Refused(ErrorCode.INVALID_VALUE, f"`{member}` must be {wanted}.", param=member)


def _too_deep(max_depth: int) -> Refused:
    return Refused(ErrorCode.JSON_TOO_DEEP, f"The JSON is nested more than {max_depth} levels deep.")


def _complaint(body: bytes, error: Exception) -> str:
    """What is wrong and where, without a word of the body."""
    if not body or body.isspace():
        return "The request body is empty. Send a JSON object."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The request body begins with a byte order mark (byte 0). Send plain UTF-8 without one."
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        return f"The request body is not valid UTF-8 (byte {wrong.start})."
    if malformed := _MALFORMED.fullmatch(str(error)):
        return f"The request body is not valid JSON: {malformed[1]} (near byte {malformed[2]})."
    return f"The request body is not valid JSON: it ends too early (byte {len(body)})."


def _out_of_range(body: bytes) -> Refused:
    """msgspec does not say where, so each top-level member is tried by itself."""
    member = None
    try:
        for name, span in find_members(body).items():
            member = name
            _decode(body[span.value : span.end])
    except msgspec.ValidationError:
        return Refused(ErrorCode.INVALID_VALUE, "A number is too large.", param=_short(member))
    except (ValueError, RecursionError):
        pass
    return Refused(ErrorCode.INVALID_VALUE, "A number is too large.")


def _repeated(body: bytes) -> Refused:
    """Name the first name that an object has twice. The body is known to be valid JSON."""
    open_objects: list[set[str]] = []
    for token in islice(_TOKEN.finditer(body), _TOKENS_SEARCHED):
        if token[2]:
            name = _decode_string(token[1])
            if name in open_objects[-1]:
                return _duplicate(name)
            open_objects[-1].add(name)
        elif token[0] == b"{":
            open_objects.append(set())
        elif token[0] == b"}":
            open_objects.pop()
    return _duplicate(None)


def _duplicate(name: str | None) -> Refused:
    return Refused(
        ErrorCode.DUPLICATE_JSON_KEY,
        "An object in the request body has the same member twice; each may stand once.",
        param=_short(name),
    )


def _short(name: str | None) -> str | None:
    return name if name is not None and len(name) <= _LONGEST_PARAM else None
