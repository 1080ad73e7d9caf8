"""Errors as OpenAI spells them: a body, the headers that steer the official SDKs' retries, and, inside a
stream that has begun, an event that the SDKs raise or show.
"""

from math import ceil
from typing import Final

import msgspec

from gateway.core.endpoint import Dialect
from gateway.core.errors import ErrorCode, GatewayError

_NEVER: Final = frozenset(
    {
        ErrorCode.IDEMPOTENCY_IN_PROGRESS,
        ErrorCode.IDEMPOTENCY_KEY_REUSE,
        ErrorCode.UPSTREAM_AUTH_ERROR,
        ErrorCode.UPSTREAM_REDIRECT,
        ErrorCode.UPSTREAM_TLS_ERROR,
    }
)
"""What an immediate retry cannot mend: somebody has to do something first."""

_TIMED: Final = frozenset(
    {
        ErrorCode.CONCURRENCY_LIMIT_EXCEEDED,
        ErrorCode.INSUFFICIENT_QUOTA,
        ErrorCode.RATE_LIMIT_EXCEEDED,
    }
)
"""What waiting mends if, and only if, the limiter could say how long. A budget that is used up begins anew
some day; one whose rest is held by others may have room in a moment."""


def error_body(error: GatewayError) -> bytes:
    """The JSON body: all four keys, always."""
    return msgspec.json.encode({"error": _members(error)})


def error_headers(error: GatewayError) -> list[tuple[str, str]]:
    """When to come again, or that it is no use; how to authenticate; which methods there are.

    The SDKs retry 408, 409, 429 and 5xx by themselves, by `retry-after-ms` before `Retry-After`, unless
    `x-should-retry` says no. Faults that may be gone the next moment are left to them.
    """
    headers: list[tuple[str, str]] = []
    status = error.kind.status
    if status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    if error.allow is not None:
        headers.append(("Allow", error.allow))
    if status in (429, 503) and error.retry_after is not None:
        headers.append(("Retry-After", str(max(1, ceil(error.retry_after)))))
        headers.append(("retry-after-ms", str(max(1, ceil(error.retry_after * 1000)))))
    if error.code in _NEVER or (error.code in _TIMED and error.retry_after is None):
        headers.append(("x-should-retry", "false"))
    return headers


def stream_error(dialect: Dialect, error: GatewayError, sequence: int = 0) -> bytes:
    """The event that ends a stream which has begun.

    The SDKs raise on any event whose data has an `error` member, and hand out the responses API's flat
    `error` event. `sequence` is that API's `sequence_number`.
    """
    members = _members(error)
    if dialect is Dialect.RESPONSES:
        flat = {"code": members["code"], "message": members["message"], "param": members["param"]}
        return _event("error", {"type": "error", **flat, "sequence_number": sequence})
    if dialect in (Dialect.IMAGES, Dialect.AUDIO):
        return _event("error", {"type": "error", "error": members})
    return _event("", {"error": members})


def _members(error: GatewayError) -> dict[str, str | None]:
    param = None if error.param is None else _sendable(error.param)
    kind = error.kind.type
    return {"message": _sendable(error.message), "type": kind, "param": param, "code": str(error.code)}


def _event(name: str, data: object) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


def _sendable(text: str) -> str:
    """The text as UTF-8 can carry it: a path or a name that it quotes may hold half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
