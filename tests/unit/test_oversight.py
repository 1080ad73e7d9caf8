"""Streams that outgrow what is held for them, and streams whose credential is revoked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.attempt import Attempt, Cause
from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode, Refused, StoreUnavailable
from gateway.core.exchange import Exchange, Outcome
from gateway.core.policy import (
    Budget,
    Catalogue,
    Counted,
    Limit,
    Model,
    Period,
    Price,
    Rates,
    Scope,
    Unpriced,
)
from gateway.core.principal import Principal
from gateway.core.usage import UsageSource
from gateway.limits.demands import bucket_of, demand_of
from gateway.limits.interfaces import Demand, Look, More
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.oversight import MARGIN, STEP, Oversight
from gateway.upstream.interfaces import Outgoing
from tests.support.clock import ManualClock
from tests.support.journey import CHAT, Journey, a_policy
from tests.support.memory import EVENTS, MemoryAnswer, MemoryReply

WORD: Final = b'data: {"choices":[{"index":0,"delta":{"content":" on"}}]}\n\n'
"""One token."""
DONE: Final = b"data: [DONE]\n\n"
FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nID3\r\n--b--\r\n'
)
HELD: Final = 256
"""Tokens of an answer of which nothing is known."""

BUDGET = Budget("month", Counted.DOLLARS, (Scope.TEAM,), 1_000_000, Period.MONTH)
"""$1. A token of an answer costs 10 micro-dollars, one of a question 1."""
RATE = Limit("tokens", Counted.TOKENS, (Scope.TEAM,), amount=100_000, burst=100_000)
REQUESTS = Limit("requests", Counted.REQUESTS, (Scope.TEAM,), amount=100, burst=100)


class Limits(MemoryLimiter):
    """The memory limiter, which remembers what was asked for on the way, and can be away."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.asked: list[Sequence[More]] = []
        self.away = False

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        self.asked.append(mores)
        if self.away:
            raise StoreUnavailable("away")
        return await super().extend(mores)


class Live(MemoryAnswer):
    """A stream that generates when it is told to."""

    def __init__(self) -> None:
        super().__init__(content_type=EVENTS)
        self._said: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def says(self, words: int, word: bytes = WORD) -> None:
        for _ in range(words):
            self._said.put_nowait(word)
        await turns(2 * words)

    def ends(self) -> None:
        self._said.put_nowait(DONE)
        self._said.put_nowait(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (data := await self._said.get()) is not None:
            yield data


class LiveUpstreams:
    """Answers every request with a stream of its own."""

    def __init__(self) -> None:
        self.answers: list[Live] = []
        self.begin = asyncio.Event()
        self.begin.set()

    async def send(
        self, model: Model, outgoing: Outgoing, admit: Callable[[Attempt], Awaitable[None]]
    ) -> Live:
        attempt = Attempt(id=f"att_{len(self.answers)}", upstream=model.upstream, number=1)
        await admit(attempt)
        answer = Live()
        self.answers.append(answer)
        await self.begin.wait()
        attempt.sent, attempt.status = True, 200
        return answer


async def turns(times: int = 20) -> None:
    for _ in range(times + 20):
        await asyncio.sleep(0)


class Desk:
    """A gateway, and the streams in it."""

    def __init__(self, *budgets: Budget, limits: tuple[Limit, ...] = (), **policy_of: Any) -> None:
        self.clock = ManualClock()
        self.limits = Limits(self.clock)
        policy = a_policy(budgets=budgets, limits=limits, **policy_of)
        self.journey = Journey(policy=policy, limiter=self.limits, clock=self.clock)
        self.upstreams = LiveUpstreams()
        self.revocations = KnownRevocations()
        self.oversight = Oversight(
            reservations=self.journey.reservations,
            revocations=self.revocations,
            watch=self.journey.watch,
            metrics=self.journey.metrics,
        )
        self.journey.pipeline = replace(
            self.journey.pipeline, upstreams=self.upstreams, oversight=self.oversight
        )

    async def stream(self, key: str | None = None, **members: Any) -> "Stream":
        """One on its way."""
        return await self.stream_of({**CHAT, "stream": True, **members}, key=key)

    async def stream_of(self, body: Any, **options: Any) -> "Stream":
        """Any."""
        incoming = await self.journey.request(body, **options)
        exchange, reply = self.journey.exchange(), MemoryReply()
        task = asyncio.create_task(self.journey.pipeline.run(exchange, incoming, reply))
        await turns()
        return Stream(self, exchange, reply, task, self.upstreams.answers[-1])

    async def tick(self) -> None:
        """A second later."""
        self.clock.advance(1)
        await self.oversight.tick()
        await turns()

    async def looks(self, budget: Budget = BUDGET) -> Look:
        """What is known of a budget."""
        principal = Principal(subject="", team="search", key_id="", key_name="")
        bucket = bucket_of("search", budget, principal, "gpt-4o")
        (look,) = await self.limits.look([demand_of(budget, bucket, 0, self.clock.now())])
        return look

    def counted(self, start: str) -> list[str]:
        """Lines of the metrics that begin like this, and are not zero."""
        lines = self.journey.metrics.render().decode().splitlines()
        return [line for line in lines if line.startswith(start) and not line.endswith(" 0.0")]


@dataclass
class Stream:
    """An exchange under way."""

    desk: Desk
    exchange: Exchange
    reply: MemoryReply
    task: "asyncio.Task[None]"
    answer: Live

    async def says(self, words: int) -> None:
        """So many more tokens pass."""
        await self.answer.says(words)

    async def ends(self) -> None:
        """To its proper end."""
        self.answer.ends()
        await self.task
        await self.desk.journey.settle()

    async def error(self) -> BaseException:
        """What ended it early."""
        await asyncio.wait([self.task], timeout=10)
        await self.desk.journey.settle()
        error = self.task.exception()
        assert error is not None
        return error


async def test_a_stream_within_what_it_holds_asks_for_nothing() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream()
    for _ in range(5):
        await stream.says(20)
        await desk.tick()
    assert desk.limits.asked == []
    await stream.ends()
    assert stream.exchange.outcome is Outcome.SERVED


async def test_a_stream_that_comes_near_its_end_asks_for_more() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream()
    before = (await desk.looks()).level
    await stream.says(HELD - MARGIN)
    await desk.tick()
    after = (await desk.looks()).level
    assert after == before + 10 * STEP
    await stream.ends()


def a_book(*lines: Price) -> Catalogue:
    """Lines of the only model, and a ceiling: a token of an answer costs 77."""
    model = Model("gpt-4o", "openai", "gpt-4o", prices=lines)
    return Catalogue({"gpt-4o": model}, ceiling=Rates(input=0, output=77_000_000))


STANDARD, FLEX = (Rates(input=0, output=n * 1_000_000) for n in (10, 5))


@pytest.mark.parametrize(
    ("asked", "lines", "unpriced", "price"),
    [
        ({}, [Price(STANDARD)], Unpriced.ALARM, 10),
        ({"service_tier": "flex"}, [Price(STANDARD), Price(FLEX, tier="flex")], Unpriced.ALARM, 5),
        ({"service_tier": "priority"}, [Price(STANDARD)], Unpriced.ALARM, 0),
        ({"service_tier": "priority"}, [Price(STANDARD)], Unpriced.CEILING, 77),
        ({}, [], Unpriced.CEILING, 77),
        ({}, [Price(FLEX, above=1), Price(STANDARD)], Unpriced.ALARM, 5),
    ],
)
async def test_it_asks_for_what_more_of_its_answer_is_expected_to_cost(
    asked: dict[str, str], lines: list[Price], unpriced: Unpriced, price: int
) -> None:
    desk = Desk(BUDGET, catalogue=a_book(*lines), unpriced=unpriced)
    stream = await desk.stream(**asked)
    await stream.says(HELD - MARGIN)
    await desk.tick()
    assert [more.amounts for (more,) in desk.limits.asked] == [(price * STEP,)]
    await stream.ends()


async def test_a_stream_that_goes_on_and_on_holds_what_it_spends() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream()
    for seconds in range(1, 20):
        await stream.says(100)
        await desk.tick()
        assert (await desk.looks()).level >= 100 * seconds * 10
    assert len(desk.limits.asked) < 10
    await stream.ends()
    assert (await desk.looks()).level == stream.exchange.cost


async def test_a_fast_stream_asks_early_enough_for_the_next_second() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream()
    for seconds in range(1, 6):
        await stream.says(1000)
        await desk.tick()
        assert (await desk.looks()).level >= 1000 * seconds * 10 + 1000 * 10
    await stream.ends()


async def test_rates_grow_along() -> None:
    desk = Desk(limits=(RATE,))
    stream = await desk.stream()
    await stream.says(HELD - MARGIN)
    await desk.tick()
    (mores,) = desk.limits.asked
    assert [more.amounts for more in mores] == [(STEP,)]
    await stream.ends()


async def test_streams_that_come_near_ask_together() -> None:
    desk = Desk(BUDGET, limits=(RATE,))
    streams = [await desk.stream() for _ in range(4)]
    for stream in streams[:3]:
        await stream.says(200)
    await desk.tick()
    (mores,) = desk.limits.asked
    assert [more.hold.exchange_id for more in mores] == ["req_1", "req_2", "req_3"]
    for stream in streams:
        await stream.ends()


@pytest.mark.parametrize("limits", [(), (REQUESTS,)], ids=["none", "of requests"])
async def test_a_stream_that_no_limit_counts_asks_for_nothing(limits: tuple[Limit, ...]) -> None:
    desk = Desk(limits=limits)
    stream = await desk.stream()
    await stream.says(1000)
    await desk.tick()
    assert desk.limits.asked == []
    await stream.ends()


async def test_a_stream_that_is_not_billed_by_its_tokens_asks_for_nothing() -> None:
    desk = Desk(BUDGET, limits=(RATE,))
    stream = await desk.stream_of(
        FORM, path="/v1/audio/transcriptions", headers={"content-type": "multipart/form-data; boundary=b"}
    )
    await stream.answer.says(10, b'data: {"type":"transcript.text.delta","delta":" on"}\n\n')
    await desk.tick()
    assert desk.limits.asked == []
    await stream.ends()


async def test_a_stream_never_holds_more_than_it_may_have() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream(max_tokens=300)
    before = (await desk.looks()).level
    await stream.says(280)
    for _ in range(3):
        await desk.tick()
    assert (await desk.looks()).level == before + 10 * (300 - HELD)
    assert len(desk.limits.asked) == 1
    await stream.ends()


async def test_a_strict_budget_holds_the_most_from_the_beginning() -> None:
    strict = replace(BUDGET, strict=True)
    desk = Desk(strict, limits=(RATE,))
    stream = await desk.stream(max_tokens=2000)
    before = (await desk.looks(strict)).level
    assert before >= 20_000
    await stream.says(1000)
    await desk.tick()
    (mores,) = desk.limits.asked
    assert [more.amounts[1] for more in mores] == [0]
    assert (await desk.looks(strict)).level == before
    await stream.ends()


# A budget without room.

SMALL = replace(BUDGET, amount=4_000)
"""Room for about 400 tokens."""


async def test_a_stream_goes_on_for_as_long_as_it_holds_what_it_spends() -> None:
    desk = Desk(SMALL)
    stream = await desk.stream()
    for _ in range(8):
        await stream.says(25)
        await desk.tick()
    assert len(desk.limits.asked) == 3
    assert not stream.task.done()
    await stream.ends()
    assert stream.exchange.outcome is Outcome.SERVED


async def cut(desk: Desk) -> Stream:
    """A stream that has used up its budget."""
    stream = await desk.stream()
    while not stream.task.done():
        await stream.says(25)
        await desk.tick()
    return stream


async def test_a_stream_that_its_budget_has_no_room_for_ends() -> None:
    desk = Desk(SMALL)
    stream = await cut(desk)
    error = await stream.error()
    assert isinstance(error, Refused)
    assert (error.code, error.rule) == (ErrorCode.INSUFFICIENT_QUOTA, "budgets.month")
    assert "`month`" in error.message
    assert not stream.reply.ended


async def test_what_was_cut_is_told_as_cut() -> None:
    desk = Desk(SMALL)
    stream = await cut(desk)
    await stream.error()
    assert (stream.exchange.outcome, stream.exchange.status) == (Outcome.CUT, 200)
    (settlement,) = desk.journey.ledger.settled
    assert (settlement.cause, settlement.usage.source) == (Cause.BUDGET_CUT, UsageSource.PARTIAL)
    (hit,) = desk.counted("gateway_rule_hits_total")
    assert 'code="insufficient_quota",mode="enforce",rule="budgets.month",team="search"} 1.0' in hit


async def test_what_passed_until_the_cut_is_charged_and_within_the_budget() -> None:
    desk = Desk(SMALL)
    stream = await cut(desk)
    await stream.error()
    (settlement,) = desk.journey.ledger.settled
    look = await desk.looks(SMALL)
    assert look.spent == look.level == settlement.cost
    assert settlement.usage.output_tokens == 250  # it holds 256, and has 25 more in the next second
    assert look.spent <= SMALL.amount


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.SHADOW])
async def test_a_budget_that_is_not_enforced_ends_nothing(mode: Mode) -> None:
    desk = Desk(replace(SMALL, mode=mode))
    stream = await desk.stream()
    for _ in range(10):
        await stream.says(200)
        await desk.tick()
    await stream.ends()
    assert stream.exchange.outcome is Outcome.SERVED


async def test_only_the_streams_of_that_budget_end() -> None:
    desk = Desk(replace(SMALL, per=(Scope.USER,)))
    streams = [await desk.stream() for _ in range(2)]
    await streams[0].says(400)
    await streams[1].says(100)
    await desk.tick()
    assert [stream.task.done() for stream in streams] == [True, False]
    await streams[0].error()
    await streams[1].ends()


async def test_no_stream_ends_because_the_store_is_away() -> None:
    desk = Desk(SMALL)
    stream = await desk.stream()
    desk.limits.away = True
    for _ in range(10):
        await stream.says(100)
        await desk.tick()
    assert len(desk.limits.asked) == 10
    await stream.ends()
    assert stream.exchange.outcome is Outcome.SERVED


async def test_when_the_store_is_back_a_stream_holds_all_that_it_spent_meanwhile() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream()
    desk.limits.away = True
    for _ in range(20):
        await stream.says(50)
        await desk.tick()
    desk.limits.away = False
    await desk.tick()
    assert (await desk.looks()).level >= 10 * (1000 + STEP)
    await stream.ends()


# A credential that is revoked.


def revoke(desk: Desk, stream: Stream, *, cut_streams: bool = True) -> None:
    """The key of this stream; it is known at once."""
    assert stream.exchange.principal is not None
    value = stream.exchange.principal.key_id
    until = int(desk.clock.now())
    desk.revocations.replace(
        [Revocation("rev_1", RevocationKind.KEY, value, 0, until, until * 1000, "ops", "", cut_streams)]
    )


async def test_a_stream_whose_credential_is_revoked_ends() -> None:
    desk = Desk()
    stream = await desk.stream()
    await stream.says(50)
    revoke(desk, stream)
    await desk.tick()
    error = await stream.error()
    assert isinstance(error, Refused)
    assert (error.code, error.rule) == (ErrorCode.INVALID_API_KEY, "auth.revocation")
    assert error.message == "The credential of this request was revoked."
    assert (stream.exchange.outcome, stream.exchange.status) == (Outcome.CUT, 200)
    (settlement,) = desk.journey.ledger.settled
    assert (settlement.cause, settlement.usage.output_tokens) == (Cause.REVOKED, 50)


async def test_it_ends_at_once_when_it_is_told_to_be_so() -> None:
    desk = Desk()
    stream = await desk.stream()
    revoke(desk, stream)
    desk.oversight.cut_revoked()
    assert isinstance(await stream.error(), Refused)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_stream_goes_on_when_nobody_asked_for_its_end(times: int) -> None:
    desk = Desk()
    stream = await desk.stream()
    revoke(desk, stream, cut_streams=False)
    for _ in range(times):
        await desk.tick()
    await stream.ends()
    assert stream.exchange.outcome is Outcome.SERVED


async def test_all_streams_of_the_credential_end_and_no_others() -> None:
    desk = Desk()
    key = await desk.journey.key()
    streams = [await desk.stream(key), await desk.stream(), await desk.stream(key)]
    revoke(desk, streams[0])
    desk.oversight.cut_revoked()
    await turns()
    assert [stream.task.done() for stream in streams] == [True, False, True]
    for stream in (streams[0], streams[2]):
        await stream.error()
    await streams[1].ends()


async def test_a_credential_that_was_revoked_before_its_answer_began_ends_it_too() -> None:
    desk = Desk()
    desk.upstreams.begin.clear()
    stream = await desk.stream()
    revoke(desk, stream)
    desk.oversight.cut_revoked()
    desk.upstreams.begin.set()
    await turns()
    await desk.tick()
    assert isinstance(await stream.error(), Refused)


async def test_a_stream_that_has_used_up_its_budget_and_its_credential_ends_for_the_credential() -> None:
    desk = Desk(SMALL)
    stream = await desk.stream()
    await stream.says(400)
    revoke(desk, stream)
    await desk.tick()
    error = await stream.error()
    assert isinstance(error, Refused)
    assert error.code is ErrorCode.INVALID_API_KEY


async def test_what_is_over_is_overseen_no_longer() -> None:
    desk = Desk(BUDGET)
    stream = await desk.stream()
    await stream.says(250)
    await stream.ends()
    revoke(desk, stream)
    await desk.tick()
    assert desk.limits.asked == []
