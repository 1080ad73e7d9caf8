"""A dry run says what the real one would come to, and nothing changes by it."""

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.core.decision import Deny, Mode
from gateway.core.errors import GatewayError, StoreUnavailable
from gateway.core.exchange import Outcome
from gateway.core.policy import (
    AllowList,
    Budget,
    Catalogue,
    Counted,
    FilterKind,
    FilterRule,
    Limit,
    Period,
    Policy,
    Scope,
    ShapingKind,
    ShapingRule,
    WhenClientLeaves,
)
from gateway.core.principal import Principal
from gateway.explaining.explainer import Explainer
from gateway.explaining.explanation import Counter, Explanation
from gateway.limits.amounts import Amounts
from gateway.limits.interfaces import Demand, Look
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.rehearsal import NotRehearsed, Rehearsal
from gateway.signals.alone import AloneSignals
from tests.support.clock import ManualClock
from tests.support.journey import CATALOGUE, CHAT, Journey, a_policy
from tests.support.log import Log
from tests.support.memory import FreshLoader

CALLER = Principal("key:search/web", "search", "k1", "web")
SMALL = Catalogue({name: replace(model, context_window=5) for name, model in CATALOGUE.models.items()})


def few(counts: Counted = Counted.REQUESTS, amount: int = 1, mode: Mode = Mode.ENFORCE) -> Limit:
    return Limit("few", counts, (Scope.TEAM,), amount, burst=amount, mode=mode)


def month(amount: int, *, mode: Mode = Mode.ENFORCE, strict: bool = False, **changes: Any) -> Budget:
    budget = Budget("month", Counted.DOLLARS, (Scope.TEAM,), amount, Period.MONTH, mode=mode, strict=strict)
    return replace(budget, **changes)


def names(mode: Mode = Mode.ENFORCE) -> FilterRule:
    return FilterRule("names", FilterKind.PATTERNS, mode, patterns=("Say",))


def clamp(mode: Mode = Mode.ENFORCE) -> ShapingRule:
    return ShapingRule("short", ShapingKind.CLAMP, mode, member="max_tokens", at_most=10)


def rehearsal(journey: Journey) -> Rehearsal:
    explainer = Explainer(
        recent=journey.pipeline.recent,
        policies=journey.book,
        signals=AloneSignals(log=Log().logger),
        replica="a",
        origin=lambda policy, key_name, rule: f"{policy.team}.yaml",
    )
    return Rehearsal(
        pipeline=journey.pipeline,
        explainer=explainer,
        limiter=journey.limiter,
        loader=FreshLoader(journey.limiter),
    )


async def rehearsed(
    journey: Journey,
    body: Mapping[str, Any] | bytes = CHAT,
    *,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    caller: Principal = CALLER,
) -> Explanation:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await rehearsal(journey).rehearse(caller, method, path, data)


async def real(journey: Journey, key: str | None = None, **options: Any) -> None:
    """The same for good."""
    with suppress(GatewayError):
        await journey.run(await journey.request(key=key, **options))


async def holder(journey: Journey, key: str) -> Principal:
    """Who comes with this key."""
    principal = await journey.pipeline.authenticator.authenticate(await journey.request(key=key))
    assert isinstance(principal, Principal)
    return principal


# What it says.


async def test_what_nothing_refuses_would_be_sent() -> None:
    journey = Journey(policy=a_policy(shaping=(clamp(),)))
    told = await rehearsed(journey, {**CHAT, "model": "fast", "max_tokens": 500, "stream": True})
    assert (told.outcome, told.status, told.code, told.owner) == ("would_be_sent", None, None, None)
    assert (told.model, told.attempts, told.decisions) == ("gpt-4o-mini", 0, [])
    sent = told.would_send
    assert sent is not None
    assert (sent.upstream, sent.model, sent.stream) == ("openai", "gpt-4o-mini-2024", True)
    assert sent.changed == ["max_tokens", "model", "stream_options"]
    assert (sent.output_tokens, sent.most_cost) == (10, None)
    assert sent.cost == sent.input_tokens + 10 * sent.output_tokens


async def test_what_strict_budgets_would_hold_is_told() -> None:
    journey = Journey(policy=a_policy(budgets=(month(10_000_000, strict=True),)))
    told = await rehearsed(journey, {**CHAT, "max_tokens": 500})
    assert told.would_send is not None
    assert told.would_send.cost is not None
    assert (told.would_send.most_cost or 0) > told.would_send.cost


async def test_it_is_told_who_would_have_asked() -> None:
    told = await rehearsed(Journey())
    assert (told.team, told.key_id, told.key_name, told.replica) == ("search", "k1", "web", "a")
    assert told.request_id.startswith("dry_")


RULES: Sequence[Policy] = (
    a_policy(),
    *(
        policy
        for mode in (Mode.SHADOW, Mode.WARN, Mode.ENFORCE)
        for policy in (
            a_policy(endpoints=AllowList(("embeddings",), mode)),
            a_policy(models=AllowList(("tts-1",), mode)),
            a_policy(filters=(names(mode),)),
            a_policy(shaping=(ShapingRule("window", ShapingKind.CONTEXT_WINDOW, mode),), catalogue=SMALL),
            a_policy(shaping=(clamp(mode),)),
            a_policy(limits=(few(Counted.TOKENS, 10, mode),)),
            a_policy(limits=(few(mode=mode),)),
            a_policy(limits=(few(Counted.CONCURRENT, mode=mode),)),
            a_policy(budgets=(month(10, mode=mode),)),
            a_policy(budgets=(month(3_000, mode=mode),)),
            a_policy(budgets=(month(1_000_000, mode=mode, strict=True),)),
            a_policy(
                limits=(few(mode=mode),),
                budgets=(month(10, mode=mode),),
                when_client_leaves=WhenClientLeaves.DRAIN,
            ),
        )
    ),
)
each_policy = pytest.mark.parametrize("policy", RULES, ids=str)
BODY = {**CHAT, "max_tokens": 100}
ONE = Amounts(requests=1, concurrent=1)


def unquoted(sentence: str, said: Deny | GatewayError) -> str:
    """Without what it quotes of the request."""
    return sentence.replace(said.quotes, "…") if said.quotes else sentence


@pytest.mark.parametrize("before", [0, 1, 2])
@each_policy
async def test_it_says_what_the_real_one_comes_to(policy: Policy, before: int) -> None:
    journey = Journey(policy=policy)
    key = await journey.key()
    for _ in range(before):
        await real(journey, key, body=BODY)
        await journey.settle()
    told = await rehearsed(journey, BODY, caller=await holder(journey, key))
    await real(journey, key, body=BODY)
    last = journey.last
    assert told.code == (last.error.code if last.error else None)
    error = last.error
    refusals = [(error.rule, unquoted(error.message, error), error.retry_after)] if error else []
    notes = [(note.rule, unquoted(note.reason, note), note.retry_after) for note in last.notes]
    assert [(each.rule, each.reason, each.retry_after) for each in told.decisions] == refusals + notes
    assert (told.outcome == "would_be_sent") == (last.outcome is Outcome.SERVED)
    assert {each.where for each in told.decisions} <= {"search.yaml"}


async def test_a_slot_that_is_taken_refuses_it() -> None:
    policy = a_policy(limits=(few(Counted.CONCURRENT),))
    journey = Journey(policy=policy)
    with await journey.reservations.reserve("req_x", CALLER, policy, "gpt-4o", ONE) as held:
        told = await rehearsed(journey)
        held.release()
    assert told.code == "concurrency_limit_exceeded"
    assert told.counters == [
        Counter(name="few", counts="concurrent", limit=1, remaining=0, reset_seconds=0.0)
    ]


async def test_who_was_just_refused_for_rate_is_refused_from_memory() -> None:
    journey = Journey(policy=a_policy(limits=(few(),)))
    key = await journey.key()
    await real(journey, key)
    await real(journey, key)
    journey.clock.advance(20)
    told = await rehearsed(journey, b"not even JSON", caller=await holder(journey, key))
    assert (told.code, told.decisions[0].retry_after) == ("rate_limit_exceeded", 40)
    assert [each.name for each in told.counters] == ["few"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"path": "/v1/nothing"}, "unknown_endpoint"),
        ({"path": "/v1/chat%2Fcompletions"}, "unknown_endpoint"),
        ({"method": "GET", "path": "/v1/embeddings"}, "method_not_allowed"),
        ({"body": b"{"}, "invalid_json"),
        ({"body": b"x" * 10_001}, "request_too_large"),
        ({"caller": replace(CALLER, team="others")}, "permission_denied"),
        ({"path": "/v1/batches"}, "endpoint_not_allowed"),
        ({"method": "GET", "path": "/v1/models/none"}, "not_found"),
    ],
)
async def test_what_is_refused_before_any_rule_is_told(options: dict[str, Any], code: str) -> None:
    told = await rehearsed(Journey(), **options)
    assert (told.code, told.would_send, told.outcome) == (code, None, "refused")


async def test_what_the_gateway_answers_by_itself_is_served() -> None:
    journey = Journey()
    told = await rehearsed(journey, b"", method="GET", path="/v1/organization/costs?start_time=0")
    assert (told.outcome, told.status, told.would_send) == ("served", 200, None)
    assert len(journey.usage.questions) == 1


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/oauth/token"])
async def test_an_endpoint_that_takes_forms_is_not_rehearsed(path: str) -> None:
    with pytest.raises(NotRehearsed, match="takes a form"):
        await rehearsed(Journey(), path=path)


@pytest.mark.parametrize("draining", [False, True])
async def test_a_gateway_without_room_says_what_it_would_do(draining: bool) -> None:
    journey = Journey(most=0)
    journey.gate.draining = draining
    assert (await rehearsed(journey)).outcome == "would_be_sent"


# Counters.


async def test_every_limit_is_told_as_it_stands_before_it() -> None:
    limits = (few(amount=60), replace(few(Counted.CONCURRENT, 5), name="slots"))
    journey = Journey(policy=a_policy(limits=limits, budgets=(month(1_000_000, mode=Mode.SHADOW),)))
    journey.clock.advance(-(journey.clock.now() % 86_400))
    await real(journey)
    await journey.settle()
    spent = journey.ledger.settled[0].cost or 0
    rate, slots, budget = (await rehearsed(journey)).counters
    assert (rate.name, rate.counts, rate.limit, rate.remaining) == ("few", "requests", 60, 59)
    assert (slots.name, slots.counts, slots.limit, slots.remaining) == ("slots", "concurrent", 5, 5)
    assert (budget.name, budget.counts, budget.limit) == ("month", "dollars", 1_000_000)
    assert budget.remaining == 1_000_000 - spent
    assert 0 < budget.reset_seconds <= 31 * 86_400


async def test_what_other_teams_have_left_of_a_shared_budget_is_not_told() -> None:
    policy = a_policy(budgets=(month(10, per=(Scope.ORGANIZATION,)),))
    told = await rehearsed(Journey(policy=policy))
    assert (told.code, told.counters) == ("request_exceeds_limit", [])


class Slices(MemoryLimiter):
    """Of whose budgets half is set aside."""

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        return [Look(900_000, 0, 900_000) for _ in demands]


class Busy(MemoryLimiter):
    """Of whose budgets most is held."""

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        return [Look(1_000_000, 0, 0) for _ in demands]


@pytest.mark.parametrize(
    ("kind", "code", "retry_after"),
    [(Slices, "budget_unavailable", 1.0), (Busy, "insufficient_quota", 1.0)],
)
async def test_a_budget_that_may_have_more_in_a_moment_is_told_as_such(
    kind: type[MemoryLimiter], code: str, retry_after: float
) -> None:
    clock = ManualClock()
    journey = Journey(
        policy=a_policy(budgets=(month(1_000_000),)), limiter=kind(clock=clock), clock=clock, json_bytes=10**6
    )
    told = await rehearsed(journey, {**CHAT, "n": 128, "max_tokens": 100_000})
    assert (told.code, told.decisions[0].retry_after) == (code, retry_after)


async def test_a_budget_that_nobody_asked_for_is_loaded() -> None:
    journey = Journey(policy=a_policy(budgets=(month(1_000_000),)))
    told = await rehearsed(journey)
    assert told.outcome == "would_be_sent"
    assert [each.remaining for each in told.counters] == [1_000_000]


class Away(MemoryLimiter):
    """Whose store is away."""

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        raise StoreUnavailable("away")


async def test_while_nobody_knows_what_is_left_there_is_no_answer() -> None:
    clock = ManualClock()
    journey = Journey(policy=a_policy(limits=(few(),)), limiter=Away(clock=clock), clock=clock)
    with pytest.raises(StoreUnavailable):
        await rehearsed(journey)


# Nothing changes.


def state(journey: Journey) -> dict[str, Any]:
    """All that a request leaves behind."""
    return {
        "counters": pickle.dumps(journey.limiter),
        "habits": pickle.dumps(journey.outputs),
        "refusals": pickle.dumps(journey.refusals),
        "ledger": (list(journey.ledger.admitted), list(journey.ledger.settled)),
        "metrics": journey.metrics.render(),
        "log": journey.log.text,
        "sent": list(journey.upstreams.outgoing),
        "inside": journey.gate.inside,
        "handed over": list(journey.handed_over),
        "told": (list(journey.leaked), list(journey.charged)),
        "streams": journey.watch.open,
        "remembered": pickle.dumps(journey.pipeline.recent.turned_away(None, 100)),
    }


@pytest.mark.parametrize("before", [0, 1, 2])
@each_policy
async def test_nothing_changes_by_it(policy: Policy, before: int) -> None:
    journey = Journey(policy=policy)
    key = await journey.key()
    for _ in range(before):
        await real(journey, key, body=BODY)
        await journey.settle()
    caller = await holder(journey, key)
    await journey.pipeline.refusal_tally.flush()
    journey.acts.clear()
    if not before:
        await rehearsed(journey, BODY, caller=caller)  # which loads the budgets
    was = state(journey)
    told = await rehearsed(journey, BODY, caller=caller)
    for what, now in state(journey).items():
        assert now == was[what], what
    assert journey.pipeline.recent.find(told.request_id) is None
    await journey.pipeline.refusal_tally.flush()
    assert journey.acts == []


async def test_the_next_real_request_finds_everything_as_it_was() -> None:
    journey = Journey(policy=a_policy(limits=(few(),)))
    for _ in range(5):
        assert (await rehearsed(journey)).outcome == "would_be_sent"
    exchange, _ = await journey.run()
    assert exchange.outcome is Outcome.SERVED


async def test_many_at_once_do_not_meet() -> None:
    journey = Journey(policy=a_policy(limits=(few(Counted.CONCURRENT),)))
    runner = rehearsal(journey)
    data = msgspec.json.encode(CHAT)
    runs = [runner.rehearse(CALLER, "POST", "/v1/chat/completions", data) for _ in range(5)]
    assert {told.outcome for told in await asyncio.gather(*runs)} == {"would_be_sent"}
