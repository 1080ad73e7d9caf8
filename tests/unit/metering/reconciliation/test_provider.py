"""The provider's books, as a provider tells them that may be wrong in every way."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.reconciliation.amounts import Amounts, Counted, Place
from gateway.metering.reconciliation.provider import KINDS, Page, Provider, ProviderError
from tests.unit.metering.reconciliation.books import DAY

Answer = Callable[[str, dict[str, str]], Page]
NOON = DAY * 86_400 + 43_200


def page(*results: Any, day: int = DAY, more: str | None = None, **members: Any) -> Page:
    bucket = {"object": "bucket", "start_time": day * 86_400, "end_time": 0, "results": list(results)}
    body = {"object": "page", "data": [bucket], "has_more": more is not None, "next_page": more}
    return Page(200, msgspec.json.encode(body | members))


def cost(value: Any, line_item: str | None = "gpt-4o, input_tokens", currency: str = "usd") -> dict[str, Any]:
    return {"amount": {"value": value, "currency": currency}, "line_item": line_item}


EMPTY = page()


class Stage:
    """A provider, what it was asked, and how long it was waited for."""

    def __init__(self, *, project: str = "", **answers: Any) -> None:
        """`answers`: a page, or pages in turn, for a kind of usage or for `costs`."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.waits: list[float] = []
        self.pages = 0
        self._answers = {
            name: list(each) if isinstance(each, list) else [each] for name, each in answers.items()
        }
        self.provider = Provider(
            upstream="openai", project=project, fetch=self._fetch, pause=self._pause, on_page=self._on_page
        )

    async def books(self, days: int = 1) -> dict[Place, Counted]:
        return dict(await self.provider.books(DAY, DAY + days))

    async def error(self, days: int = 1) -> str:
        with pytest.raises(ProviderError) as refused:
            await self.books(days)
        return str(refused.value)

    async def _fetch(self, path: str, query: Sequence[tuple[str, str]]) -> Page:
        self.asked.append((path, dict(query)))
        left = self._answers.get(path.rpartition("/")[2], [EMPTY])
        return left.pop(0) if len(left) > 1 else left[0]

    async def _pause(self, seconds: float) -> None:
        self.waits.append(seconds)

    def _on_page(self) -> None:
        self.pages += 1


async def test_every_kind_and_the_costs_are_asked_for_by_day() -> None:
    stage = Stage()
    assert await stage.books(3) == {}
    assert [path for path, _ in stage.asked] == [
        *(f"/organization/usage/{kind}" for kind in KINDS),
        "/organization/costs",
    ]
    assert stage.pages == len(KINDS) + 1
    first, last = stage.asked[0][1], stage.asked[-1][1]
    assert first == {
        "start_time": str(DAY * 86_400),
        "end_time": str((DAY + 3) * 86_400),
        "bucket_width": "1d",
        "limit": "31",
        "group_by[]": "model",
    }
    assert last["group_by[]"] == "line_item"


async def test_a_project_is_asked_for_alone() -> None:
    stage = Stage(project="proj_a")
    await stage.books()
    assert {query["project_ids[]"] for _, query in stage.asked} == {"proj_a"}


async def test_usage_and_costs_of_a_model_come_together() -> None:
    usage = {
        "model": "gpt-4o",
        "num_model_requests": 2,
        "input_tokens": 30,
        "input_cached_tokens": 10,
        "output_tokens": 5,
        "project_id": None,
    }
    costs = [cost(0.000055), cost("0.000005", "gpt-4o, output"), cost(0.01, "web search tool calls")]
    stage = Stage(completions=page(usage), costs=page(*costs))
    assert await stage.books() == {
        Place(DAY, "openai", "gpt-4o"): Counted(Amounts(2, 30, 10, 5, 60), tells_tokens=True),
        Place(DAY, "openai", "web search tool calls"): Counted(Amounts(cost=10_000)),
    }


@pytest.mark.parametrize("kind", ["images", "audio_speeches", "audio_transcriptions", "moderations"])
async def test_of_other_kinds_the_requests_are_counted(kind: str) -> None:
    result = {"model": "tts-1", "num_model_requests": 4, "characters": 9, "input_tokens": 70}
    assert await Stage(**{kind: page(result)}).books() == {
        Place(DAY, "openai", "tts-1"): Counted(Amounts(requests=4))
    }


async def test_what_is_of_no_model_has_no_name() -> None:
    stage = Stage(completions=page({"num_model_requests": 1, "model": None, "input_cached_tokens": None}))
    assert await stage.books() == {Place(DAY, "openai", ""): Counted(Amounts(requests=1), tells_tokens=True)}


async def test_all_pages_are_read() -> None:
    usage = {"model": "o3", "num_model_requests": 1}
    stage = Stage(
        completions=[page(usage, more="p1"), page(usage, day=DAY + 1, more="p2"), page(usage, day=DAY + 2)]
    )
    books = await stage.books(3)
    assert sorted(place.day - DAY for place in books) == [0, 1, 2]
    assert [query.get("page") for path, query in stage.asked if path.endswith("completions")] == [
        None,
        "p1",
        "p2",
    ]


@pytest.mark.parametrize("pages", [page(more="p1"), page(has_more=True)], ids=["a circle", "no cursor"])
async def test_pages_without_an_end_are_given_up(pages: Page) -> None:
    stage = Stage(completions=pages)
    assert "do not come to an end" in await stage.error()
    assert len(stage.asked) <= 2


@given(st.lists(st.decimals(min_value=-1000, max_value=1000, places=12), min_size=1, max_size=50))
async def test_costs_are_exact_until_they_are_summed(values: list[Decimal]) -> None:
    stage = Stage(costs=page(*(cost(f"{value:f}") for value in values)))
    (counted,) = (await stage.books()).values()
    assert abs(Decimal(counted.amounts.cost) - sum(values) * 1_000_000) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("value", "microdollars"),
    [
        (0.06, 60_000),
        ("0.0600000000000000000000000000001", 60_000),
        ("0E-6176", 0),
        (None, 0),
        (-1.5, -1_500_000),
        (3, 3_000_000),
    ],
)
async def test_amounts_come_in_many_spellings(value: Any, microdollars: int) -> None:
    (counted,) = (await Stage(costs=page(cost(value))).books()).values()
    assert counted.amounts.cost == microdollars


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+400", 1e300])
async def test_an_amount_that_is_none_is_refused(value: Any) -> None:
    assert "an amount that is none" in await Stage(costs=page(cost(value))).error()


async def test_another_currency_is_refused() -> None:
    assert "not in US dollars" in await Stage(costs=page(cost(1, currency="eur"))).error()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Welcome</body></html>",
        b"[]",
        b'{"data": 3}',
        b'{"data": [{"results": []}]}',
        b'{"data": [{"start_time": 0, "results": [{"input_tokens": -1}]}]}',
        b'{"data": [{"start_time": 0, "results": [{"input_tokens": 1.5}]}]}',
        b'{"data": [{"start_time": 0, "results": [{"num_model_requests": 9999999999999999}]}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_garbage_is_refused_in_a_sentence(body: bytes) -> None:
    assert "tells of usage otherwise than OpenAI" in await Stage(completions=Page(200, body)).error()


@pytest.mark.parametrize("day", [DAY - 1, DAY + 1])
async def test_days_that_nobody_asked_for_are_refused(day: int) -> None:
    assert "other days" in await Stage(completions=page(day=day)).error()


async def test_a_bucket_that_is_no_day_is_refused() -> None:
    body = msgspec.json.encode({"data": [{"start_time": NOON, "results": []}]})
    assert "other days" in await Stage(completions=Page(200, body)).error()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "does not know the admin_key of openai"),
        (403, "Give it the scope"),
        (404, "Is its base_url"),
        (400, "status 400"),
        (302, "status 302"),
    ],
)
async def test_a_refusal_is_told_at_once(status: int, told: str) -> None:
    stage = Stage(completions=Page(status, b"sk-admin-1 is a secret"))
    error = await stage.error()
    assert told in error
    assert "sk-admin" not in error
    assert (len(stage.asked), stage.waits) == (1, [])


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_busy_provider_is_asked_again(status: int) -> None:
    stage = Stage(completions=[Page(status, b""), Page(status, b"", "7"), EMPTY])
    assert await stage.books() == {}
    assert stage.waits == [1.0, 7.0]


@pytest.mark.parametrize(("status", "told"), [(429, "too many questions"), (503, "status 503")])
async def test_a_provider_that_stays_busy_is_given_up(status: int, told: str) -> None:
    stage = Stage(completions=Page(status, b""))
    assert told in await stage.error()
    assert stage.waits == [1.0, 2.0, 4.0, 8.0]


async def test_nobody_waits_for_an_hour() -> None:
    stage = Stage(completions=Page(429, b"", "3600"))
    assert "Try again in some minutes" in await stage.error()
    assert stage.waits == []


@pytest.mark.parametrize("retry_after", ["", "-1", "Fri, 20 Nov 2026 16:00:00 GMT", "٣", "1e9"])
async def test_a_wait_that_is_no_number_is_ours(retry_after: str) -> None:
    stage = Stage(completions=[Page(429, b"", retry_after), EMPTY])
    await stage.books()
    assert stage.waits == [1.0]
