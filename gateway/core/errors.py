"""Everything that can go wrong with an exchange.

    GatewayError            has a code of the frozen list; becomes the client's answer
    ├── Refused             ours to refuse: the request, the credential, a policy, a limit
    └── UpstreamFailed      the upstream did not answer, or answered with what must not be passed on
    ClientLeft              nobody is there to answer
    StoreUnavailable        a store of ours is away; its user decides what that means

`ERRORS` is the whole list of codes: status, OpenAI `type`, and whose fault it is. Tools rely on it; a code is
never renamed and never changes its status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Owner(StrEnum):
    """Whose fault an error is: the first question of whoever is woken by it."""

    CLIENT = "client"
    POLICY = "policy"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


class ErrorCode(StrEnum):
    BAD_REQUEST = "bad_request"
    INVALID_JSON = "invalid_json"
    DUPLICATE_JSON_KEY = "duplicate_json_key"
    JSON_TOO_DEEP = "json_too_deep"
    INVALID_VALUE = "invalid_value"
    INVALID_MULTIPART = "invalid_multipart"
    CONTENT_POLICY_VIOLATION = "content_policy_violation"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    REQUEST_EXCEEDS_LIMIT = "request_exceeds_limit"
    INVALID_API_KEY = "invalid_api_key"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a code, not a secret
    PERMISSION_DENIED = "permission_denied"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    ENDPOINT_NOT_ALLOWED = "endpoint_not_allowed"
    UNKNOWN_ENDPOINT = "unknown_endpoint"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    REQUEST_TOO_LARGE = "request_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNSUPPORTED_CONTENT_ENCODING = "unsupported_content_encoding"
    IDEMPOTENCY_KEY_REUSE = "idempotency_key_reuse"
    HEADERS_TOO_LARGE = "headers_too_large"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    CONCURRENCY_LIMIT_EXCEEDED = "concurrency_limit_exceeded"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    INTERNAL_ERROR = "internal_error"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TLS_ERROR = "upstream_tls_error"
    UPSTREAM_AUTH_ERROR = "upstream_auth_error"
    UPSTREAM_REDIRECT = "upstream_redirect"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    METERING_UNAVAILABLE = "metering_unavailable"
    BUDGET_UNAVAILABLE = "budget_unavailable"
    POLICY_UNAVAILABLE = "policy_unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What a code means on the wire."""

    status: int
    type: str
    """OpenAI's `error.type`, by which SDKs and apps tell kinds apart."""
    owner: Owner


_INVALID = "invalid_request_error"
_SERVER = "server_error"

ERRORS: Final[Mapping[ErrorCode, ErrorKind]] = {
    ErrorCode.BAD_REQUEST: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.INVALID_JSON: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.DUPLICATE_JSON_KEY: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.JSON_TOO_DEEP: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.INVALID_VALUE: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.INVALID_MULTIPART: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.CONTENT_POLICY_VIOLATION: ErrorKind(400, _INVALID, Owner.POLICY),
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: ErrorKind(400, _INVALID, Owner.CLIENT),
    ErrorCode.REQUEST_EXCEEDS_LIMIT: ErrorKind(400, _INVALID, Owner.POLICY),
    ErrorCode.INVALID_API_KEY: ErrorKind(401, _INVALID, Owner.CLIENT),
    ErrorCode.TOKEN_EXPIRED: ErrorKind(401, _INVALID, Owner.CLIENT),
    ErrorCode.PERMISSION_DENIED: ErrorKind(403, _INVALID, Owner.POLICY),
    ErrorCode.MODEL_NOT_ALLOWED: ErrorKind(403, _INVALID, Owner.POLICY),
    ErrorCode.ENDPOINT_NOT_ALLOWED: ErrorKind(403, _INVALID, Owner.POLICY),
    ErrorCode.UNKNOWN_ENDPOINT: ErrorKind(404, _INVALID, Owner.CLIENT),
    ErrorCode.NOT_FOUND: ErrorKind(404, _INVALID, Owner.CLIENT),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorKind(405, _INVALID, Owner.CLIENT),
    ErrorCode.REQUEST_TIMEOUT: ErrorKind(408, _INVALID, Owner.CLIENT),
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: ErrorKind(409, _INVALID, Owner.CLIENT),
    ErrorCode.REQUEST_TOO_LARGE: ErrorKind(413, _INVALID, Owner.CLIENT),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: ErrorKind(415, _INVALID, Owner.CLIENT),
    ErrorCode.UNSUPPORTED_CONTENT_ENCODING: ErrorKind(415, _INVALID, Owner.CLIENT),
    ErrorCode.IDEMPOTENCY_KEY_REUSE: ErrorKind(422, _INVALID, Owner.CLIENT),
    ErrorCode.HEADERS_TOO_LARGE: ErrorKind(431, _INVALID, Owner.CLIENT),
    ErrorCode.RATE_LIMIT_EXCEEDED: ErrorKind(429, "requests", Owner.POLICY),
    ErrorCode.CONCURRENCY_LIMIT_EXCEEDED: ErrorKind(429, "requests", Owner.POLICY),
    ErrorCode.INSUFFICIENT_QUOTA: ErrorKind(429, "insufficient_quota", Owner.POLICY),
    ErrorCode.UPSTREAM_RATE_LIMITED: ErrorKind(429, "requests", Owner.UPSTREAM),
    ErrorCode.INTERNAL_ERROR: ErrorKind(500, _SERVER, Owner.GATEWAY),
    ErrorCode.UPSTREAM_ERROR: ErrorKind(502, _SERVER, Owner.UPSTREAM),
    ErrorCode.UPSTREAM_UNREACHABLE: ErrorKind(502, _SERVER, Owner.UPSTREAM),
    ErrorCode.UPSTREAM_TLS_ERROR: ErrorKind(502, _SERVER, Owner.UPSTREAM),
    ErrorCode.UPSTREAM_AUTH_ERROR: ErrorKind(502, _SERVER, Owner.UPSTREAM),
    ErrorCode.UPSTREAM_REDIRECT: ErrorKind(502, _SERVER, Owner.UPSTREAM),
    ErrorCode.OVERLOADED: ErrorKind(503, _SERVER, Owner.GATEWAY),
    ErrorCode.DRAINING: ErrorKind(503, _SERVER, Owner.GATEWAY),
    ErrorCode.METERING_UNAVAILABLE: ErrorKind(503, _SERVER, Owner.GATEWAY),
    ErrorCode.BUDGET_UNAVAILABLE: ErrorKind(503, _SERVER, Owner.GATEWAY),
    ErrorCode.POLICY_UNAVAILABLE: ErrorKind(503, _SERVER, Owner.GATEWAY),
    ErrorCode.UPSTREAM_TIMEOUT: ErrorKind(504, _SERVER, Owner.UPSTREAM),
}

RETRYABLE_STATUSES: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
"""What the official SDKs retry by themselves unless `x-should-retry` tells them not to."""


class GatewayError(Exception):
    """An exchange ends here. The message is for the client; the cause is for the log."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        rule: str | None = None,
        allow: str | None = None,
        quotes: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.rule = rule
        """The policy's rule that refused, for the log."""
        self.allow = allow
        """The methods that would do, where it is the method that will not."""
        self.quotes = quotes
        """What of the request stands in the message. Its sender may read it, and nobody else."""

    @property
    def kind(self) -> ErrorKind:
        return ERRORS[self.code]


class Refused(GatewayError):
    """The gateway will not do it: the request is wrong, or a rule says no."""


class UpstreamFailed(GatewayError):
    """The upstream gave no answer that can be passed on."""


class ClientLeft(Exception):
    """The client closed its connection, or stopped reading, before the exchange was over."""


class StoreUnavailable(Exception):
    """A store (Redis, SQL) did not answer in time. Never reaches a client as such."""
