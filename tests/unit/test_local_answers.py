"""What the gateway answers by itself. That it is asked at all: tests/unit/test_pipeline.py."""

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.core.errors import ErrorCode, Refused, StoreUnavailable
from gateway.core.policy import AllowList, Catalogue, Model, Policy
from gateway.core.usage_question import Sums, UsageSum, Whose
from gateway.local_answers import LocalAnswers
from gateway.metering.reports.organization import LinesGone, TooManySums
from gateway.metering.reports.turns import Turns
from gateway.wire.endpoints import MODEL, MODELS, ORGANIZATION
from tests.support.clock import ManualClock
from tests.support.memory import MemoryUsage

ENDPOINTS = {endpoint.name: endpoint for endpoint in ORGANIZATION}
MIDNIGHT = 1_795_046_400
ALL = f"start_time={MIDNIGHT}&end_time={MIDNIGHT + 86_400}"
SUMS = Sums(*[1] * len(Sums._fields))
CATALOGUE = Catalogue(
    {name: Model(name=name, upstream="openai", upstream_model=name) for name in ("gpt-4o", "o3")}
)
POLICY = Policy(team="search", version="5f3c", catalogue=CATALOGUE, models=AllowList(("gpt-*",)))


@pytest.fixture
def usage() -> MemoryUsage:
    return MemoryUsage()


@pytest.fixture
def answers(usage: MemoryUsage) -> LocalAnswers:
    return LocalAnswers(usage=usage, turns=Turns(most=2, patience=0.01), clock=ManualClock(MIDNIGHT))


async def ask(answers: LocalAnswers, name: str, query: str) -> Any:
    return msgspec.json.decode(await answers.answer(ENDPOINTS[name], {}, query, POLICY))


async def refusal(answers: LocalAnswers, query: str = ALL) -> Refused:
    with pytest.raises(Refused) as refused:
        await ask(answers, "usage_costs", query)
    return refused.value


async def test_models_are_those_of_the_policy(answers: LocalAnswers) -> None:
    body = msgspec.json.decode(await answers.answer(MODELS, {}, "", POLICY))
    assert [model["id"] for model in body["data"]] == ["gpt-4o"]


async def test_a_model_is_found_by_its_name(answers: LocalAnswers) -> None:
    body = msgspec.json.decode(await answers.answer(MODEL, {"model": "gpt-4o"}, "", POLICY))
    assert body["id"] == "gpt-4o"


@pytest.mark.parametrize("name", ["o3", "unheard-of"])
async def test_a_model_of_others_is_as_one_that_there_is_not(answers: LocalAnswers, name: str) -> None:
    with pytest.raises(Refused) as refused:
        await answers.answer(MODEL, {"model": name}, "", POLICY)
    assert (refused.value.code, refused.value.param) == (ErrorCode.NOT_FOUND, "model")


async def test_usage_is_asked_of_the_callers_team(answers: LocalAnswers, usage: MemoryUsage) -> None:
    usage.sums = [UsageSum(MIDNIGHT, (), SUMS)]
    body = await ask(answers, "usage_costs", ALL)
    (question,) = usage.questions
    assert question.only == {Whose.TEAM: {"search"}}
    assert body["data"][0]["results"][0]["amount"] == {"value": 0.000001, "currency": "usd"}


async def test_operators_ask_of_everybody(answers: LocalAnswers, usage: MemoryUsage) -> None:
    await answers.usage("usage_costs", ALL, None)
    assert usage.questions[0].only == {}


async def test_a_query_that_is_not_understood_reaches_no_ledger(
    answers: LocalAnswers, usage: MemoryUsage
) -> None:
    assert (await refusal(answers, "start=0")).param == "start"
    assert usage.questions == []


@pytest.mark.parametrize(
    ("error", "code", "param"),
    [
        (StoreUnavailable("hush"), ErrorCode.OVERLOADED, None),
        (TooManySums(), ErrorCode.INVALID_VALUE, "limit"),
        (LinesGone(), ErrorCode.INVALID_VALUE, "start_time"),
    ],
)
async def test_what_the_ledger_cannot_say_is_told(
    answers: LocalAnswers, usage: MemoryUsage, error: Exception, code: ErrorCode, param: str | None
) -> None:
    usage.error = error
    refused = await refusal(answers)
    assert (refused.code, refused.param, "hush" in refused.message) == (code, param, False)
    assert (refused.retry_after is not None) is (refused.kind.status == 503)


async def test_a_team_that_reads_a_report_waits_with_its_next(
    answers: LocalAnswers, usage: MemoryUsage
) -> None:
    usage.waits_for = asyncio.Event()
    first = asyncio.create_task(ask(answers, "usage_costs", ALL))
    await asyncio.sleep(0)
    refused = await refusal(answers)
    assert (refused.code, refused.retry_after) == (ErrorCode.OVERLOADED, 2.0)
    usage.waits_for.set()
    assert (await first)["object"] == "page"
