"""`/admin/teams` and `/admin/policy`: what the policy files in force say."""

from dataclasses import replace

import pytest

from gateway.core.policy import ShapingKind, ShapingRule
from tests.support.operators import Client, OperatorsHouse, by


@pytest.mark.parametrize(
    ("name", "teams"),
    [("viewer", ["ads", "search"]), ("search-lead", ["search"]), ("both-lead", ["ads", "search"])],
)
async def test_teams_are_those_in_view(client: Client, name: str, teams: list[str]) -> None:
    told = await (await client.get("/admin/teams", headers=by(name))).json()
    assert [each["team"] for each in told["data"]] == teams


async def test_a_team_is_told_as_its_files_say(client: Client) -> None:
    told = await (await client.get("/admin/teams/search", headers=by("search-lead"))).json()
    (limit,) = told.pop("limits")
    assert (limit["name"], limit["counts"], limit["amount"]) == ("team-requests", "requests", 10)
    assert told == {
        "team": "search",
        "description": "The team search.",
        "cost_centre": "cc-search",
        "endpoints": ["*"],
        "models": ["gpt-5"],
        "budgets": [],
        "filters": [],
        "shaping": [],
        "keys_with_policies": [],
    }


async def test_a_rule_about_several_members_is_told_once(client: Client, house: OperatorsHouse) -> None:
    search = house.policies.teams["search"]
    rules = tuple(
        ShapingRule("longest", ShapingKind.CLAMP, member, at_most=9) for member in ("max_tokens", "n")
    )
    policy = replace(search.policy, shaping=rules)
    house.policies = replace(house.policies, teams={"search": replace(search, policy=policy)})
    told = await (await client.get("/admin/teams/search", headers=by("ops"))).json()
    assert told["shaping"] == ["longest"]


async def test_a_team_that_there_is_not_is_none(client: Client) -> None:
    assert (await client.get("/admin/teams/serch", headers=by("ops"))).status == 404


async def test_the_version_is_that_of_the_files_in_force(client: Client, house: OperatorsHouse) -> None:
    house.policies = replace(house.policies, version="77aa")
    told = await (await client.get("/admin/policy", headers=by("auditor"))).json()
    assert told == {
        "version": "77aa",
        "price_version": "77aa",
        "teams": 2,
        "models": 1,
        "issuers": ["entra"],
    }
