"""What a team used, asked as scripts ask OpenAI: with the official SDK and an ordinary key of the team."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError, PermissionDeniedError

from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database, open_database
from gateway.wire.endpoints import ORGANIZATION
from gateway.wire.organization_usage import OPERATIONS
from tests.journeys.test_every_endpoint import ASKS
from tests.journeys.test_telemetry import value
from tests.support.house import ADMIN_TOKEN, Answer, House, house
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.policy_files import EVERYTHING, write_policies
from tests.support.written_lines import an_adjustment, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400
TODAY = int(time.time()) // DAY * DAY
DAYS = 40
PATHS = {endpoint.name: endpoint.path.removeprefix("/v1") for endpoint in ORGANIZATION}


@asynccontextmanager
async def truth(house_: House) -> AsyncIterator[Database]:
    """The house's own database."""
    database = open_database(house_.settings.database_url.get_secret_value())
    try:
        yield database
    finally:
        await database.close()


def fill(database: Database) -> None:
    """An attempt of each of two teams on every day, the cheapest on the oldest."""
    for day in range(1, DAYS + 1):
        for team in ("research", "support"):
            name, at = f"att_{team}_{day:03}", (TODAY - day * DAY + 7 * 3600) * 1000
            write(
                database,
                an_admission(
                    name, exchange_id=name, team=team, endpoint="chat_completions", key_id=f"k{day % 2}"
                ),
                a_settlement(
                    name,
                    settled_at=at,
                    usage=Usage(UsageSource.PROVIDER, input_tokens=day, output_tokens=1),
                    cost=1000 - day,
                    answered_model=f"gpt-{day % 3}",
                ),
            )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def old(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house that has served for forty days."""
    folder = tmp_path_factory.mktemp("old")
    policies = write_policies(folder, research="", support="", billing="endpoints: [chat_completions]")
    async with house(folder, policies=policies, team="research") as opened:
        async with truth(opened) as database:
            fill(database)
        yield opened


@asynccontextmanager
async def sdk(house_: House) -> AsyncIterator[AsyncOpenAI]:
    """A script that is made for OpenAI; the team's key stands where it has the admin key."""
    async with AsyncOpenAI(
        base_url=house_.url, api_key="unused", admin_api_key=house_.key, max_retries=0
    ) as client:
        yield client


async def ask(house_: House, operation: str, **query: Any) -> Answer:
    return await house_.get(PATHS[operation], params={"start_time": TODAY - DAY, **query})


async def results(house_: House, operation: str, **query: Any) -> list[dict[str, Any]]:
    """Of all buckets of one page."""
    answer = await ask(house_, operation, **query)
    assert answer.status == 200, answer.body
    return [result for bucket in answer.json()["data"] for result in bucket["results"]]


def total(found: list[dict[str, Any]], measure: str) -> int | None:
    """Of all results; None when they do not tell it."""
    told = [result[measure] for result in found if measure in result]
    return sum(told) if told else None


async def operators(house_: House, path: str, query: Mapping[str, Any], token: str = ADMIN_TOKEN) -> Answer:
    """The same on the operators' port."""
    address = f"{house_.operators}/v1{path}"
    headers = {"authorization": f"Bearer {token}"}
    async with house_.http.get(address, params=query, headers=headers) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


# What was really used.


async def test_every_operation_tells_what_its_endpoints_used(tmp_path: Path) -> None:
    policies = write_policies(tmp_path, EVERYTHING)
    async with house(tmp_path, policies=policies) as house_:
        for each in ASKS:
            answer = await house_.ask(
                "POST", each.path, data=each.body, headers={"content-type": each.content_type}
            )
            assert answer.status == 200, each.name
        lines = await house_.ledger()
        for name, operation in OPERATIONS.items():
            mine = [line for line in lines if not operation.endpoints or line.endpoint in operation.endpoints]
            told = await results(house_, name)
            if name == "usage_costs":
                cost = sum(result["amount"]["value"] for result in told)
                assert cost == pytest.approx(sum(line.cost for line in mine) / 1e6)
                continue
            assert total(told, "num_model_requests") == len(mine) > 0, name
            assert total(told, "seconds") in (None, -(-sum(line.audio_milliseconds for line in mine) // 1000))
            for unit in ("input_tokens", "output_tokens", "images", "characters"):
                assert total(told, unit) in (None, sum(getattr(line, unit) for line in mine)), (name, unit)


async def test_a_request_is_told_with_its_team_user_key_and_model(home: House) -> None:
    begun = int(time.time())
    headers = {"authorization": f"Bearer {await home.new_key('research', 'told')}"}
    answer = await home.chat(headers=headers)
    (line,) = await home.ledger(answer.request_id)
    groups = "project_id,user_id,api_key_id,model,batch,service_tier"
    asked = {"start_time": begun - 60, "bucket_width": "1m", "group_by": groups, "api_key_ids": line.key_id}
    found = await home.get(PATHS["usage_completions"], params=asked, headers=headers)
    (bucket,) = [bucket for bucket in found.json()["data"] if bucket["results"]]
    (told,) = bucket["results"]
    assert bucket["start_time"] <= line.settled_at / 1000 < bucket["end_time"]
    assert {name: told[name] for name in groups.split(",")} == {
        "project_id": "research",
        "user_id": line.subject,
        "api_key_id": line.key_id,
        "model": line.answered_model,
        "batch": False,
        "service_tier": line.service_tier,
    }
    assert (told["input_tokens"], told["output_tokens"]) == (line.input_tokens, line.output_tokens)


async def test_asking_is_one_line_of_the_log_and_none_of_the_ledger(home: House) -> None:
    before = len(await home.ledger())
    answer = await ask(home, "usage_costs")
    line = await home.line(answer.request_id)
    assert (line["outcome"], line["status"], line["endpoint"]) == ("served", 200, "usage_costs")
    assert (await home.ledger(answer.request_id), len(await home.ledger())) == ([], before)
    labels = {"team": "search", "endpoint": "usage_costs", "outcome": "served", "owner": "none"}
    assert value(await home.metrics(), "gateway_exchanges_total", **labels) == 1


# As scripts for OpenAI ask.


async def test_the_official_sdk_walks_through_forty_days(old: House) -> None:
    total: Counter[str] = Counter()
    buckets, page = [], None
    async with sdk(old) as client:
        while True:
            more: dict[str, Any] = {} if page is None else {"page": page}
            found = await client.admin.organization.usage.completions(
                start_time=TODAY - DAYS * DAY, end_time=TODAY, limit=31, group_by=["model"], **more
            )
            for bucket in found.data:
                buckets.append((bucket.start_time, bucket.end_time))
                for result in bucket.results:
                    assert result.object == "organization.usage.completions.result"
                    total[str(result.model)] += result.input_tokens
            page = found.next_page
            assert found.has_more is (page is not None)
            if page is None:
                break
    expected = range(TODAY - DAYS * DAY, TODAY, DAY)
    assert buckets == [(start, start + DAY) for start in expected]
    assert total == {
        f"gpt-{rest}": sum(day for day in range(1, DAYS + 1) if day % 3 == rest) for rest in range(3)
    }


async def test_the_official_sdk_reads_every_operation(old: House) -> None:
    async with sdk(old) as client:
        usage = client.admin.organization.usage
        calls = {
            "usage_completions": usage.completions,
            "usage_embeddings": usage.embeddings,
            "usage_moderations": usage.moderations,
            "usage_images": usage.images,
            "usage_audio_speeches": usage.audio_speeches,
            "usage_audio_transcriptions": usage.audio_transcriptions,
            "usage_costs": usage.costs,
        }
        assert calls.keys() == OPERATIONS.keys()
        for call in calls.values():
            page: Any = await call(start_time=TODAY - 2 * DAY, end_time=TODAY, bucket_width="1d")
            assert (page.object, len(page.data), page.has_more) == ("page", 2, False)


async def test_costs_are_the_same_however_they_are_asked_for(old: House) -> None:
    everything = sum(1000 - day for day in range(1, DAYS + 1))
    for group_by in ("", "line_item", "api_key_id", "user_id", "project_id,line_item,api_key_id"):
        query: dict[str, Any] = {"start_time": TODAY - DAYS * DAY, "limit": 180}
        found = await results(old, "usage_costs", **query, **({"group_by": group_by} if group_by else {}))
        assert round(sum(result["amount"]["value"] for result in found) * 1e6) == everything


async def test_hours_and_pieces_of_days_are_the_same_sums(old: House) -> None:
    days = await results(old, "usage_completions", start_time=TODAY - 7 * DAY, end_time=TODAY)
    hours = await results(
        old,
        "usage_completions",
        start_time=TODAY - 7 * DAY,
        end_time=TODAY,
        bucket_width="1h",
        limit=168,
    )
    pieces = await results(
        old, "usage_completions", start_time=TODAY - 7 * DAY + 1, end_time=TODAY - 17 * 3600 + 1
    )
    sums = [sum(result["input_tokens"] for result in found) for found in (days, hours, pieces)]
    assert sums == [28, 28, 28]


async def test_a_correction_is_told_with_the_day_it_corrects(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        async with truth(house_) as database:
            at = (TODAY - 3 * DAY) * 1000
            write(
                database,
                an_admission(team="search", endpoint="chat_completions"),
                a_settlement(settled_at=at, cost=None),
            )
            query = {"start_time": TODAY - 3 * DAY, "limit": 180}
            (before,) = await results(house_, "usage_costs", **query)
            write(
                database,
                an_adjustment(settled_at=at, adjusted_at=at + 2 * DAY * 1000, cost=5_000_000, unpriced=-1),
            )
        (after,) = await results(house_, "usage_costs", **query)
        assert (before["amount"]["value"], before["unpriced"]) == (0, 1)
        assert (after["amount"], "unpriced" in after) == ({"value": 5.0, "currency": "usd"}, False)


# Nobody sees another team.


@pytest.mark.parametrize("project", ["support", "unheard-of", ""])
@pytest.mark.parametrize("operation", ["usage_completions", "usage_costs"])
async def test_another_teams_project_is_as_empty_as_one_that_there_is_not(
    old: House, operation: str, project: str
) -> None:
    asked = {"start_time": TODAY - 5 * DAY, "end_time": TODAY, "project_ids": project}
    assert await results(old, operation, **asked, group_by="project_id") == []


async def test_nobodys_filter_opens_another_team(old: House) -> None:
    asked = {"start_time": TODAY - 5 * DAY, "end_time": TODAY, "group_by": "project_id"}
    own = await results(old, "usage_completions", **asked)
    for more in ({"project_ids": ["research", "support"]}, {"api_key_ids": ["k0", "k1"]}):
        params = [*asked.items(), *((name, value) for name, values in more.items() for value in values)]
        answer = await old.get(PATHS["usage_completions"], params=params)
        assert [result for bucket in answer.json()["data"] for result in bucket["results"]] == own
    assert {result["project_id"] for result in own} == {"research"}


async def test_the_allow_list_holds_for_usage_too(old: House) -> None:
    key = await old.new_key("billing", "usage")
    async with AsyncOpenAI(base_url=old.url, api_key=key, admin_api_key=key, max_retries=0) as client:
        with pytest.raises(PermissionDeniedError) as refused:
            await client.admin.organization.usage.costs(start_time=TODAY)
    assert refused.value.code == "endpoint_not_allowed"


# What is not understood.


async def test_what_is_not_understood_is_told_as_openai_tells_it(old: House) -> None:
    async with sdk(old) as client:
        with pytest.raises(BadRequestError) as refused:
            await client.admin.organization.usage.costs(start_time=TODAY, limit=181)
    error = refused.value
    assert (error.type, error.code, error.param) == ("invalid_request_error", "invalid_value", "limit")


async def test_a_start_must_be_given(old: House) -> None:
    answer = await old.get(PATHS["usage_costs"])
    assert (answer.status, answer.error["param"]) == (400, "start_time")


@pytest.mark.parametrize("kind", ["code_interpreter_sessions", "vector_stores", "web_search_calls"])
async def test_usage_of_what_is_not_served_is_refused(old: House, kind: str) -> None:
    answer = await old.get(f"/organization/usage/{kind}")
    assert (answer.status, answer.error["code"]) == (403, "endpoint_not_allowed")


# Operators.


async def test_operators_are_told_of_all_teams(old: House) -> None:
    query = {"start_time": TODAY - 5 * DAY, "end_time": TODAY, "group_by": "project_id"}
    answer = await operators(old, PATHS["usage_costs"], query)
    found = [result for bucket in answer.json()["data"] for result in bucket["results"]]
    assert Counter(result["project_id"] for result in found) == {"research": 5, "support": 5}


async def test_operators_pick_teams(old: House) -> None:
    query = {"start_time": TODAY - 5 * DAY, "end_time": TODAY, "project_ids[]": "support"}
    answer = await operators(old, PATHS["usage_completions"], {**query, "group_by[]": "project_id"})
    found = [result for bucket in answer.json()["data"] for result in bucket["results"]]
    assert {result["project_id"] for result in found} == {"support"}


@pytest.mark.parametrize("operation", PATHS)
async def test_a_teams_key_opens_nothing_at_the_operators_port(old: House, operation: str) -> None:
    answer = await operators(old, PATHS[operation], {"start_time": TODAY}, token=old.key)
    assert answer.status == 401


async def test_operators_are_told_of_mistakes_as_openai_tells_them(old: House) -> None:
    answer = await operators(old, PATHS["usage_costs"], {"start_time": "soon"})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        400,
        "invalid_value",
        "start_time",
    )


async def test_the_official_sdk_works_at_the_operators_port(old: House) -> None:
    async with AsyncOpenAI(
        base_url=f"{old.operators}/v1", api_key="unused", admin_api_key=ADMIN_TOKEN, max_retries=0
    ) as client:
        page = await client.admin.organization.usage.completions(start_time=TODAY - DAY, end_time=TODAY)
    assert [result.num_model_requests for bucket in page.data for result in bucket.results] == [2]  # type: ignore[union-attr]
