"""`/admin/explain` and `/admin/refusals`: whose requests are explained to whom, and who asks in a dry run."""

from typing import Any

import pytest

from gateway.auth.keys.checks import NewKey
from gateway.core.actor import Actor, Role
from gateway.core.grant import Grant
from tests.support.operators import Client, OperatorsHouse, by, problem

OPS = Actor("token:ops", Role.OPERATOR)


async def refused(client: Client, name: str, **query: str) -> list[str]:
    told = await (await client.get("/admin/refusals", params=query, headers=by(name))).json()
    return [each["request_id"] for each in told["data"]]


async def rehearse(client: Client, body: dict[str, Any], name: str = "ops") -> tuple[int, Any]:
    whole = {"path": "/v1/chat/completions", "body": {"model": "gpt-5"}, **body}
    answer = await client.post("/admin/explain", json=whole, headers=by(name))
    return answer.status, await answer.json()


async def test_a_request_is_explained(client: Client) -> None:
    told = await (await client.get("/admin/explain/req_1", headers=by("viewer"))).json()
    (decision,) = told["decisions"]
    (counter,) = told["counters"]
    assert (decision["rule"], decision["where"]) == ("limits.team-requests", "teams/search.yaml:12")
    assert (counter["limit"], counter["remaining"], counter["reset_seconds"]) == (10, 0, 6.0)


@pytest.mark.parametrize(
    ("name", "request_id", "status"),
    [
        ("ops", "req_2", 200),
        ("ops", "req_3", 200),
        ("ops", "req_9", 404),
        ("search-lead", "req_1", 200),
        ("search-lead", "req_2", 404),
        ("search-lead", "req_3", 404),
    ],
)
async def test_only_what_is_theirs_is_explained_to_team_admins(
    client: Client, name: str, request_id: str, status: int
) -> None:
    assert (await client.get(f"/admin/explain/{request_id}", headers=by(name))).status == status


async def test_refusals_are_told_to_whom_they_concern(client: Client) -> None:
    assert await refused(client, "viewer") == ["req_1", "req_2", "req_3"]
    assert await refused(client, "viewer", team="ads") == ["req_2"]
    assert await refused(client, "viewer", limit="1") == ["req_1"]
    assert await refused(client, "search-lead") == ["req_1"]
    assert await refused(client, "both-lead") == ["req_1", "req_2"]


async def test_a_dry_run_is_made_as_the_holder_of_a_key(client: Client, house: OperatorsHouse) -> None:
    grant = Grant(models=("gpt-5",))
    key, _ = await house.desk.create(NewKey(team="search", name="web", grant=grant), OPS)
    status, told = await rehearse(client, {"key_id": key.id}, "search-lead")
    ((principal, method, path, body),) = house.rehearsal.asked
    assert (status, told["subject"]) == (200, "key:search/web")
    assert (principal.key_id, principal.key_name, principal.grant) == (key.id, "web", grant)
    assert (method, path, body) == ("POST", "/v1/chat/completions", b'{"model":"gpt-5"}')


@pytest.mark.parametrize(
    ("user", "subject"), [("alice", "user:alice"), ("service:ci", "service:ci"), ("", "team:search")]
)
async def test_a_dry_run_is_made_as_somebody_of_a_team(client: Client, user: str, subject: str) -> None:
    status, told = await rehearse(client, {"team": "search", "user": user}, "viewer")
    assert (status, told["subject"], told["team"]) == (200, subject, "search")


async def test_what_has_no_body_has_none(client: Client, house: OperatorsHouse) -> None:
    await rehearse(client, {"team": "search", "method": "GET", "path": "/v1/models", "body": None})
    assert house.rehearsal.asked[0][1:] == ("GET", "/v1/models", b"")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "key_id"),
        ({"user": "alice"}, "key_id"),
        ({"key_id": "nosuchkeyyet"}, "key_id"),
        ({"key_id": "nosuchkeyyet", "team": "search"}, "key_id"),
        ({"team": "search", "path": "/v1/files"}, "path"),
        ({"team": "search", "method": "PUT"}, "method"),
    ],
)
async def test_a_dry_run_that_cannot_be_made_is_refused(
    client: Client, body: dict[str, Any], field: str
) -> None:
    status, told = await rehearse(client, body)
    assert (status, told["field"]) == (422, field)


async def test_while_nobody_knows_what_is_left_there_is_no_dry_run(
    client: Client, house: OperatorsHouse
) -> None:
    house.rehearsal.away = True
    status, told = await rehearse(client, {"team": "search"})
    assert (status, told["detail"].startswith("Nobody knows what is left of limits: Redis")) == (503, True)


async def test_a_key_that_is_no_good_is_told_so(client: Client, house: OperatorsHouse) -> None:
    key, _ = await house.desk.create(NewKey(team="search", name="web"), OPS)
    await house.desk.disable(key.id, by=OPS)
    status, told = await rehearse(client, {"key_id": key.id})
    assert (status, told["detail"]) == (422, "The key is disabled: whatever comes with it is refused.")


async def test_another_teams_key_makes_no_dry_run(client: Client, house: OperatorsHouse) -> None:
    key, _ = await house.desk.create(NewKey(team="search", name="web"), OPS)
    bodies = [{"key_id": key.id}, {"key_id": "nosuchkeyyet"}]
    theirs, nobodys = [(await rehearse(client, body, "ads-lead"))[1]["detail"] for body in bodies]
    assert (theirs, house.rehearsal.asked) == (nobodys, [])


async def test_a_dry_run_is_not_kept_for_repetitions(client: Client, house: OperatorsHouse) -> None:
    headers = {**by("ops"), "idempotency-key": "k-1"}
    body = {"team": "search", "path": "/v1/chat/completions"}
    assert (await client.post("/admin/explain", json=body, headers=headers)).status == 200
    assert house.repeats.rows == {}


async def test_a_forgotten_request_is_told_in_a_sentence(client: Client) -> None:
    answer = await client.get("/admin/explain/req_9", headers=by("ops"))
    assert "only the latest ones" in (await problem(answer))["detail"]
