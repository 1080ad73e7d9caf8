"""What operators are told: one metric and one line, each way."""

from collections.abc import Callable

import pytest

from gateway.core.errors import ErrorCode, GatewayError, StoreUnavailable
from gateway.telemetry.alarms import Alarms
from gateway.telemetry.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.log import Log

AWAY = StoreUnavailable("the disk is full")


class Desk:
    def __init__(self) -> None:
        self.log = Log()
        self.metrics = Metrics()
        self.alarms = Alarms(metrics=self.metrics, log=self.log.logger, clock=ManualClock())

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
        "keys",
        lambda alarms: alarms.keys(AWAY),
        lambda alarms: alarms.keys(None),
        [("keys_away", "error", "the disk is full"), ("keys_back", "warning", None)],
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
