"""Which header fields may pass, in which direction. Allow-lists: what is not named here stays where it is.

Upstream never sees a client's credential, cookie, address or hop-by-hop field; clients never see the
upstream's cookies, its account, or limits that are about the key that all teams share.
"""

from collections.abc import Mapping
from typing import Final

from gateway.core.errors import ErrorCode, Refused
from gateway.core.incoming import HeaderList, Headers, Incoming

_TO_UPSTREAM: Final = ("accept", "openai-beta", "x-client-request-id")
_TO_CLIENT: Final = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
)
_STREAM: Final = [("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")]
_MOST_HEADERS: Final = 100
_SINGLE: Final = (
    "authorization",
    "api-key",
    "x-api-key",
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "expect",
)
_VERSIONS: Final = ("1.1", "1.0")
_UTF_8: Final = ("utf-8", "utf8")


def check_head(incoming: Incoming, accepts: frozenset[str]) -> None:
    """Refuse a head that two readers could understand in two ways, or a body of a kind that is not read here.

    `accepts`: media types of the body. When there are none, SDKs still send a content-type: it is let be.
    Raises Refused: `bad_request`, `headers_too_large`, `unsupported_media_type`,
    `unsupported_content_encoding`.
    """
    headers = incoming.headers
    names = [name.lower() for name, _ in headers.items()]
    if len(names) > _MOST_HEADERS:
        raise Refused(ErrorCode.HEADERS_TOO_LARGE, f"More than {_MOST_HEADERS} header fields were sent.")
    if len(set(names)) < len(names):
        for name in _SINGLE:
            if names.count(name) > 1:
                raise Refused(ErrorCode.BAD_REQUEST, f"The header {name} was sent more than once.")
    if headers.get("expect", "").lower() not in ("", "100-continue"):
        raise Refused(ErrorCode.BAD_REQUEST, "The header expect may only say 100-continue.")
    _check_framing(headers, incoming.version)
    if accepts:
        _check_body_kind(headers, accepts)


def _check_framing(headers: Headers, version: str) -> None:
    if version not in _VERSIONS:
        raise Refused(ErrorCode.BAD_REQUEST, "Only HTTP/1.1 is spoken here.")
    coding = headers.get("transfer-encoding", "")
    if coding and version == "1.0":
        raise Refused(ErrorCode.BAD_REQUEST, "There is no transfer-encoding in HTTP/1.0.")
    if coding and coding.lower() != "chunked":
        raise Refused(ErrorCode.BAD_REQUEST, "The header transfer-encoding may only say chunked.")
    if coding and headers.get("content-length", ""):
        raise Refused(ErrorCode.BAD_REQUEST, "Send either content-length or transfer-encoding, not both.")


def _check_body_kind(headers: Headers, accepts: frozenset[str]) -> None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(
            ErrorCode.UNSUPPORTED_CONTENT_ENCODING,
            "Compressed request bodies are not read here. Send the body without content-encoding.",
        )
    content_type = headers.get("content-type", "")
    if media_type(content_type) not in accepts or not content_type.isascii():
        raise Refused(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            f"This endpoint takes {' or '.join(sorted(accepts))}. Set the header content-type accordingly.",
        )
    if any(charset.lower() not in _UTF_8 for charset in parameters(content_type, "charset")):
        raise Refused(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Only the charset utf-8 is read here.")


def media_type(content_type: str) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def parameters(content_type: str, name: str) -> list[str]:
    """Every value that a media type gives this parameter, unquoted. More than one is somebody's trick."""
    pairs = (part.partition("=") for part in content_type.split(";")[1:])
    return [value.strip().strip('"') for key, _, value in pairs if key.strip().lower() == name]


def to_upstream(headers: Headers, content_type: str, size: int) -> HeaderList:
    """What the upstream is told. It is asked for an uncompressed answer, so that usage can be read off it."""
    given = ((name, value) for name in _TO_UPSTREAM for value in headers.getall(name, []))
    passed = [field for field in given if field[1].isascii()]
    return [
        *passed,
        ("content-type", content_type),
        ("content-length", str(size)),
        ("accept-encoding", "identity"),
    ]


def to_client(headers: Mapping[str, str], *, stream: bool) -> HeaderList:
    """What the client is told of the upstream's answer."""
    given = ((name, headers[name]) for name in _TO_CLIENT if name in headers)
    passed = [field for field in given if field[1].isascii()]
    return [*passed, *_STREAM] if stream else passed
