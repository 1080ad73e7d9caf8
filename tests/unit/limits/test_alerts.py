"""Alerts of budgets: once for each threshold, with all that whoever is woken must know; and their gauges."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from gateway.core.decision import Mode
from gateway.core.policy import Budget, Counted, Increase, Period, Scope
from gateway.limits.alerts import BudgetWatch, alerts_of, end_of, moment, unit_of
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Charged
from gateway.telemetry.alarms import Alarms, BudgetAlert
from gateway.telemetry.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.log import Log

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
BUDGET = Budget(
    "team-month",
    Counted.DOLLARS,
    (Scope.TEAM,),
    1_000,
    Period.MONTH,
    zone="Europe/Berlin",
    alert_at=(50, 80, 95),
)
USERS = replace(BUDGET, name="user-day", counts=Counted.TOKENS, per=(Scope.USER,), period=Period.DAY)
TEAM = "{search}:team-month:dollars:team=search"
ALICE = "{search}:user-day:tokens:team=search:user=alice%40home"


def charged(before: int, after: int, *, budget: Budget = BUDGET, bucket: str = TEAM) -> Charged:
    return Charged(demand_of(budget, bucket, 0, NOON), before, after)


def percents(charge: Charged) -> list[int]:
    return [alert.percent for alert in alerts_of(charge, NOON)]


class Desk:
    """A watch, and everything it tells."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.log = Log()
        self.metrics = Metrics()
        alarms = Alarms(metrics=self.metrics, log=self.log.logger, clock=self.clock)
        self.watch = BudgetWatch(alarms=alarms, metrics=self.metrics, clock=self.clock)

    def gauges(self) -> dict[str, float]:
        lines = [line for line in self.metrics.render().decode().splitlines() if line[0] != "#"]
        pairs = [line.rpartition(" ") for line in lines if line.startswith("gateway_budget_")]
        return {name: float(value) for name, _, value in pairs}


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestAlerts:
    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            (0, 499, []),
            (499, 500, [50]),
            (500, 501, []),
            (0, 950, [50, 80, 95]),
            (790, 949, [80]),
            (949, 5_000, [95]),
            (1_000, 2_000, []),
            (500, 500, []),
        ],
    )
    def test_a_threshold_is_told_by_the_charge_that_crosses_it(
        self, before: int, after: int, told: list[int]
    ) -> None:
        assert percents(charged(before, after)) == told

    @pytest.mark.parametrize("steps", [range(0, 1_001, 7), range(0, 1_001, 333), range(0, 1_001, 1_000)])
    def test_each_is_told_once_however_it_is_come_by(self, steps: Iterable[int]) -> None:
        at = [*steps, 1_200]
        charges = [charged(before, after) for before, after in pairwise(at)]
        assert [percent for charge in charges for percent in percents(charge)] == [50, 80, 95]

    def test_an_alert_says_all_that_is_needed(self) -> None:
        (alert,) = alerts_of(charged(0, 512), NOON)
        assert alert == BudgetAlert(
            team="search",
            budget="team-month",
            scope={"team": "search"},
            percent=50,
            spent=512,
            amount=1_000,
            unit="microdollars",
            period="month",
            window_ends_at="2026-12-01T00:00:00+01:00",
            mode="enforce",
        )

    def test_a_narrow_budget_says_whose_it_is(self) -> None:
        (alert,) = alerts_of(charged(0, 512, budget=USERS, bucket=ALICE), NOON)
        assert (alert.team, alert.unit) == ("search", "tokens")
        assert alert.scope == {"team": "search", "user": "alice@home"}

    def test_a_budget_of_all_teams_is_of_no_team(self) -> None:
        budget = replace(BUDGET, per=(Scope.ORGANIZATION,))
        (alert,) = alerts_of(charged(0, 512, budget=budget, bucket="{*}:team-month:dollars"), NOON)
        assert (alert.team, alert.scope) == (None, {})

    def test_thresholds_are_of_the_amount_with_its_increases(self) -> None:
        budget = replace(BUDGET, increases=(Increase(1_000, int(NOON) + 60), Increase(9, int(NOON))))
        assert percents(charged(0, 999, budget=budget)) == []
        (alert,) = alerts_of(charged(999, 1_000, budget=budget), NOON)
        assert (alert.percent, alert.amount) == (50, 2_000)

    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
    def test_who_only_watches_a_budget_is_told_too(self, mode: Mode) -> None:
        (alert,) = alerts_of(charged(0, 512, budget=replace(BUDGET, mode=mode)), NOON)
        assert alert.mode == mode

    def test_a_budget_without_thresholds_tells_nothing(self) -> None:
        assert percents(charged(0, 5_000, budget=replace(BUDGET, alert_at=()))) == []

    def test_a_charge_of_the_next_window_ends_with_that(self) -> None:
        december = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
        (alert,) = alerts_of(charged(0, 512), december)
        assert alert.window_ends_at == "2027-01-01T00:00:00+01:00"


class TestWatch:
    def test_a_crossing_is_a_log_line(self, desk: Desk) -> None:
        desk.watch.charged([charged(0, 512)])
        (line,) = desk.log.of("budget_threshold")
        assert (line["level"], line["team"], line["budget"]) == ("warning", "search", "team-month")
        assert (line["percent"], line["spent"], line["amount"]) == (50, 512, 1_000)

    def test_a_team_has_gauges(self, desk: Desk) -> None:
        desk.watch.charged([charged(0, 7)])
        assert desk.gauges() == {
            'gateway_budget_spent{budget="team-month",team="search"}': 7,
            'gateway_budget_amount{budget="team-month",team="search"}': 1_000,
        }

    def test_all_teams_together_have_gauges(self, desk: Desk) -> None:
        budget = replace(BUDGET, per=(Scope.ORGANIZATION,))
        desk.watch.charged([charged(0, 7, budget=budget, bucket="{*}:team-month:dollars")])
        assert desk.gauges()['gateway_budget_spent{budget="team-month",team="*"}'] == 7

    @pytest.mark.parametrize(
        ("scope", "whose"),
        [(Scope.USER, "user=alice"), (Scope.KEY, "key=k1"), (Scope.MODEL, "model=gpt-5")],
    )
    @pytest.mark.parametrize("wide", [Scope.TEAM, Scope.ORGANIZATION])
    def test_narrow_budgets_have_none(self, desk: Desk, scope: Scope, whose: str, wide: Scope) -> None:
        budget = replace(USERS, per=(wide, scope), alert_at=())
        desk.watch.charged([charged(0, 7, budget=budget, bucket=f"{{search}}:user-day:tokens:{whose}")])
        assert desk.gauges() == {}

    def test_of_settlements_that_went_together_the_last_says_what_is_spent(self, desk: Desk) -> None:
        desk.watch.charged([charged(0, 7), charged(7, 30), charged(30, 31)])
        assert desk.gauges()['gateway_budget_spent{budget="team-month",team="search"}'] == 31

    async def test_nothing_is_spent_of_a_window_that_nobody_has_charged(self, desk: Desk) -> None:
        desk.watch.charged([charged(0, 7)])
        desk.clock.advance(11 * 86_400)
        await desk.watch.begin_anew()
        assert desk.gauges()['gateway_budget_spent{budget="team-month",team="search"}'] == 0

    async def test_a_window_that_lasts_keeps_its_gauges(self, desk: Desk) -> None:
        desk.watch.charged([charged(0, 7)])
        desk.clock.advance(9 * 86_400)
        await desk.watch.begin_anew()
        assert desk.gauges()['gateway_budget_spent{budget="team-month",team="search"}'] == 7


@pytest.mark.parametrize(("counts", "unit"), [(Counted.DOLLARS, "microdollars"), (Counted.TOKENS, "tokens")])
def test_machines_are_told_the_unit_that_they_are_given(counts: Counted, unit: str) -> None:
    assert unit_of(counts) == unit


def test_a_moment_is_told_by_the_clocks_of_its_zone() -> None:
    assert moment(NOON) == "2026-11-20T12:00:00+00:00"
    assert moment(NOON, "America/New_York") == "2026-11-20T07:00:00-05:00"


@pytest.mark.parametrize(("now", "end"), [(5, 10), (10, 20), (29, 30), (40, 40), (50, 40)])
def test_a_window_ends_where_the_next_begins(now: int, end: int) -> None:
    assert end_of((10, 20, 30, 40), now) == end
