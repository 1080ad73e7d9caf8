"""The usage API on the operators' port. Who may read it: tests/unit/admin/test_operators.py."""

from typing import Any

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.core.usage_question import Whose
from gateway.wire.endpoints import ORGANIZATION
from tests.support.memory import MemoryUsage
from tests.support.operators import Client, OperatorsHouse, by

PATHS = [endpoint.path for endpoint in ORGANIZATION]


@pytest.fixture
def usage(house: OperatorsHouse) -> MemoryUsage:
    return house.usage


@pytest.fixture
async def client(house: OperatorsHouse, aiohttp_client: Any) -> Client:
    client: Client = await aiohttp_client(house.operators().application(), headers=by("viewer"))
    return client


@pytest.mark.parametrize("path", PATHS)
async def test_every_operation_is_answered(client: Client, path: str) -> None:
    answer = await client.get(path, params={"start_time": 0, "limit": 3})
    body = await answer.json()
    assert (answer.status, answer.content_type, len(body["data"])) == (200, "application/json", 3)


async def test_all_teams_are_asked_for(client: Client, usage: MemoryUsage) -> None:
    await client.get("/v1/organization/costs?start_time=0")
    assert Whose.TEAM not in usage.questions[0].only


async def test_teams_are_picked_by_their_projects(client: Client, usage: MemoryUsage) -> None:
    await client.get("/v1/organization/costs?start_time=0&project_ids[]=a%26b&project_ids[]=search")
    assert usage.questions[0].only == {Whose.TEAM: {"a&b", "search"}}


async def test_a_mistake_is_told_in_openais_shape(client: Client) -> None:
    answer = await client.get("/v1/organization/costs?start_time=soon")
    error = (await answer.json())["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", "start_time")


async def test_a_ledger_that_is_away_is_told_with_when_to_come_again(
    client: Client, usage: MemoryUsage
) -> None:
    usage.error = StoreUnavailable("hush")
    answer = await client.get("/v1/organization/costs?start_time=0")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "hush" not in await answer.text()
