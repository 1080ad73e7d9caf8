"""`/admin/revocations`: who may take what back, and who sees what was."""

from typing import Any

import pytest

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.auth.keys.checks import NewKey
from gateway.core.actor import Actor, Role
from tests.support.operators import Client, OperatorsHouse, by, problem

OPS = Actor("token:ops", Role.OPERATOR)


async def revoke(client: Client, name: str, body: dict[str, Any]) -> tuple[int, Any]:
    answer = await client.post("/admin/revocations", json=body, headers=by(name))
    return answer.status, await answer.json()


async def seen(client: Client, name: str) -> list[tuple[str, str]]:
    told = await (await client.get("/admin/revocations", headers=by(name))).json()
    return [(each["kind"], each["value"]) for each in told["data"]]


@pytest.mark.parametrize(
    ("kind", "value"), [("user", "user:alice"), ("team", "search"), ("issuer", "entra"), ("all", "")]
)
async def test_an_operator_takes_anything_back(
    client: Client, house: OperatorsHouse, kind: str, value: str
) -> None:
    status, told = await revoke(
        client, "ops", {"kind": kind, "value": value, "reason": "lost", "cut_streams": True}
    )
    (revocation,) = house.revocations.revocations
    assert (status, told["id"], told["until"]) == (201, revocation.id, 1_795_000_000)
    assert (told["kind"], told["value"], told["by"], told["cut_streams"]) == (kind, value, "token:ops", True)


async def test_a_team_admin_takes_back_what_its_team_has(client: Client, house: OperatorsHouse) -> None:
    status, _ = await revoke(client, "search-lead", {"kind": "team", "value": "search"})
    assert (status, house.revocations.acts[0].actor) == (201, "token:search-lead")


@pytest.mark.parametrize(("kind", "value"), [("user", "user:alice"), ("issuer", "entra"), ("all", "")])
async def test_what_spans_teams_is_for_operators(
    client: Client, house: OperatorsHouse, kind: str, value: str
) -> None:
    status, told = await revoke(client, "search-lead", {"kind": kind, "value": value})
    assert (status, told["field"], house.revocations.revocations) == (403, "kind", [])
    assert "`operator`" in told["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "key", "value": "x"}, "kind"),
        ({"kind": "team", "value": "serch"}, "value"),
        ({"kind": "issuer", "value": "okta"}, "value"),
        ({"kind": "user"}, "value"),
        ({"kind": "all", "value": "x"}, "value"),
        ({"kind": "all", "until": 4_000_000_000}, "until"),
        ({"kind": "all", "since": 4_000_000_000}, "since"),
        ({"kind": "all", "reason": "sk-0123456789abcdef0123"}, "reason"),
    ],
)
async def test_what_cannot_be_taken_back_is_refused_with_the_field_named(
    client: Client, body: dict[str, Any], field: str
) -> None:
    answer = await client.post("/admin/revocations", json=body, headers=by("ops"))
    assert (answer.status, (await problem(answer))["field"]) == (422, field)


async def test_a_team_admin_sees_what_concerns_its_teams_alone(client: Client, house: OperatorsHouse) -> None:
    keys = {
        team: (await house.desk.create(NewKey(team=team, name="web"), OPS))[0].id
        for team in ("search", "ads")
    }
    everything = [
        (RevocationKind.USER, "user:alice"),
        (RevocationKind.TEAM, "search"),
        (RevocationKind.TEAM, "ads"),
        (RevocationKind.KEY, keys["search"]),
        (RevocationKind.KEY, keys["ads"]),
        (RevocationKind.ISSUER, "entra"),
        (RevocationKind.ALL, ""),
    ]
    house.revocations.revocations = [
        Revocation(f"rev_{number}", kind, value, 0, 1, 1, "token:ops")
        for number, (kind, value) in enumerate(everything)
    ]
    assert await seen(client, "search-lead") == [("team", "search"), ("key", keys["search"])]
    assert await seen(client, "viewer") == [(kind.value, value) for kind, value in everything]
