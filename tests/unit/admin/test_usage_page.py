"""`/admin/usage`: what is asked of the ledger, and what is said of a wrong question."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.admin.interfaces import Asked
from gateway.admin.problems import Problem
from gateway.admin.usage_page import UsagePage
from gateway.core.actor import Actor, Role
from gateway.metering.interfaces import GROUPS
from gateway.metering.ledger.memory import MemoryLedger
from tests.support.clock import ManualClock
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission

NOW = NOON / 1000 + 3600


@pytest.fixture
async def ledger() -> MemoryLedger:
    """Three attempts: of two teams, two of today and one of forty days ago."""
    ledger = MemoryLedger()
    for name, team, settled_at in (
        ("att_1", "search", NOON),
        ("att_2", "ads", NOON),
        ("att_3", "search", NOON - 40 * DAY),
    ):
        await ledger.admit(an_admission(name, team=team))
        ledger.settle(a_settlement(name, settled_at=settled_at))
    return ledger


OPS = Actor("token:ops", Role.OPERATOR)


def team_admin(*teams: str) -> Actor:
    return Actor("token:lead", Role.TEAM_ADMIN, frozenset(teams))


async def answer(ledger: MemoryLedger, query: Mapping[str, Any], actor: Actor = OPS) -> dict[str, Any]:
    page = UsagePage(reports=ledger, clock=ManualClock(NOW))
    told: dict[str, Any] = msgspec.to_builtins(await page.usage(Asked(actor, query=query)))
    return told


async def test_without_a_question_it_is_every_team_of_thirty_days(ledger: MemoryLedger) -> None:
    told = await answer(ledger, {})
    assert [(row["team"], row["attempts"], row["cost_microdollars"]) for row in told["rows"]] == [
        ("ads", 1, 340),
        ("search", 1, 340),
    ]
    assert (told["by"], told["until"], told["only"]) == (["team"], None, {})
    assert told["since"] == datetime(2026, 10, 19, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize(
    ("query", "attempts"),
    [
        ({"days": 40}, 3),
        ({"since": "40d"}, 3),
        ({"since": "2026-10", "until": "2026-11"}, 1),
        ({"since": "2026-10-10", "until": "2026-11-18"}, 0),
        ({"since": "2h"}, 2),
        ({"team": "ads"}, 1),
        ({"team": "ads", "tier": "flex"}, 0),
        ({"user": "key:search/web", "endpoint": "create_chat_completion", "upstream": "openai"}, 2),
    ],
)
async def test_what_is_asked_is_what_is_counted(
    ledger: MemoryLedger, query: Mapping[str, Any], attempts: int
) -> None:
    told = await answer(ledger, {"by": "model", **query})
    assert sum(row["attempts"] for row in told["rows"]) == attempts


@pytest.mark.parametrize("group", GROUPS)
async def test_every_group_can_be_asked(ledger: MemoryLedger, group: str) -> None:
    assert {next(iter(row)) for row in (await answer(ledger, {"by": group}))["rows"]} == {group}


async def test_groups_may_be_several(ledger: MemoryLedger) -> None:
    assert (await answer(ledger, {"by": "day, team"}))["by"] == ["day", "team"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"by": "weather"}, "weather"),
        ({"by": "team,team"}, "each group at most once"),
        ({"days": 3, "since": "3d"}, "Say either days or since."),
        ({"since": "yesterday"}, "`yesterday` is no time. Write a day (2026-10-01)"),
        ({"until": "2026-02-30"}, "`2026-02-30` is not in the calendar"),
        ({"since": "2026-10", "until": "2026-10"}, "the end, which is not included, must be after"),
    ],
)
async def test_a_wrong_question_is_refused_with_what_can_be_asked(
    ledger: MemoryLedger, query: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(Problem, match=r".") as refused:
        await answer(ledger, query)
    assert (refused.value.status, told in refused.value.detail) == (400, True)


async def test_a_team_admin_is_told_of_its_own_team(ledger: MemoryLedger) -> None:
    told = await answer(ledger, {"by": "team"}, team_admin("search"))
    assert [(row["team"], row["attempts"]) for row in told["rows"]] == [("search", 1)]


async def test_what_its_teams_have_used_is_added_up(ledger: MemoryLedger) -> None:
    told = await answer(ledger, {"by": "model"}, team_admin("search", "ads"))
    assert [(row["attempts"], row["cost_microdollars"]) for row in told["rows"]] == [(2, 680)]


async def test_several_teams_are_told_apart_when_that_is_asked(ledger: MemoryLedger) -> None:
    told = await answer(ledger, {"by": "team"}, team_admin("search", "ads", "idle"))
    assert [row["team"] for row in told["rows"]] == ["ads", "search"]


async def test_another_team_is_none(ledger: MemoryLedger) -> None:
    with pytest.raises(Problem) as refused:
        await answer(ledger, {"team": "ads"}, team_admin("search"))
    assert refused.value.status == 404


async def test_a_team_admin_without_teams_is_told_nothing(ledger: MemoryLedger) -> None:
    assert (await answer(ledger, {}, team_admin()))["rows"] == []
