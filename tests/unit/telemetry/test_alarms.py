"""What operators are told: one metric and one line, each way."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import ErrorCode, GatewayError, StoreUnavailable
from gateway.core.usage import Doubt
from gateway.telemetry.alarms import Alarms, BudgetAlert
from gateway.telemetry.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.log import Log

AWAY = StoreUnavailable("the disk is full")
ALERT = BudgetAlert(
    team="search",
    budget="team-month",
    scope={"team": "search"},
    percent=80,
    spent=1_640_204_000,
    amount=2_000_000_000,
    unit="microdollars",
    period="month",
    window_ends_at="2026-12-01T00:00:00+01:00",
    mode="enforce",
)


class Desk:
    def __init__(self) -> None:
        self.log = Log()
        self.metrics = Metrics()
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.alarms = Alarms(
            metrics=self.metrics,
            log=self.log.logger,
            clock=ManualClock(),
            tell=lambda event, fields: self.events.append((event, fields)),
        )

    def gauge(self, dependency: str) -> str:
        return self.metric(f'gateway_degraded{{dependency="{dependency}"}}')

    def metric(self, name: str) -> str:
        (line,) = [line for line in self.metrics.render().decode().splitlines() if line.startswith(name)]
        return line.rpartition(" ")[2]

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        return [(line["event"], line["level"], line.get("why")) for line in self.log.lines]


Tell = Callable[[Alarms], None]

TROUBLES: list[tuple[str, Tell, Tell, list[tuple[str, str, str | None]]]] = [
    (
        "redis",
        lambda alarms: alarms.redis(True, "no answer"),
        lambda alarms: alarms.redis(False, "it answers"),
        [("redis_away", "warning", "no answer"), ("redis_back", "warning", "it answers")],
    ),
    (
        "ledger",
        lambda alarms: alarms.ledger(AWAY),
        lambda alarms: alarms.ledger(None),
        [("ledger_away", "error", "the disk is full"), ("ledger_back", "warning", None)],
    ),
    (
        "database",
        lambda alarms: alarms.database(AWAY),
        lambda alarms: alarms.database(None),
        [("database_away", "error", "the disk is full"), ("database_back", "warning", None)],
    ),
    (
        "keys",
        lambda alarms: alarms.keys(AWAY),
        lambda alarms: alarms.keys(None),
        [("keys_away", "error", "the disk is full"), ("keys_back", "warning", None)],
    ),
    (
        "signals",
        lambda alarms: alarms.signals("no answer"),
        lambda alarms: alarms.signals(None),
        [("signals_away", "warning", "no answer"), ("signals_back", "warning", None)],
    ),
]


@pytest.mark.parametrize(
    ("dependency", "begins", "ends", "told"), TROUBLES, ids=[dependency for dependency, *_ in TROUBLES]
)
def test_trouble_and_its_end_each_show_in_a_metric_and_a_line(
    dependency: str, begins: Tell, ends: Tell, told: list[tuple[str, str, str | None]]
) -> None:
    desk = Desk()
    begins(desk.alarms)
    assert (desk.gauge(dependency), desk.told) == ("1.0", told[:1])
    ends(desk.alarms)
    assert (desk.gauge(dependency), desk.told) == ("0.0", told)


def test_trouble_with_keys_that_lasts_is_told_once() -> None:
    desk = Desk()
    for trouble in (None, AWAY, AWAY, None, None):
        desk.alarms.keys(trouble)
    assert [event for event, _, _ in desk.told] == ["keys_away", "keys_back"]


def test_the_keys_of_an_issuer_are_away_and_back_once_each() -> None:
    desk = Desk()
    for trouble in (None, "503", "no answer", None, None):
        desk.alarms.keys_of_issuer("entra", trouble)
    assert [(line["event"], line["level"], line["issuer"], line.get("why")) for line in desk.log.lines] == [
        ("issuer_away", "error", "entra", "503"),
        ("issuer_back", "warning", "entra", None),
    ]
    assert desk.metric('gateway_issuer_down{issuer="entra"}') == "0.0"


def test_each_issuer_has_its_own_trouble() -> None:
    desk = Desk()
    for issuer in ("entra", "ci"):
        desk.alarms.keys_of_issuer(issuer, "503")
    desk.alarms.keys_of_issuer("ci", None)
    down = [desk.metric(f'gateway_issuer_down{{issuer="{issuer}"}}') for issuer in ("entra", "ci")]
    assert down == ["1.0", "0.0"]


def test_a_damaged_journal_names_the_file_in_which_its_lines_are_kept() -> None:
    desk = Desk()
    desk.alarms.journal_damaged(Path("wrk_1.damaged"), 2, "the disk has altered them")
    (line,) = desk.log.lines
    assert (line["event"], line["level"], line["file"]) == ("journal_damaged", "error", "wrk_1.damaged")
    assert (line["lines"], line["why"]) == (2, "the disk has altered them")
    assert desk.metric("gateway_journal_damaged_lines_total") == "2.0"


def test_a_journal_that_is_left_tells_its_size() -> None:
    desk = Desk()
    desk.alarms.journal_left(700)
    (line,) = desk.log.lines
    assert (line["event"], line["level"], line["bytes"]) == ("journal_left", "warning", 700)


def test_what_waits_in_the_journal_is_shown() -> None:
    desk = Desk()
    desk.alarms.journal(size=900, age=1.5)
    names = ("bytes", "behind_seconds")
    assert [desk.metric(f"gateway_journal_{name}") for name in names] == ["900.0", "1.5"]


def test_a_leak_names_its_exchange() -> None:
    desk = Desk()
    desk.alarms.leaked("req_1")
    (line,) = desk.log.lines
    assert (line["event"], line["level"], line["request_id"]) == ("reservation_leaked", "error", "req_1")
    assert desk.metric("gateway_reservations_leaked_total") == "1.0"


def test_what_dead_processes_left_is_told() -> None:
    desk = Desk()
    desk.alarms.recovered(3)
    (line,) = desk.log.lines
    assert (line["event"], line["level"], line["count"]) == ("attempts_recovered", "warning", 3)


def test_bytes_that_are_no_request_get_a_name_under_which_they_are_logged() -> None:
    desk = Desk()
    name = desk.alarms.malformed(GatewayError(ErrorCode.HEADERS_TOO_LARGE, "what a client sent"))
    (line,) = desk.log.lines
    assert (line["event"], line["request_id"], line["code"]) == (
        "malformed_request",
        name,
        "headers_too_large",
    )
    assert "what a client sent" not in desk.log.text
    assert desk.metric("gateway_malformed_requests_total") == "1.0"


def test_every_request_that_is_none_has_a_name_of_its_own() -> None:
    desk = Desk()
    error = GatewayError(ErrorCode.BAD_REQUEST, "No.")
    names = {desk.alarms.malformed(error) for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("req_") for name in names)


class TestUnpriced:
    def test_it_is_told_once_for_each_model_and_tier(self) -> None:
        desk = Desk()
        for _ in range(3):
            desk.alarms.unpriced("gpt-5", "", "nothing")
            desk.alarms.unpriced("gpt-5", "flex", "ceiling")
            desk.alarms.unpriced("gpt-4o", "", "nothing")
        told = [
            (line["event"], line["level"], line["model"], line["service_tier"], line["priced_by"])
            for line in desk.log.lines
        ]
        assert told == [
            ("attempt_unpriced", "warning", "gpt-5", "standard", "nothing"),
            ("attempt_unpriced", "warning", "gpt-5", "flex", "ceiling"),
            ("attempt_unpriced", "warning", "gpt-4o", "standard", "nothing"),
        ]

    def test_an_upstream_that_invents_tiers_does_not_fill_the_log(self) -> None:
        desk = Desk()
        for number in range(1_500):
            desk.alarms.unpriced("gpt-5", f"tier-{number}", "nothing")
        assert len(desk.told) == 1_000


class TestDoubtfulUsage:
    def test_each_is_counted(self) -> None:
        desk = Desk()
        for _ in range(3):
            desk.alarms.doubtful_usage("openai", Doubt.NEGATIVE)
        name = 'gateway_doubtful_usage_total{reason="negative",upstream="openai"}'
        assert desk.metric(name) == "3.0"

    def test_it_is_told_now_and_then(self) -> None:
        log, clock = Log(), ManualClock()
        alarms = Alarms(metrics=Metrics(), log=log.logger, clock=clock)
        for _ in range(5):
            alarms.doubtful_usage("openai", Doubt.NEGATIVE)
        clock.advance(600)
        alarms.doubtful_usage("openai", Doubt.NEGATIVE)
        told = [(line["event"], line["upstream"], line["reason"], line["answers"]) for line in log.lines]
        assert told == [
            ("doubtful_usage", "openai", "negative", 1),
            ("doubtful_usage", "openai", "negative", 5),
        ]

    def test_each_upstream_and_each_reason_is_told_by_itself(self) -> None:
        desk = Desk()
        for upstream in ("openai", "azure"):
            for doubt in (Doubt.LATE, Doubt.ZERO):
                desk.alarms.doubtful_usage(upstream, doubt)
        assert len(desk.told) == 4


class TestBudgets:
    def test_a_threshold_is_a_line_with_all_its_fields(self) -> None:
        desk = Desk()
        desk.alarms.budget(ALERT)
        (line,) = desk.log.lines
        assert (line["event"], line["level"]) == ("budget_threshold", "warning")
        assert asdict(ALERT).items() <= line.items()

    @pytest.mark.parametrize(("team", "label"), [("search", "search"), (None, "*")])
    def test_a_threshold_is_counted(self, team: str | None, label: str) -> None:
        desk = Desk()
        desk.alarms.budget(replace(ALERT, team=team))
        labels = f'budget="team-month",percent="80",team="{label}"'
        assert desk.metric(f"gateway_budget_alerts_total{{{labels}}}") == "1.0"

    def test_a_threshold_is_told_to_whoever_is_to_be_woken(self) -> None:
        desk = Desk()
        desk.alarms.budget(ALERT)
        assert desk.events == [("budget_threshold", asdict(ALERT))]

    def test_nobody_need_be_woken(self) -> None:
        log = Log()
        Alarms(metrics=Metrics(), log=log.logger, clock=ManualClock()).budget(ALERT)
        assert len(log.lines) == 1


class TestRedis:
    def test_what_is_unfit_about_it_is_told(self) -> None:
        desk = Desk()
        desk.alarms.redis_unfit("eviction", "It evicts keys once it is full.")
        (line,) = desk.log.lines
        assert (line["event"], line["level"]) == ("redis_unfit", "warning")
        assert (line["fault"], line["finding"]) == ("eviction", "It evicts keys once it is full.")
        assert desk.metric('gateway_redis_findings_total{fault="eviction"}') == "1.0"

    def test_what_it_has_lost_is_told(self) -> None:
        desk = Desk()
        desk.alarms.redis_emptied()
        assert desk.told == [("redis_emptied", "warning", None)]
        assert desk.metric("gateway_redis_emptied_total") == "1.0"

    @pytest.mark.parametrize("seconds", [0.0, 4.9, -4.9])
    def test_a_clock_that_is_nearly_right_is_no_matter(self, seconds: float) -> None:
        desk = Desk()
        desk.alarms.redis_clock(seconds)
        assert (desk.told, desk.metric("gateway_redis_clock_offset_seconds")) == ([], str(seconds))

    @pytest.mark.parametrize("seconds", [5.1, -3600.0])
    def test_a_clock_that_is_wrong_is_told_each_way(self, seconds: float) -> None:
        desk = Desk()
        for offset in (seconds, seconds, 4.0, 2.4, 0.0):
            desk.alarms.redis_clock(offset)
        assert [(line["event"], line["seconds"]) for line in desk.log.lines] == [
            ("redis_clock_off", seconds),
            ("redis_clock_right", 2.4),
        ]
