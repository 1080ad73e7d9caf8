"""OpenAI's usage and costs API, as administrators' scripts use it: with the official SDK, and in detail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from aiohttp import ClientError, ClientSession
from openai import AsyncOpenAI

from gateway.simulator import log
from gateway.simulator.account import Account
from gateway.simulator.bill import Bill, Kind, Purchase
from gateway.simulator.organization import answer
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator

NOON = 1_795_003_200
DAY = 86_400
MIDNIGHT = NOON - DAY // 2
ADMIN = {"Authorization": "Bearer sk-admin-1"}


@pytest.fixture
async def administrator(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=url, api_key="sk-1", admin_api_key="sk-admin-1", max_retries=0) as client:
        yield client


def note(account: Account, model: str = "gpt-4o", **changes: Any) -> None:
    """One request of noon, unless it is said otherwise."""
    at, requests = changes.pop("at", NOON), changes.pop("requests", 1)
    values: dict[str, Any] = {"kind": Kind.COMPLETIONS, "project": "proj_a", "bill": Bill(input_tokens=10)}
    account.add(Purchase(model=model, **(values | changes)), at=at, requests=requests)


def ask(
    account: Account, path: str = "usage/completions", *, now: float = NOON + DAY, **query: object
) -> Any:
    """The page: of the day of noon, unless it is said otherwise."""
    given = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + DAY, **query}
    words = [
        f"{name}={each}"
        for name, value in given.items()
        if value is not None
        for each in (value if isinstance(value, list) else [value])
    ]
    (part,) = answer(account, "GET", f"/v1/organization/{path}?{'&'.join(words)}", now=now).parts
    return part.data


def results(page: Any) -> list[Any]:
    return [result for bucket in page["data"] for result in bucket["results"]]


async def test_what_was_served_is_in_the_usage(
    administrator: AsyncOpenAI, sdk: AsyncOpenAI, hello: dict[str, Any]
) -> None:
    said = await sdk.chat.completions.create(**hello)
    stream = await sdk.chat.completions.create(**hello, stream=True)
    assert [chunk async for chunk in stream]
    page = await administrator.admin.organization.usage.completions(
        start_time=1_760_000_000 // DAY * DAY, group_by=["model", "project_id", "service_tier"]
    )
    ((result,),) = [bucket.results for bucket in page.data]
    assert said.usage is not None
    assert result.object == "organization.usage.completions.result"
    assert (result.model, result.project_id, result.service_tier) == ("gpt-4o", "proj_simulator", "default")
    assert result.num_model_requests == 2
    assert result.input_tokens == 2 * said.usage.prompt_tokens
    assert result.output_tokens == 2 * said.usage.completion_tokens


async def test_costs_are_exact(administrator: AsyncOpenAI, simulator: Simulator) -> None:
    note(simulator.account, bill=Bill(input_tokens=1, output_tokens=3), at=1_760_000_000)
    page = await administrator.admin.organization.usage.costs(
        start_time=1_760_000_000 // DAY * DAY, group_by=["line_item"]
    )
    ((taken, given),) = [bucket.results for bucket in page.data]
    assert taken.object == given.object == "organization.costs.result"
    assert taken.amount is not None
    assert (taken.line_item, taken.quantity, taken.quantity_unit) == ("gpt-4o, input_tokens", 1, "tokens")
    assert (taken.amount.value, taken.amount.currency) == (0.0000025, "usd")


@pytest.mark.parametrize("key", ["sk-1", "sk-adm"])
async def test_another_key_is_refused(url: str, key: str) -> None:
    async with AsyncOpenAI(base_url=url, admin_api_key=key, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.admin.organization.usage.costs(start_time=0)
    assert refused.value.code == "invalid_api_key"


async def test_no_key_is_refused(send: Any) -> None:
    assert (await send("organization/costs?start_time=0", method="GET")).status == 401


async def test_only_named_administrators_may_ask_where_they_are_named() -> None:
    async with running(Simulator(pace=Pace.instant(), admin_keys=frozenset({"sk-admin-2"}))) as url:
        async with AsyncOpenAI(base_url=url, admin_api_key="sk-admin-2", max_retries=0) as client:
            await client.admin.organization.usage.costs(start_time=MIDNIGHT)
        async with AsyncOpenAI(base_url=url, admin_api_key="sk-admin-1", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.admin.organization.usage.costs(start_time=MIDNIGHT)


@pytest.mark.parametrize(
    ("path", "body", "kind", "units"),
    [
        ("embeddings", {"input": "a b c"}, "embeddings", {"input_tokens": 3}),
        ("moderations", {"input": "a b c"}, "moderations", {"input_tokens": 3}),
        ("images/generations", {"prompt": "a", "n": 2}, "images", {"images": 2}),
        ("audio/speech", {"input": "hello you", "voice": "alloy"}, "audio_speeches", {"characters": 9}),
        ("responses", {"input": "hi", "max_output_tokens": 5}, "completions", {"output_tokens": 5}),
        ("completions", {"prompt": "hi", "max_tokens": 5}, "completions", {"output_tokens": 5}),
    ],
)
async def test_every_endpoint_is_counted_in_its_own_unit(
    send: Any, simulator: Simulator, path: str, body: dict[str, Any], kind: str, units: dict[str, int]
) -> None:
    models = {
        "embeddings": "text-embedding-3-small",
        "images/generations": "dall-e-2",
        "audio/speech": "tts-1",
    }
    model = models.get(path, "omni-moderation-latest" if path == "moderations" else "gpt-4o")
    assert (await send(path, body | {"model": model})).status == 200
    page = ask(
        simulator.account, f"usage/{kind}", start_time=1_760_000_000 - DAY, end_time=1_760_000_000 + DAY
    )
    (result,) = results(page)
    assert result["num_model_requests"] == 1
    assert units.items() <= result.items()


async def test_a_stream_that_was_not_told_its_usage_is_counted(
    send: Any, hello: dict[str, Any], simulator: Simulator
) -> None:
    await send("chat/completions", hello | {"stream": True, "metadata": {"simulate": "missing_usage"}})
    ((_, counted),) = simulator.account
    assert counted.bill.output_tokens == simulator.requests[0].told_tokens > 0


@pytest.mark.parametrize("fault", ["500", "429", "401", "503_html", "redirect"])
async def test_what_was_refused_is_not_counted(
    send: Any, hello: dict[str, Any], simulator: Simulator, fault: str
) -> None:
    await send("chat/completions", hello | {"metadata": {"simulate": fault}})
    assert list(simulator.account) == []


async def test_what_was_never_begun_is_not_counted(
    send: Any, hello: dict[str, Any], simulator: Simulator
) -> None:
    asked = asyncio.create_task(send("chat/completions", hello | {"metadata": {"simulate": "hang"}}))
    seen = await simulator.arrival()
    asked.cancel()
    await seen.ended.wait()
    assert list(simulator.account) == []


async def test_what_was_made_before_a_cut_is_counted(
    send: Any, hello: dict[str, Any], simulator: Simulator
) -> None:
    with pytest.raises(ClientError):
        await send("chat/completions", hello | {"stream": True, "metadata": {"simulate": "cut:4"}})
    (seen,) = simulator.requests
    await seen.ended.wait()
    ((_, counted),) = simulator.account
    assert counted.requests == 1
    assert counted.bill.output_tokens == 3  # the first event says who speaks
    assert counted.bill.input_tokens > 0


async def test_what_was_made_for_a_client_that_left_is_counted(hello: dict[str, Any]) -> None:
    told: list[float] = []

    async def sleep(seconds: float) -> None:
        told.append(seconds)
        if len(told) > 5:
            raise ConnectionError  # as a write does when the client is gone

    simulator = Simulator(pace=Pace(first_token_seconds=0, tokens_per_second=1, sleep=sleep))
    async with running(simulator) as url, ClientSession() as http:

        async def take() -> bytes:
            answered = await http.post(f"{url}/chat/completions", json=hello | {"stream": True})
            return await answered.read()

        with pytest.raises(ClientError):
            await take()
    (seen,) = simulator.requests
    ((_, counted),) = simulator.account
    assert counted.bill.output_tokens == seen.generated_tokens == 5


async def test_the_counts_outlive_the_log(
    send: Any, hello: dict[str, Any], simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_REQUESTS", 3)
    for _ in range(8):
        await send("chat/completions", hello)
    assert len(simulator.requests) == 3
    assert [each.requests for _, each in simulator.account] == [8]


def test_another_project_is_another_sum() -> None:
    account = Account()
    note(account)
    note(account, project="proj_b", requests=2)
    page = ask(account, group_by="project_id")
    assert [(each["project_id"], each["num_model_requests"]) for each in results(page)] == [
        ("proj_a", 1),
        ("proj_b", 2),
    ]
    (all_of_it,) = results(ask(account))
    assert (all_of_it["project_id"], all_of_it["num_model_requests"]) == (None, 3)


@pytest.mark.parametrize("name", ["group_by", "group_by[]", "group_by%5B%5D"])
def test_lists_are_understood_in_every_spelling(name: str) -> None:
    account = Account()
    note(account)
    (result,) = results(ask(account, **{name: ["model", "service_tier"]}))
    assert (result["model"], result["service_tier"], result["project_id"]) == ("gpt-4o", "default", None)


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ({"project_ids": ["proj_b"]}, 2),
        ({"project_ids": ["proj_a", "proj_b"]}, 3),
        ({"models": ["o3"]}, None),
        ({"models": ["gpt-4o"], "project_ids": ["proj_a"]}, 1),
        ({"user_ids": ["user-1"]}, None),
    ],
)
def test_filters(query: dict[str, Any], requests: int | None) -> None:
    account = Account()
    note(account)
    note(account, project="proj_b", requests=2)
    found = results(ask(account, **query))
    assert [each["num_model_requests"] for each in found] == ([] if requests is None else [requests])


def test_buckets_are_there_when_nothing_was_used() -> None:
    page = ask(Account(), end_time=MIDNIGHT + 3 * DAY)
    assert [(each["object"], each["start_time"], each["results"]) for each in page["data"]] == [
        ("bucket", MIDNIGHT + day * DAY, []) for day in range(3)
    ]
    assert (page["object"], page["has_more"], page["next_page"]) == ("page", False, None)


@pytest.mark.parametrize(("width", "seconds"), [("1m", 60), ("1h", 3600), ("1d", DAY)])
def test_buckets_have_the_width_that_is_asked_for(width: str, seconds: int) -> None:
    account = Account()
    note(account)
    page = ask(account, bucket_width=width, start_time=NOON // seconds * seconds, limit=1)
    (bucket,) = page["data"]
    assert bucket["end_time"] - bucket["start_time"] == seconds
    assert len(bucket["results"]) == 1


def test_the_pages_hold_every_bucket_once() -> None:
    account = Account()
    for day in range(10):
        note(account, at=MIDNIGHT + day * DAY)
    starts, page = [], None
    for _ in range(4):
        answered = ask(account, end_time=MIDNIGHT + 10 * DAY, limit=3, page=page)
        starts += [bucket["start_time"] for bucket in answered["data"]]
        page = answered["next_page"]
    assert starts == [MIDNIGHT + day * DAY for day in range(10)]
    assert (answered["has_more"], page) == (False, None)


def test_a_page_that_ends_with_the_range_is_the_last() -> None:
    page = ask(Account(), end_time=MIDNIGHT + 3 * DAY, limit=3)
    assert (len(page["data"]), page["has_more"], page["next_page"]) == (3, False, None)


def test_what_is_before_or_after_the_range_is_not_in_its_buckets() -> None:
    account = Account()
    for minute in (-10, 5, 10, 20):
        note(account, at=NOON + minute * 60)
    hours = {"bucket_width": "1h", "start_time": NOON - 300, "end_time": NOON + 600}
    assert [len(bucket["results"]) for bucket in ask(account, **hours)["data"]] == [0, 1]
    assert [each["num_model_requests"] for each in results(ask(account, **hours))] == [1]


def test_without_an_end_it_goes_up_to_now() -> None:
    page = ask(Account(), end_time=None, now=MIDNIGHT + 2 * DAY + 1)
    assert [each["start_time"] for each in page["data"]] == [MIDNIGHT + day * DAY for day in range(3)]


def test_a_day_in_the_usual_page_is_one_of_seven() -> None:
    page = ask(Account(), end_time=MIDNIGHT + 30 * DAY)
    assert (len(page["data"]), page["has_more"]) == (7, True)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("usage/completions", {"start_time": None}),
        ("usage/completions", {"start_time": "yesterday"}),
        ("usage/completions", {"end_time": MIDNIGHT}),
        ("usage/completions", {"bucket_width": "1w"}),
        ("usage/completions", {"limit": 32}),
        ("usage/completions", {"limit": 0}),
        ("usage/completions", {"group_by": "colour"}),
        ("usage/embeddings", {"group_by": "service_tier"}),
        ("usage/completions", {"page": "page_!"}),
        ("costs", {"bucket_width": "1h"}),
        ("costs", {"limit": 181}),
        ("costs", {"group_by": "model"}),
    ],
)
async def test_what_cannot_be_asked_is_refused(send: Any, path: str, query: dict[str, Any]) -> None:
    given = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + DAY, **query}
    words = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
    reply = await send(f"organization/{path}?{words}", method="GET", headers=ADMIN)
    assert reply.status == 400
    assert reply.json["error"]["param"] in query


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "organization/usage/vector_stores?start_time=0", 404),
        ("GET", "organization/projects", 404),
        ("POST", "organization/costs", 405),
    ],
)
async def test_what_is_not_there_is_said(send: Any, method: str, path: str, status: int) -> None:
    assert (await send(path, method=method, headers=ADMIN)).status == status


async def test_asking_costs_nothing(send: Any, simulator: Simulator) -> None:
    await send(f"organization/costs?start_time={MIDNIGHT}", method="GET", headers=ADMIN)
    assert list(simulator.account) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("responses", {"input": "hi"}),
    ],
)
async def test_the_tier_of_an_answer_is_the_tier_of_its_usage(
    send: Any, simulator: Simulator, path: str, body: dict[str, Any]
) -> None:
    reply = await send(path, body | {"model": "gpt-4o", "service_tier": "flex"})
    assert reply.json["service_tier"] == "flex"
    ((slot, _),) = simulator.account
    assert slot.tier == "flex"
