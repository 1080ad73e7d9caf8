"""The list of codes that tools outside rely on. It is written out again: a change must be meant twice."""

import pytest

from gateway.core.errors import ERRORS, RETRYABLE_STATUSES, ErrorCode, Owner, Refused

FROZEN = {
    400: "bad_request invalid_json duplicate_json_key json_too_deep invalid_value invalid_multipart"
    " content_policy_violation context_length_exceeded request_exceeds_limit",
    401: "invalid_api_key token_expired",
    403: "permission_denied model_not_allowed endpoint_not_allowed",
    404: "unknown_endpoint not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "idempotency_in_progress",
    413: "request_too_large",
    415: "unsupported_media_type unsupported_content_encoding",
    422: "idempotency_key_reuse",
    429: "rate_limit_exceeded concurrency_limit_exceeded insufficient_quota upstream_rate_limited",
    431: "headers_too_large",
    500: "internal_error",
    502: "upstream_error upstream_unreachable upstream_tls_error upstream_auth_error upstream_redirect",
    503: "overloaded draining metering_unavailable budget_unavailable policy_unavailable",
    504: "upstream_timeout",
}
STATUS_OF = {code: status for status, codes in FROZEN.items() for code in codes.split()}


def test_the_codes_and_their_statuses_are_the_frozen_ones() -> None:
    assert {code.value: kind.status for code, kind in ERRORS.items()} == STATUS_OF


def test_every_code_has_its_kind() -> None:
    assert set(ERRORS) == set(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_an_upstream_owns_what_begins_with_its_name(code: ErrorCode) -> None:
    assert (ERRORS[code].owner is Owner.UPSTREAM) == code.value.startswith("upstream_")


@pytest.mark.parametrize("code", [code for code, kind in ERRORS.items() if kind.status >= 500])
def test_nobody_else_is_blamed_for_what_fails(code: ErrorCode) -> None:
    assert ERRORS[code].owner in (Owner.GATEWAY, Owner.UPSTREAM)


@pytest.mark.parametrize("code", [code for code, kind in ERRORS.items() if kind.status < 429])
def test_what_sdks_take_for_their_own_mistake_is_an_invalid_request_error(code: ErrorCode) -> None:
    assert ERRORS[code].type == "invalid_request_error"


def test_an_error_says_the_sentence_that_the_client_gets() -> None:
    assert str(Refused(ErrorCode.NOT_FOUND, "There is no such model.")) == "There is no such model."


def test_an_error_knows_its_kind() -> None:
    assert Refused(ErrorCode.DRAINING, "").kind.status == 503


def test_sdks_retry_what_is_transient() -> None:
    assert frozenset({408, 409, 429, 500, 502, 503, 504}) == RETRYABLE_STATUSES
