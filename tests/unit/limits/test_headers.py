"""`x-ratelimit-*`, as clients read them."""

import pytest

from gateway.core.policy import Counted
from gateway.core.standing import Standing
from gateway.limits.headers import duration, ratelimit_headers


def standing(counts: Counted, remaining: int, reset: float = 1.0, amount: int = 60) -> Standing:
    return Standing("some-limit", counts, amount, remaining, reset)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0000001, "0s"),
        (0.0001, "1ms"),
        (0.006, "6ms"),
        (0.9994, "1s"),
        (1.0, "1s"),
        (1.5, "1.5s"),
        (8.64, "8.64s"),
        (59.9991, "1m0s"),
        (60.0, "1m0s"),
        (90.25, "1m30.25s"),
        (360.0, "6m0s"),
        (3600.25, "1h0m0.25s"),
        (86_400.0, "24h0m0s"),
    ],
)
def test_times_are_durations_of_go(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_each_kind_has_its_three_headers() -> None:
    standings = (standing(Counted.REQUESTS, 59), standing(Counted.TOKENS, 149_984, 0.006, 150_000))
    assert ratelimit_headers(standings) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-tokens", "6ms"),
    ]


@pytest.mark.parametrize(
    ("roomy", "tight"),
    [
        (standing(Counted.REQUESTS, 5, amount=9), standing(Counted.REQUESTS, 4)),
        (standing(Counted.REQUESTS, 0, reset=1.0, amount=9), standing(Counted.REQUESTS, 0, reset=30.0)),
    ],
)
def test_the_tightest_limit_is_told(roomy: Standing, tight: Standing) -> None:
    assert (
        ratelimit_headers((roomy, tight)) == ratelimit_headers((tight, roomy)) == ratelimit_headers((tight,))
    )


def test_a_kind_without_a_limit_has_no_header() -> None:
    names = {name for name, _ in ratelimit_headers((standing(Counted.TOKENS, 3),))}
    assert names == {f"x-ratelimit-{what}-tokens" for what in ("limit", "remaining", "reset")}


@pytest.mark.parametrize("counts", sorted(set(Counted) - {Counted.REQUESTS, Counted.TOKENS}))
def test_units_that_openai_does_not_tell_of_are_not_told(counts: Counted) -> None:
    told = standing(Counted.TOKENS, 50)
    assert ratelimit_headers((standing(counts, 3), told)) == ratelimit_headers((told,))


def test_without_limits_there_are_no_headers() -> None:
    assert ratelimit_headers(()) == []
