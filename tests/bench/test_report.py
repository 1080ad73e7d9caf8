"""What the table says of a bar must be so: the docs are copied from it."""

import pytest

from tests.bench.contestants import BARE, GATEWAY, GATEWAY_REDIS
from tests.bench.report import DIRECT, Rounds, cells

_ADDED = "CPU that limits in Redis add, µs"


def rounds_of(**cpu_us: list[float]) -> Rounds:
    """Rounds in which only the CPU per JSON request was measured."""
    names = {"bare": BARE, "gateway": GATEWAY, "redis": GATEWAY_REDIS}
    return {DIRECT: [{}, {}, {}]} | {
        names[name]: [{"json_cpu_us": figure} for figure in figures] for name, figures in cpu_us.items()
    }


def rows(rounds: Rounds) -> dict[str, dict[str, str]]:
    """Each row by its title, its cells by those of the head; the verdict has none."""
    table = cells(rounds)
    return {title: dict(zip(table.head[1:], row, strict=True)) for title, *row in table.rows}


def test_what_redis_adds_is_reckoned_within_each_round() -> None:
    found = rows(rounds_of(gateway=[200, 300, 250], redis=[220, 310, 280]))
    assert found[_ADDED] == {
        GATEWAY: "",
        GATEWAY_REDIS: "20.0",
        "÷ nginx": "",
        "÷ bare relay": "",
        "bar": "≤ 40",
        "": "within",
    }


@pytest.mark.parametrize(("added", "verdict"), [(40, "within"), (41, "over")])
def test_redis_may_add_forty_microseconds(added: float, verdict: str) -> None:
    found = rows(rounds_of(gateway=[200] * 3, redis=[200 + added] * 3))
    assert found[_ADDED][""] == verdict


@pytest.mark.parametrize(("gateway", "verdict"), [(160, "within"), (161, "over")])
def test_the_gateway_is_judged_beside_the_bare_relay_without_redis(gateway: float, verdict: str) -> None:
    found = rows(rounds_of(bare=[100] * 3, gateway=[gateway] * 3, redis=[900] * 3))
    assert found["CPU per JSON request, µs"][""] == verdict


def test_what_redis_adds_is_unknown_without_the_gateway_in_memory() -> None:
    assert _ADDED not in rows(rounds_of(redis=[300, 300, 300]))
