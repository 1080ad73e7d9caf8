"""What is decided from what a store found, and what is said of it."""

from dataclasses import replace

import pytest

from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Budget, Counted, Increase, Limit, Period, Scope
from gateway.core.principal import Principal
from gateway.limits.bucket import MICRO
from gateway.limits.demands import bucket_of, demand_of
from gateway.limits.interfaces import Demand, Grant, Refusal, Unloaded
from gateway.limits.verdict import Fit, figure, judge, spoken, too_soon, used_up
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

NOW = 1_795_000_000
WEEK = replace(
    DOLLARS, name="alice-week", counts=Counted.TOKENS, per=(Scope.USER,), amount=900, period=Period.WEEK
)
HOUSE = replace(DOLLARS, name="house-day", per=(Scope.ORGANIZATION,), period=Period.DAY)
NO, YES, SET_ASIDE, UNLOADED, HELD = Fit


def demand(limit: Limit | Budget, cost: int = 1) -> Demand:
    alice = Principal(subject="alice", team="search", key_id="k1", key_name="batch")
    return demand_of(limit, bucket_of("search", limit, alice, "gpt-5"), cost, NOW)


def refusal(one: Demand, level: int, fit: Fit = NO) -> Refusal:
    decision = judge([one], [fit], [level])
    assert isinstance(decision, Refusal)
    return decision


@pytest.mark.parametrize(
    ("one", "level", "code", "retry_after", "reason"),
    [
        (
            demand(REQUESTS),
            int(60.2 * MICRO),
            ErrorCode.RATE_LIMIT_EXCEEDED,
            1.2,
            "Rate limit reached for requests of team `search`: limit 60 per minute. Try again in 1.2 s.",
        ),
        (
            demand(TOKENS, 300),
            800 * MICRO,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            6.0,
            "Rate limit reached for tokens of key `k1`: limit 1000 per minute, this request needs about 300. "
            "Try again in 6 s.",
        ),
        (
            demand(replace(TOKENS, counts=Counted.AUDIO_SECONDS, seconds=90.0), 300),
            800 * MICRO,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            9.0,
            "Rate limit reached for audio seconds of key `k1`: limit 1000 per 90 seconds, "
            "this request needs about 300. Try again in 9 s.",
        ),
        (
            demand(SLOTS),
            2,
            ErrorCode.CONCURRENCY_LIMIT_EXCEEDED,
            1.0,
            "Concurrency limit reached for team `search`: limit 2 at once. "
            "Try again when one of the running requests has ended.",
        ),
        (
            demand(TOKENS, 1001),
            0,
            ErrorCode.REQUEST_EXCEEDS_LIMIT,
            None,
            "This request is expected to use 1001 tokens, and key `k1` may use at most 1000 at once. "
            "Send less, or ask for less output.",
        ),
    ],
)
def test_a_refusal_of_a_limit_says_what_where_and_when(
    one: Demand, level: int, code: ErrorCode, retry_after: float | None, reason: str
) -> None:
    deny = refusal(one, level).deny
    assert (deny.code, deny.retry_after, deny.reason) == (code, retry_after, reason)
    assert deny.rule == f"limits.{one.limit.name}"


@pytest.mark.parametrize(
    ("one", "level", "fit", "code", "retry_after", "reason"),
    [
        (
            demand(DOLLARS, 2_000_000),
            50_000_000,
            NO,
            ErrorCode.INSUFFICIENT_QUOTA,
            None,
            "The budget `team-month` of team `search` is used up for this month. "
            "Ask whoever owns it for an increase, or wait until it begins anew.",
        ),
        (
            demand(DOLLARS, 2_000_000),
            60_000_000,
            NO,
            ErrorCode.INSUFFICIENT_QUOTA,
            None,
            "The budget `team-month` of team `search` is used up for this month. "
            "Ask whoever owns it for an increase, or wait until it begins anew.",
        ),
        (
            demand(DOLLARS, 2_000_000),
            48_500_001,
            NO,
            ErrorCode.INSUFFICIENT_QUOTA,
            None,
            "The budget `team-month` of team `search` has too little left for this month: "
            "$1.499999 of $50.00. Ask whoever owns it for an increase, or wait until it begins anew.",
        ),
        (
            demand(WEEK, 301),
            600,
            NO,
            ErrorCode.INSUFFICIENT_QUOTA,
            None,
            "The budget `alice-week` of user `alice` has too little left for this week: "
            "300 tokens of 900 tokens. Ask whoever owns it for an increase, or wait until it begins anew.",
        ),
        (
            demand(replace(DOLLARS, increases=(Increase(10_000_000, NOW + 60),)), 2_000_000),
            58_500_000,
            NO,
            ErrorCode.INSUFFICIENT_QUOTA,
            None,
            "The budget `team-month` of team `search` has too little left for this month: "
            "$1.50 of $60.00. Ask whoever owns it for an increase, or wait until it begins anew.",
        ),
        (
            demand(HOUSE, 2_000_000),
            48_500_001,
            NO,
            ErrorCode.INSUFFICIENT_QUOTA,
            None,
            "The budget `house-day` of the organization is used up for this day. "
            "Ask whoever owns it for an increase, or wait until it begins anew.",
        ),
        (
            demand(DOLLARS, 50_000_001),
            0,
            NO,
            ErrorCode.REQUEST_EXCEEDS_LIMIT,
            None,
            "This request is expected to cost $50.000001, more than the whole budget `team-month` of team "
            "`search` ($50.00). Send less, or ask for less output.",
        ),
        (
            demand(replace(WEEK, strict=True), 901),
            0,
            NO,
            ErrorCode.REQUEST_EXCEEDS_LIMIT,
            None,
            "This request could cost 901 tokens, more than the whole budget `alice-week` of user `alice` "
            "(900 tokens). Send less, or ask for less output.",
        ),
        (
            demand(HOUSE, 50_000_001),
            0,
            NO,
            ErrorCode.REQUEST_EXCEEDS_LIMIT,
            None,
            "This request is expected to cost $50.000001, more than the whole budget `house-day` of the "
            "organization. Send less, or ask for less output.",
        ),
        (
            demand(DOLLARS, 2_000_000),
            49_000_000,
            SET_ASIDE,
            ErrorCode.BUDGET_UNAVAILABLE,
            1.0,
            "The last of the budget `team-month` is being called in. Send the request again.",
        ),
        (
            demand(DOLLARS, 2_000_000),
            49_000_000,
            HELD,
            ErrorCode.INSUFFICIENT_QUOTA,
            1.0,
            "What is left of the budget `team-month` of team `search` is held by requests that are under "
            "way. Some of it may come back when they have ended: send the request again.",
        ),
        (
            demand(DOLLARS, 50_000_001),
            49_000_000,
            SET_ASIDE,
            ErrorCode.REQUEST_EXCEEDS_LIMIT,
            None,
            "This request is expected to cost $50.000001, more than the whole budget `team-month` of team "
            "`search` ($50.00). Send less, or ask for less output.",
        ),
    ],
)
def test_a_refusal_of_a_budget_says_what_is_left_and_what_to_do(
    one: Demand, level: int, fit: Fit, code: ErrorCode, retry_after: float | None, reason: str
) -> None:
    deny = refusal(one, level, fit).deny
    assert (deny.code, deny.retry_after, deny.reason) == (code, retry_after, reason)
    assert deny.rule == f"budgets.{one.limit.name}"


def test_a_refusal_tells_what_was_found() -> None:
    assert refusal(demand(DOLLARS, 5), 50_000_000).level == 50_000_000
    assert refusal(demand(REQUESTS), 61 * MICRO).level == 61 * MICRO


class TestWhichCounts:
    def test_what_can_never_fit_is_named_before_what_only_takes_time(self) -> None:
        decision = judge([demand(REQUESTS), demand(TOKENS, 1001)], [NO, NO], [60 * MICRO, 0])
        assert isinstance(decision, Refusal)
        assert decision.demand.limit == TOKENS

    def test_a_budget_is_named_before_a_rate(self) -> None:
        decision = judge([demand(REQUESTS), demand(DOLLARS, 5)], [NO, NO], [60 * MICRO, 50_000_000])
        assert isinstance(decision, Refusal)
        assert decision.demand.limit == DOLLARS

    def test_of_several_rates_the_one_that_takes_longest_is_named(self) -> None:
        slow = replace(REQUESTS, name="slow", amount=1)
        for demands in ([demand(slow), demand(REQUESTS)], [demand(REQUESTS), demand(slow)]):
            decision = judge(demands, [NO, NO], [60 * MICRO] * 2)
            assert isinstance(decision, Refusal)
            assert decision.demand.limit == slow

    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
    def test_a_limit_that_does_not_refuse_is_not_named_in_a_refusal(self, mode: Mode) -> None:
        shadow = replace(TOKENS, mode=mode)
        decision = judge([demand(shadow, 1001), demand(REQUESTS)], [NO, NO], [0, 60 * MICRO])
        assert isinstance(decision, Refusal)
        assert decision.demand.limit == REQUESTS

    def test_limits_that_do_not_refuse_all_have_their_note(self) -> None:
        soft = [replace(limit, mode=Mode.WARN) for limit in (REQUESTS, SLOTS, DOLLARS, HOUSE)]
        decision = judge(
            [demand(limit, 5) for limit in soft],
            [NO, NO, SET_ASIDE, YES],
            [60 * MICRO, 2, 50_000_000, 0],
        )
        assert isinstance(decision, Grant)
        assert [(note.rule, note.mode) for note in decision.notes] == [
            ("limits.team-requests", Mode.WARN),
            ("limits.team-streams", Mode.WARN),
            ("budgets.team-month", Mode.WARN),
        ]


class TestUnloaded:
    def test_budgets_that_nobody_knows_have_to_be_loaded(self) -> None:
        known, unknown = demand(DOLLARS, 5), demand(WEEK, 5)
        decision = judge([demand(REQUESTS), known, unknown], [YES, YES, UNLOADED], [0, 0, 0])
        assert decision == Unloaded((unknown,))

    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN, Mode.ENFORCE])
    def test_so_do_those_of_every_mode(self, mode: Mode) -> None:
        unknown = demand(replace(WEEK, mode=mode), 5)
        assert judge([unknown], [UNLOADED], [0]) == Unloaded((unknown,))

    def test_what_is_refused_anyway_need_not_be_loaded(self) -> None:
        decision = judge([demand(WEEK, 5), demand(REQUESTS)], [UNLOADED, NO], [0, 60 * MICRO])
        assert isinstance(decision, Refusal)
        assert decision.demand.limit == REQUESTS

    def test_a_limit_that_does_not_refuse_does_not_keep_from_loading(self) -> None:
        unknown = demand(WEEK, 5)
        decision = judge(
            [unknown, demand(replace(REQUESTS, mode=Mode.WARN))], [UNLOADED, NO], [0, 60 * MICRO]
        )
        assert decision == Unloaded((unknown,))


class TestStandings:
    def test_they_are_of_rates_alone(self) -> None:
        demands = [demand(SLOTS), demand(TOKENS, 300), demand(DOLLARS, 5)]
        decision = judge(demands, [YES] * 3, [1, 300 * MICRO, 5])
        assert isinstance(decision, Grant)
        (standing,) = decision.standings
        assert (standing.limit, standing.counts, standing.amount) == ("key-tokens", Counted.TOKENS, 1000)
        assert (standing.remaining, standing.reset) == (700, 18.0)

    def test_of_limits_in_shadow_mode_the_client_learns_nothing(self) -> None:
        shadow = replace(TOKENS, mode=Mode.SHADOW)
        decision = judge([demand(shadow, 5), demand(REQUESTS)], [YES, YES], [0, 0])
        assert isinstance(decision, Grant)
        assert [standing.limit for standing in decision.standings] == ["team-requests"]

    def test_a_refusal_has_them_too(self) -> None:
        decision = judge([demand(REQUESTS), demand(DOLLARS, 5)], [YES, NO], [20 * MICRO, 50_000_000])
        assert isinstance(decision, Refusal)
        assert [standing.remaining for standing in decision.standings] == [40]


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (0.0, "0 s"),
        (0.01, "0.1 s"),
        (59.91, "60 s"),
        (100.0, "100 s"),
        (123_456.78, "123456.8 s"),
        (1e7, "10000000 s"),
    ],
)
def test_a_wait_is_told_in_plain_seconds_rounded_up(wait: float, text: str) -> None:
    assert too_soon(demand(REQUESTS), wait).endswith(f"Try again in {text}.")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.0, "per second"),
        (60.0, "per minute"),
        (3600.0, "per hour"),
        (86_400.0, "per day"),
        (0.25, "per 0.25 seconds"),
        (2_678_400.0, "per 2678400 seconds"),
    ],
)
def test_windows_are_told_in_words(seconds: float, text: str) -> None:
    assert f" {text}. " in too_soon(demand(replace(REQUESTS, seconds=seconds)), 1.0)


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (10_000, "$0.01"),
        (1_500_000, "$1.50"),
        (12_345_678, "$12.345678"),
        (2_000_000_000, "$2,000.00"),
        (2**52, "$4,503,599,627.370496"),
    ],
)
def test_dollars_are_told_to_the_cent_or_finer(micro: int, text: str) -> None:
    assert figure(Counted.DOLLARS, micro) == text


def test_other_units_are_told_with_their_names() -> None:
    assert figure(Counted.INPUT_TOKENS, 300) == "300 input tokens"
    assert spoken(Counted.AUDIO_SECONDS) == "audio seconds"


def test_a_stream_that_meets_its_budget_is_told_the_same() -> None:
    assert used_up(demand(DOLLARS), -5) == refusal(demand(DOLLARS, 1), 50_000_005).deny.reason
