"""`/admin/keys`: pages of keys, and what becomes of them."""

from typing import Any

import pytest

from gateway.auth.interfaces import StoredKey
from gateway.auth.keys.checks import NewKey
from gateway.auth.keys.uses import KeyUse
from gateway.core.actor import Actor, Role
from gateway.core.grant import Grant
from tests.support.operators import AN_IMPORTED, Client, OperatorsHouse, by, problem

OPS = Actor("token:ops", Role.OPERATOR)


async def make(house: OperatorsHouse, team: str, *names: str) -> list[StoredKey]:
    made = []
    for name in names:
        key, _ = await house.desk.create(NewKey(team=team, name=name), OPS)
        house.clock.advance(1)
        made.append(key)
    return made


async def listed(client: Client, name: str = "ops", **query: str) -> list[str]:
    """The names on all pages."""
    found: list[str] = []
    while True:
        told = await (await client.get("/admin/keys", params=query, headers=by(name))).json()
        found += [key["name"] for key in told["data"]]
        assert told["has_more"] == (told["next"] is not None)
        if not told["has_more"]:
            return found
        query["after"] = told["next"]


async def post(client: Client, path: str, body: Any = None, name: str = "ops") -> tuple[int, Any]:
    answer = await client.post(path, json=body, headers=by(name))
    return answer.status, await answer.json()


# Pages.


@pytest.mark.parametrize("limit", ["1", "2", "3", "4", "200"])
async def test_every_key_is_on_one_page(client: Client, house: OperatorsHouse, limit: str) -> None:
    await make(house, "search", "a", "b")
    await make(house, "ads", "c")
    await make(house, "search", "d")
    assert await listed(client, limit=limit) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("limit", ["1", "2", "3"])
async def test_a_team_admin_of_several_teams_sees_them_one_after_the_other(
    client: Client, house: OperatorsHouse, limit: str
) -> None:
    await make(house, "search", "a", "b")
    await make(house, "ads", "c")
    await make(house, "search", "d")
    await make(house, "ads", "e")
    assert await listed(client, "both-lead", limit=limit) == ["c", "e", "a", "b", "d"]


async def test_a_team_admin_sees_its_own_keys_alone(client: Client, house: OperatorsHouse) -> None:
    await make(house, "search", "a")
    await make(house, "ads", "b")
    assert await listed(client, "search-lead") == ["a"]
    assert await listed(client, "ads-lead", team="ads") == ["b"]


async def test_keys_are_picked_by_team_and_state(client: Client, house: OperatorsHouse) -> None:
    _, disabled, revoked = await make(house, "search", "live", "disabled", "revoked")
    await make(house, "ads", "other")
    await house.desk.disable(disabled.id, by=OPS)
    await house.desk.revoke(revoked.id, by=OPS)
    assert await listed(client, team="search") == ["live", "disabled", "revoked"]
    for state in ("live", "disabled", "revoked"):
        assert await listed(client, team="search", state=state, limit="1") == [state]
    assert await listed(client, state="expired") == []


async def test_more_keys_than_are_read_at_once_are_listed(client: Client, house: OperatorsHouse) -> None:
    names = [f"key-{number:03}" for number in range(450)]
    await make(house, "search", *names)
    assert await listed(client, limit="200") == names
    assert await listed(client, state="revoked") == []


@pytest.mark.parametrize("name", ["ops", "ads-lead"])
async def test_a_page_after_a_key_that_is_not_in_view_is_refused(
    client: Client, house: OperatorsHouse, name: str
) -> None:
    (theirs,) = await make(house, "search", "a")
    for after in (theirs.id, "nosuchkeyyet"):
        answer = await client.get("/admin/keys", params={"team": "ads", "after": after}, headers=by(name))
        assert (answer.status, (await problem(answer))["field"]) == (400, "after")


# One key.


async def test_a_key_is_shown_with_all_but_its_secret(client: Client, house: OperatorsHouse) -> None:
    grant = Grant(models=("gpt-*",), read_only=True, concurrent=3)
    new = NewKey(team="search", name="web", owner="user:alice", grant=grant, addresses=["10.0.0.0/8"])
    key, _ = await house.desk.create(new, OPS)
    await house.uses.write({key.id: KeyUse(1_795_000_001, "10.1.2.3")})
    answer = await client.get(f"/admin/keys/{key.id}", headers=by("viewer"))
    assert await answer.json() == {
        "id": key.id,
        "team": "search",
        "name": "web",
        "owner": "user:alice",
        "state": "live",
        "created_at": 1_795_000_000,
        "created_by": "token:ops",
        "issued_at": 1_795_000_000,
        "expires_at": None,
        "disabled_at": None,
        "revoked_at": None,
        "overlap_until": None,
        "grant": {
            "endpoints": ["*"],
            "models": ["gpt-*"],
            "read_only": True,
            "requests_per_minute": None,
            "tokens_per_minute": None,
            "concurrent": 3,
            "dollars_per_month": None,
        },
        "addresses": ["10.0.0.0/8"],
        "imported": False,
        "last_used_at": 1_795_000_001,
        "last_used_from": "10.1.2.3",
    }


# What becomes of them.


async def test_a_key_is_made_as_it_was_asked_for(client: Client, house: OperatorsHouse) -> None:
    body = {
        "team": "search",
        "name": "web",
        "owner": "service:ci",
        "expires_at": 1_796_000_000,
        "grant": {"models": ["gpt-5"], "requests_per_minute": 60},
        "addresses": ["192.0.2.1"],
    }
    status, told = await post(client, "/admin/keys", body, "search-lead")
    key = await house.keys.find(told["key"]["id"])
    assert (status, told["secret"][:4], key is not None and key.grant) == (
        201,
        "gwk_",
        Grant(models=("gpt-5",), requests_per_minute=60),
    )
    assert (told["key"]["created_by"], told["key"]["owner"]) == ("token:search-lead", "service:ci")
    assert (house.keys.acts[-1].actor, house.keys.acts[-1].team) == ("token:search-lead", "search")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": "web"}, 409, "name"),
        ({"team": "serch"}, 422, "team"),
        ({"expires_at": 1}, 422, "expires_at"),
        ({"owner": "alice"}, 422, "owner"),
        ({"addresses": ["10.0.0.0/99"]}, 422, "addresses"),
        ({"grant": {"models": ["claude"]}}, 422, "grant.models"),
        ({"grant": {"endpoints": ["chat"]}}, 422, "grant.endpoints"),
        ({"grant": {"concurrent": 0}}, 422, "grant.concurrent"),
    ],
)
async def test_what_cannot_be_made_is_refused_with_the_field_named(
    client: Client, house: OperatorsHouse, body: dict[str, Any], status: int, field: str
) -> None:
    await make(house, "search", "web")
    answer = await client.post(
        "/admin/keys", json={"team": "search", "name": "new", **body}, headers=by("ops")
    )
    assert (answer.status, (await problem(answer))["field"]) == (status, field)
    assert len(house.keys.acts) == 1


async def test_a_team_admin_is_not_told_which_teams_there_are(client: Client) -> None:
    for team in ("search", "serch"):
        answer = await client.post("/admin/keys", json={"team": team, "name": "x"}, headers=by("ads-lead"))
        assert (answer.status, (await problem(answer))["detail"]) == (422, "There is no such team.")


async def test_a_key_is_brought_in_by_its_hash(client: Client) -> None:
    body = {"team": "search", "name": "old", "sha256": AN_IMPORTED.upper()}
    status, told = await post(client, "/admin/keys/import", body)
    assert (status, told["imported"], AN_IMPORTED in str(told)) == (201, True, False)


async def test_whose_a_known_hash_is_is_not_told(client: Client) -> None:
    await post(client, "/admin/keys/import", {"team": "search", "name": "old", "sha256": AN_IMPORTED})
    body = {"team": "ads", "name": "mine", "sha256": AN_IMPORTED}
    status, told = await post(client, "/admin/keys/import", body, "ads-lead")
    assert (status, told["field"], "search" in told["detail"]) == (422, "sha256", False)


async def test_a_rotated_key_has_a_new_secret_and_an_overlap(client: Client, house: OperatorsHouse) -> None:
    (key,) = await make(house, "search", "web")
    status, told = await post(client, f"/admin/keys/{key.id}/rotate", {"overlap_seconds": 60}, "search-lead")
    assert (status, told["key"]["id"], told["key"]["overlap_until"]) == (200, key.id, 1_795_000_061)
    assert told["secret"].startswith(f"gwk_{key.id}_")
    status, told = await post(client, f"/admin/keys/{key.id}/rotate")
    assert (status, told["field"]) == (422, "overlap_seconds")


async def test_a_key_is_disabled_enabled_and_revoked(client: Client, house: OperatorsHouse) -> None:
    (key,) = await make(house, "search", "web")
    for act, state in (("disable", "disabled"), ("enable", "live"), ("revoke", "revoked")):
        status, told = await post(client, f"/admin/keys/{key.id}/{act}", name="search-lead")
        assert (status, told["state"]) == (200, state)
    status, told = await post(client, f"/admin/keys/{key.id}/enable")
    assert (status, told["field"]) == (422, "state")


async def test_a_revocation_says_why_and_whether_streams_are_cut(
    client: Client, house: OperatorsHouse
) -> None:
    (key,) = await make(house, "search", "web")
    await post(client, f"/admin/keys/{key.id}/revoke", {"reason": "leaked", "cut_streams": True})
    (revocation,) = house.keys.revocations
    assert (revocation.reason, revocation.cut_streams, revocation.by) == ("leaked", True, "token:ops")
