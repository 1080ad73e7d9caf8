"""When a try may be followed by another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.upstream.retry import RetryBudget, retry_after, wait_after_failure, wait_after_status

NO_HEADERS: dict[str, str] = {}


def failure(code: ErrorCode) -> UpstreamFailed:
    return UpstreamFailed(code, "")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_answer_that_is_no_answer_yet_is_tried_again(status: int) -> None:
    assert wait_after_status(1, status, NO_HEADERS) == pytest.approx(0.1)


@pytest.mark.parametrize("status", [200, 201, 301, 400, 401, 403, 404, 408, 409, 413, 422, 501, 504, 529])
def test_any_other_answer_is_the_one_to_relay(status: int) -> None:
    assert wait_after_status(1, status, NO_HEADERS) is None


def test_the_waits_grow() -> None:
    assert [wait_after_status(number, 503, NO_HEADERS) for number in (1, 2)] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("number", [3, 4])
def test_the_third_try_is_the_last(number: int) -> None:
    assert wait_after_status(number, 503, NO_HEADERS) is None
    assert wait_after_failure(number, failure(ErrorCode.UPSTREAM_UNREACHABLE)) is None


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
    ],
)
def test_a_short_wait_that_the_upstream_asks_for_is_kept(headers: dict[str, str], wait: float) -> None:
    assert wait_after_status(1, 429, headers) == wait


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "3"},
        {"retry-after": "86400"},
        {"retry-after-ms": "2001"},
        {"retry-after": "Fri, 20 Nov 2026 12:00:00 GMT"},
        {"retry-after": "soon"},
        {"retry-after": "-1"},
        {"retry-after": "nan"},
        {"retry-after": "inf"},
        {"x-should-retry": "false"},
        {"x-should-retry": "False", "retry-after": "1"},
    ],
)
def test_an_upstream_that_asks_for_more_patience_is_relayed(headers: dict[str, str]) -> None:
    assert wait_after_status(1, 429, headers) is None


def test_an_upstream_that_was_not_reached_is_tried_again() -> None:
    assert wait_after_failure(1, failure(ErrorCode.UPSTREAM_UNREACHABLE)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.UPSTREAM_ERROR,
        ErrorCode.UPSTREAM_TIMEOUT,
        ErrorCode.UPSTREAM_TLS_ERROR,
        ErrorCode.UPSTREAM_AUTH_ERROR,
    ],
)
def test_what_may_have_run_or_would_not_help_is_not_tried_again(code: ErrorCode) -> None:
    assert wait_after_failure(1, failure(code)) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7.0),
        ({"retry-after": "1e999"}, None),
    ],
)
def test_what_the_upstream_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_fresh_budget_bears_ten_retries() -> None:
    budget = RetryBudget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]


def test_ten_first_tries_earn_a_retry() -> None:
    budget = RetryBudget(level=0.0)
    for _ in range(11):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


@given(st.lists(st.booleans(), max_size=300))
def test_retries_are_never_more_than_the_start_and_a_tenth_of_first_tries(spends: list[bool]) -> None:
    budget, retries, firsts = RetryBudget(), 0, 0
    for spend in spends:
        if spend:
            retries += budget.spend()
        else:
            firsts += 1
            budget.earn()
    assert retries <= 10 + firsts * 0.1 + 1e-9
