"""What an exchange cost: every admitted attempt is settled once, and so is what was held for it."""

import asyncio
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest

from gateway.accounting import Accounting
from gateway.core.attempt import Attempt, Cause
from gateway.core.call import Call, Form
from gateway.core.endpoint import Endpoint
from gateway.core.errors import ClientLeft, ErrorCode, Refused, UpstreamFailed
from gateway.core.exchange import Exchange
from gateway.core.policy import Budget, Catalogue, Counted, Limit, Model, Period, Policy, Price, Rates, Scope
from gateway.core.principal import Principal
from gateway.core.usage import Doubt, Observed, Usage, UsageSource
from gateway.expectation import Expectations
from gateway.limits.demands import Demands
from gateway.limits.estimate import (
    REASONING_PER_SECOND,
    TYPICAL_OUTPUT,
    TYPICAL_REASONING,
    TypicalOutputs,
)
from gateway.limits.interfaces import Charged, Spent
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservation, Reservations
from gateway.metering.interfaces import Settlement
from gateway.metering.recorder import Recorder
from gateway.telemetry.metrics import Metrics
from gateway.wire.endpoints import CHAT_COMPLETIONS, SERVED
from gateway.wire.tokens import Tokenizer
from gateway.wire.usage_reader import answer_reader
from tests.support.clock import ManualClock
from tests.support.memory import Books, FreshLoader

PROVIDED: Final = Usage(UsageSource.PROVIDER, input_tokens=9, output_tokens=3)
NOT_BILLED: Final = Usage(UsageSource.PROVIDER)
NOTHING: Final = Usage(UsageSource.ESTIMATED)

MODEL = Model("gpt-4o", "openai", "gpt-4o", prices=(Price(Rates(input=2_500_000, output=10_000_000)),))
LIMITS = (
    Limit("team-tokens", Counted.TOKENS, (Scope.TEAM,), amount=10_000, burst=10_000),
    Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), amount=100, burst=100),
    Limit("team-slots", Counted.CONCURRENT, (Scope.TEAM,), amount=5),
)
BUDGETS = (Budget("team-month", Counted.DOLLARS, (Scope.TEAM,), amount=50_000_000, period=Period.MONTH),)
POLICY = Policy("search", "5f3c", Catalogue({MODEL.name: MODEL}), limits=LIMITS, budgets=BUDGETS)
PRINCIPAL = Principal(subject="key:search/web", team="search", key_id="k1", key_name="web")

FAILED = UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "It failed.")
UNREACHABLE = UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "It is away.")


def endpoint_named(name: str) -> Endpoint:
    return next(endpoint for endpoint in SERVED if endpoint.name == name)


def a_call(endpoint: Endpoint = CHAT_COMPLETIONS, *texts: str, **members: Any) -> Call:
    return Call(endpoint, "application/json", b"{}", members, texts or ("Say hello to everybody here",))


def a_form(name: str, *sizes: int, **members: Any) -> Call:
    form = Form(io.BytesIO(), 0, b"b", 0, files=tuple(("file", size) for size in sizes))
    return Call(endpoint_named(name), "multipart/form-data", form, members, ())


class Limits(MemoryLimiter):
    """The memory limiter, which remembers every settlement."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.spents: list[Spent] = []

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        self.spents += spents
        return await super().settle(spents)


def tried(number: int = 1, *, status: int | None = 200, sent: bool = True) -> Attempt:
    return Attempt(f"att_{number}", "openai", number, status=status, sent=sent)


class Desk:
    """An accounting, and one exchange that it is asked to account for."""

    def __init__(self, call: Call | None = None, *, good_for: int = 1000, model: Model = MODEL) -> None:
        self.clock = ManualClock()
        self.ledger = Books(good_for=good_for)
        self.metrics = Metrics()
        self.limiter = Limits(self.clock)
        self.doubts: list[tuple[str, Doubt]] = []
        self.leaked: list[str] = []
        self.charged: list[Charged] = []
        self.jobs: list[Any] = []
        self.reservations = Reservations(
            limiter=self.limiter,
            loader=FreshLoader(self.limiter),
            demands=Demands(clock=self.clock),
            refusals=RecentRefusals(clock=self.clock),
            hand_over=self.jobs.append,
            on_leak=self.leaked.append,
            on_charged=self.charged.extend,
        )
        self.outputs, tokenizer = TypicalOutputs(), Tokenizer()
        self.accounting = Accounting(
            recorder=Recorder(ledger=self.ledger, clock=self.clock),
            outputs=self.outputs,
            tokenizer=tokenizer,
            metrics=self.metrics,
            clock=self.clock,
            on_doubt=lambda upstream, doubt: self.doubts.append((upstream, doubt)),
        )
        self.call = call or a_call()
        self.model = model
        expectations = Expectations(outputs=self.outputs, tokenizer=tokenizer)
        self.expected = expectations.of(PRINCIPAL, POLICY, self.call, model, at=0.0)
        self.exchange = Exchange(
            id="req_1",
            method="POST",
            received_at=self.clock.now(),
            started=self.clock.monotonic(),
            endpoint=self.call.endpoint,
            principal=PRINCIPAL,
            policy=POLICY,
            call=self.call,
            model=model,
        )

    async def held(self) -> Reservation:
        return await self.reservations.reserve(
            "req_1", PRINCIPAL, POLICY, self.model.name, self.expected.amounts
        )

    async def run(
        self,
        *attempts: Attempt,
        observed: Observed | None = None,
        generated: int = 0,
        error: BaseException | None = None,
    ) -> None:
        """Attempts one after the other; what was read off the last one's answer; how it ended."""
        with await self.held() as held:
            try:
                with self.accounting.of(self.exchange, held, self.call, self.model, self.expected):
                    admit = self.accounting.admission(self.exchange, self.expected)
                    for attempt in attempts:
                        fresh = Attempt(attempt.id, attempt.upstream, attempt.number)
                        await admit(fresh)
                        fresh.status, fresh.sent = attempt.status, attempt.sent
                    self.exchange.observed, self.exchange.generated = observed, generated
                    if error is not None:
                        raise error
            finally:
                for job in self.jobs:
                    await job()

    def observe(self, body: bytes, *, status: int = 200, content_type: str = "application/json") -> Observed:
        """What is taken down of an answer that came to its end."""
        reader = answer_reader(
            self.call.endpoint, content_type, conceal_usage=False, count_tokens=lambda text: len(text.split())
        )
        reader.feed(body)
        reader.end()
        self.exchange.attempts.append(tried(status=status))
        self.accounting.observe(self.exchange, reader, self.call, self.model)
        assert self.exchange.observed is not None
        return self.exchange.observed

    @property
    def settlement(self) -> Settlement:
        """The one that there is."""
        (settlement,) = self.ledger.settled
        return settlement

    @property
    def spent(self) -> tuple[int, ...]:
        """Tokens, requests, a slot and micro-dollars, of the one settlement that there is."""
        (spent,) = self.limiter.spents
        return spent.amounts

    def counted(self, start: str) -> list[str]:
        """Lines of the metrics that begin like this, and are not zero."""
        lines = self.metrics.render().decode().splitlines()
        return [line for line in lines if line.startswith(start) and not line.endswith(" 0.0")]


async def ended_by(desk: Desk, error: BaseException, *attempts: Attempt, **options: Any) -> None:
    with pytest.raises(type(error)):
        await desk.run(*attempts, error=error, **options)


# What is believed.


async def test_the_providers_own_count_is_believed() -> None:
    desk = Desk()
    await desk.run(tried(), observed=Observed(usage=PROVIDED, finished=True))
    assert (desk.settlement.usage, desk.settlement.cause) == (PROVIDED, Cause.SERVED)
    assert desk.exchange.usage == PROVIDED


async def test_what_was_used_is_paid_for() -> None:
    desk = Desk()
    await desk.run(tried(), observed=Observed(usage=PROVIDED, finished=True))
    assert desk.exchange.cost == desk.settlement.cost == 53  # 9 × 2.5 + 3 × 10


async def test_what_was_used_is_what_the_limits_are_charged() -> None:
    desk = Desk()
    await desk.run(tried(), observed=Observed(usage=PROVIDED, finished=True))
    assert desk.spent == (12, 1, 1, 53)


async def test_limits_are_charged_what_the_ledger_says_also_of_a_count_that_cannot_be() -> None:
    desk = Desk()
    absurd = Usage(UsageSource.PROVIDER, input_tokens=10**30, output_tokens=-5)
    await desk.run(tried(), observed=Observed(usage=absurd, finished=True))
    assert desk.settlement.usage.input_tokens == 10**12
    assert desk.spent == (10**12, 1, 1, desk.settlement.cost)
    assert desk.exchange.usage == desk.settlement.usage


async def test_a_whole_answer_that_says_nothing_of_usage_is_estimated() -> None:
    desk = Desk(a_call(CHAT_COMPLETIONS, "Say hello to everybody here"))
    await desk.run(tried(), observed=Observed(finished=True), generated=7)
    usage = desk.settlement.usage
    assert (usage.source, usage.input_tokens, usage.output_tokens) == (UsageSource.ESTIMATED, 5, 7)
    assert desk.spent == (12, 1, 1, desk.settlement.cost)


async def test_a_whole_answer_that_could_not_be_read_is_taken_for_a_typical_one() -> None:
    desk = Desk(a_call(max_tokens=100))
    await desk.run(tried(), observed=Observed(finished=True))
    assert desk.settlement.usage.output_tokens == 100


async def test_an_answer_that_did_not_come_to_its_end_is_partial() -> None:
    desk = Desk()
    await desk.run(tried(), observed=Observed(finished=False), generated=7)
    usage = desk.settlement.usage
    assert (usage.source, usage.output_tokens) == (UsageSource.PARTIAL, 7)


async def test_an_answer_whose_client_left_at_its_very_end_is_partial() -> None:
    desk = Desk()
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(finished=True), generated=7)
    usage = desk.settlement.usage
    assert (usage.source, usage.output_tokens) == (UsageSource.PARTIAL, 7)


async def test_an_answer_is_not_taken_for_more_than_it_may_be() -> None:
    desk = Desk(a_call(max_tokens=5, n=2))
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(), generated=13)
    assert desk.settlement.usage.output_tokens == 10


async def test_the_provider_is_believed_of_an_answer_that_was_cut_too() -> None:
    desk = Desk()
    await ended_by(desk, FAILED, tried(), observed=Observed(usage=PROVIDED))
    assert desk.settlement.usage == PROVIDED


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_an_error_is_not_billed(status: int) -> None:
    desk = Desk()
    await desk.run(tried(status=status), observed=Observed(finished=True), generated=7)
    assert (desk.settlement.usage, desk.settlement.cost, desk.settlement.status) == (NOT_BILLED, 0, status)


async def test_an_error_costs_the_request_and_no_tokens() -> None:
    desk = Desk()
    await desk.run(tried(status=400), observed=Observed(finished=True))
    assert desk.spent == (0, 1, 1, 0)


async def test_a_model_without_a_price_is_unpriced_and_not_free() -> None:
    desk = Desk(model=Model("gpt-4o", "openai", "gpt-4o"))
    await desk.run(tried(), observed=Observed(usage=PROVIDED, finished=True))
    assert desk.settlement.cost is None
    assert desk.exchange.cost is None


# How it ended.


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ClientLeft("gone"), Cause.CLIENT_LEFT),
        (asyncio.CancelledError(), Cause.CLIENT_LEFT),
        (FAILED, Cause.UPSTREAM_FAILED),
        (UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "It is slow."), Cause.UPSTREAM_FAILED),
        (Refused(ErrorCode.DRAINING, "We stop."), Cause.FAILED),
        (Refused(ErrorCode.INSUFFICIENT_QUOTA, "It is used up."), Cause.BUDGET_CUT),
        (Refused(ErrorCode.INVALID_API_KEY, "The key was revoked."), Cause.REVOKED),
        (ZeroDivisionError(), Cause.FAILED),
        (KeyboardInterrupt(), Cause.FAILED),
    ],
    ids=repr,
)
async def test_what_was_sent_is_charged_as_far_as_it_came(error: BaseException, cause: Cause) -> None:
    desk = Desk(a_call(CHAT_COMPLETIONS, "Say hello to everybody here"))
    await ended_by(desk, error, tried(), observed=Observed(), generated=4)
    usage = desk.settlement.usage
    assert desk.settlement.cause is cause
    assert (usage.source, usage.input_tokens, usage.output_tokens) == (UsageSource.PARTIAL, 5, 4)
    assert desk.spent == (9, 1, 1, desk.settlement.cost)


async def test_an_attempt_without_an_answer_is_charged_what_it_asked() -> None:
    desk = Desk(a_call(CHAT_COMPLETIONS, "Say hello to everybody here"))
    await ended_by(desk, FAILED, tried(status=None))
    usage = desk.settlement.usage
    assert (usage.source, usage.input_tokens, usage.output_tokens) == (UsageSource.PARTIAL, 5, 0)


async def test_an_attempt_that_never_left_costs_nothing() -> None:
    desk = Desk()
    await ended_by(desk, UNREACHABLE, tried(status=None, sent=False))
    assert (desk.settlement.usage, desk.settlement.cost) == (NOTHING, 0)
    assert desk.settlement.cause is Cause.UPSTREAM_FAILED


async def test_an_exchange_that_never_left_gives_all_back() -> None:
    desk = Desk()
    await ended_by(desk, UNREACHABLE, tried(status=None, sent=False))
    assert desk.spent == (0, 0, 0, 0)


@pytest.mark.parametrize("error", [ClientLeft("gone"), ZeroDivisionError(), None], ids=repr)
async def test_an_exchange_without_an_attempt_has_no_line(error: BaseException | None) -> None:
    desk = Desk()
    if error is None:
        await desk.run()
    else:
        await ended_by(desk, error)
    assert (desk.ledger.admitted, desk.ledger.settled) == ([], [])
    assert desk.exchange.usage is None


async def test_an_exchange_without_an_attempt_gives_all_back() -> None:
    desk = Desk()
    await ended_by(desk, ClientLeft("gone"))
    assert desk.spent == (0, 0, 0, 0)


# Once.


@pytest.mark.parametrize("error", [None, ClientLeft("gone"), FAILED, ZeroDivisionError()], ids=repr)
async def test_what_was_held_is_settled_once(error: BaseException | None) -> None:
    desk = Desk()
    if error is None:
        await desk.run(tried(), observed=Observed(usage=PROVIDED, finished=True))
    else:
        await ended_by(desk, error, tried())
    assert len(desk.limiter.spents) == 1
    assert desk.leaked == []


async def test_every_attempt_is_admitted_and_settled_once() -> None:
    desk = Desk()
    await desk.run(
        tried(1, status=500), tried(2, status=None, sent=False), tried(3), observed=Observed(usage=PROVIDED)
    )
    assert [admission.attempt_id for admission in desk.ledger.admitted] == ["att_1", "att_2", "att_3"]
    assert [settlement.attempt_id for settlement in desk.ledger.settled] == ["att_1", "att_2", "att_3"]


async def test_an_earlier_attempt_is_settled_as_failed_and_as_nothing() -> None:
    desk = Desk()
    await desk.run(
        tried(1, status=500), tried(2, status=None, sent=False), tried(3), observed=Observed(usage=PROVIDED)
    )
    earlier = desk.ledger.settled[:2]
    assert [settlement.cause for settlement in earlier] == [Cause.UPSTREAM_FAILED] * 2
    assert [settlement.usage for settlement in earlier] == [NOT_BILLED, NOTHING]
    assert [settlement.cost for settlement in earlier] == [0, 0]


async def test_all_attempts_together_are_what_the_limits_are_charged() -> None:
    desk = Desk()
    await desk.run(tried(1, status=500), tried(2), observed=Observed(usage=PROVIDED, finished=True))
    assert desk.spent == (12, 1, 1, sum(settlement.cost or 0 for settlement in desk.ledger.settled))


async def test_an_earlier_attempt_that_left_counts_as_a_request() -> None:
    desk = Desk()
    await ended_by(desk, UNREACHABLE, tried(1, status=500), tried(2, status=None, sent=False))
    assert desk.spent == (0, 1, 1, 0)


async def test_every_attempt_is_counted_once() -> None:
    desk = Desk()
    await desk.run(tried(1, status=500), tried(2), observed=Observed(usage=PROVIDED))
    assert sorted(desk.counted("gateway_upstream_attempts_total")) == [
        'gateway_upstream_attempts_total{status="200",upstream="openai"} 1.0',
        'gateway_upstream_attempts_total{status="500",upstream="openai"} 1.0',
    ]


# What cannot be put on record.


async def test_what_cannot_be_put_on_record_is_refused() -> None:
    desk = Desk(good_for=0)
    with pytest.raises(Refused) as refused:
        await desk.run(tried())
    assert refused.value.code is ErrorCode.METERING_UNAVAILABLE
    assert desk.ledger.settled == []
    assert desk.spent == (0, 0, 0, 0)


async def test_a_retry_that_cannot_be_put_on_record_leaves_the_first_one_settled_once() -> None:
    desk = Desk(good_for=1)
    with pytest.raises(Refused):
        await desk.run(tried(1, status=500), tried(2))
    assert (desk.settlement.attempt_id, desk.settlement.usage) == ("att_1", NOT_BILLED)
    assert desk.counted("gateway_upstream_attempts_total") == [
        'gateway_upstream_attempts_total{status="500",upstream="openai"} 1.0'
    ]


async def test_an_attempt_is_on_record_before_it_is_begun() -> None:
    desk = Desk()
    admit = desk.accounting.admission(desk.exchange, desk.expected)
    attempt = Attempt("att_1", "openai", 1)
    await admit(attempt)
    assert desk.ledger.admitted[0].attempt_id == "att_1"
    assert desk.exchange.attempts == [attempt]


async def test_our_own_share_of_the_time_is_counted_once() -> None:
    desk = Desk()
    await desk.run(tried(1, status=500), tried(2), observed=Observed(usage=PROVIDED))
    (count,) = [line for line in desk.counted("gateway_") if "overhead_seconds_count" in line]
    assert count.endswith(" 1.0")


# Other units.


@pytest.mark.parametrize(
    ("call", "usage"),
    [
        (a_call(endpoint_named("images_generations"), n=3), {"images": 3}),
        (a_call(endpoint_named("images_generations")), {"images": 1}),
        (a_form("images_edits", 500, n="2"), {"images": 2}),
        (a_form("images_edits", 500, n="many"), {"images": 1}),
        (a_call(endpoint_named("audio_speech"), input="Hello there"), {"characters": 11}),
        (a_form("audio_transcriptions", 8000, 16), {"audio_milliseconds": 1002}),
        (a_call(endpoint_named("moderations")), {}),
    ],
    ids=lambda value: value.endpoint.name if isinstance(value, Call) else None,
)
async def test_what_is_not_billed_by_tokens_is_estimated_by_its_own_unit(
    call: Call, usage: dict[str, int]
) -> None:
    desk = Desk(call)
    await desk.run(tried(), observed=Observed(finished=True))
    assert desk.settlement.usage == Usage(UsageSource.ESTIMATED, **usage)
    assert desk.ledger.admitted[0].estimate == Usage(UsageSource.ESTIMATED, **usage)


async def test_audio_that_was_cut_is_partial() -> None:
    desk = Desk(a_form("audio_transcriptions", 8000))
    await ended_by(desk, ClientLeft("gone"), tried())
    assert desk.settlement.usage == Usage(UsageSource.PARTIAL, audio_milliseconds=1000)


# What is expected.


async def test_what_is_expected_is_what_is_settled_if_we_die() -> None:
    desk = Desk(a_call(CHAT_COMPLETIONS, "x" * 400, max_tokens=50, n=2))
    await desk.run(tried(), observed=Observed(usage=PROVIDED))
    (admission,) = desk.ledger.admitted
    assert admission.estimate == Usage(UsageSource.ESTIMATED, input_tokens=100, output_tokens=100)
    assert admission.estimated_cost == 1250  # 100 × 2.5 + 100 × 10


# What is learnt.


def learnt(desk: Desk) -> int:
    return desk.outputs.of(PRINCIPAL, MODEL, desk.call)


@pytest.mark.parametrize(
    ("usage", "generated"),
    [(PROVIDED._replace(output_tokens=2304), 0), (None, 2304)],
    ids=["told", "counted"],
)
async def test_what_a_whole_answer_had_is_learnt(usage: Usage | None, generated: int) -> None:
    desk = Desk()
    await desk.run(tried(), observed=Observed(usage, finished=True), generated=generated)
    assert learnt(desk) == TYPICAL_OUTPUT + 256


@pytest.mark.parametrize(
    ("status", "observed"),
    [
        (200, Observed(finished=True)),
        (200, Observed(PROVIDED, finished=False)),
        (200, Observed(Usage(UsageSource.PROVIDER, input_tokens=9), finished=True)),
        (400, Observed(finished=True)),
        (200, None),
    ],
    ids=["unread", "cut", "nothing", "error", "unseen"],
)
async def test_what_tells_nothing_about_answers_is_not_learnt(status: int, observed: Observed | None) -> None:
    desk = Desk()
    await desk.run(tried(status=status), observed=observed)
    assert learnt(desk) == TYPICAL_OUTPUT


async def test_an_answer_that_was_ended_early_is_not_learnt() -> None:
    desk = Desk()
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(PROVIDED, finished=True))
    assert learnt(desk) == TYPICAL_OUTPUT


# What nobody saw.

THINKING = PROVIDED._replace(output_tokens=250, reasoning_tokens=100)


def thinker(*, told: int = 3, call: Call | None = None) -> Desk:
    """A desk that has seen so many whole answers with a hundred tokens of reasoning."""
    desk = Desk(call)
    for _ in range(told):
        desk.outputs.learn(PRINCIPAL, MODEL, desk.call, 250, 100)
    return desk


@pytest.mark.parametrize(
    "error",
    [
        ClientLeft("gone"),
        asyncio.CancelledError(),
        FAILED,
        Refused(ErrorCode.INSUFFICIENT_QUOTA, "It is used up."),
        Refused(ErrorCode.INVALID_API_KEY, "The key was revoked."),
    ],
    ids=repr,
)
async def test_an_answer_that_was_cut_is_charged_the_reasoning_that_nobody_saw(error: BaseException) -> None:
    desk = thinker()
    await ended_by(desk, error, tried(), observed=Observed(), generated=20)
    usage = desk.settlement.usage
    assert (usage.source, usage.output_tokens, usage.reasoning_tokens) == (UsageSource.PARTIAL, 120, 100)
    assert desk.spent == (usage.input_tokens + 120, 1, 1, desk.settlement.cost)


async def test_reasoning_is_learnt_from_whole_answers() -> None:
    desk = Desk()
    await desk.run(tried(), observed=Observed(THINKING, finished=True))
    assert desk.outputs.reasoning_of(PRINCIPAL, MODEL, desk.call) == 100


async def test_nothing_is_learnt_of_reasoning_where_nothing_was_told() -> None:
    desk = Desk(a_call(reasoning_effort="low"))
    await desk.run(tried(), observed=Observed(finished=True), generated=30)
    assert desk.outputs.reasoning_of(PRINCIPAL, MODEL, desk.call) == TYPICAL_REASONING


async def test_a_model_of_which_no_reasoning_is_known_is_charged_none() -> None:
    desk = Desk()
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(), generated=20)
    assert (desk.settlement.usage.output_tokens, desk.settlement.usage.reasoning_tokens) == (20, 0)


async def test_who_asks_for_reasoning_is_charged_some_before_any_is_known() -> None:
    desk = Desk(a_call(reasoning_effort="high"))
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(), generated=20)
    reserved = TYPICAL_OUTPUT
    assert desk.settlement.usage.reasoning_tokens == min(TYPICAL_REASONING, reserved - 20)


async def test_reasoning_before_the_first_word_is_what_can_have_been_thought_until_then() -> None:
    desk = thinker()
    desk.clock.advance(0.5)
    await ended_by(desk, ClientLeft("gone"), tried(status=None))
    assert desk.settlement.usage.reasoning_tokens == REASONING_PER_SECOND // 2


async def test_no_more_is_charged_than_the_request_allows() -> None:
    desk = thinker(call=a_call(max_completion_tokens=60))
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(), generated=20)
    usage = desk.settlement.usage
    assert (usage.output_tokens, usage.reasoning_tokens) == (60, 40)


async def test_no_more_is_charged_than_was_reserved_or_passed() -> None:
    desk = thinker()
    reserved = desk.expected.amounts.output_tokens
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(), generated=reserved - 30)
    assert desk.settlement.usage.reasoning_tokens == 30
    assert desk.settlement.usage.output_tokens == reserved


async def test_a_model_that_thinks_aloud_has_thought_no_more_than_passed() -> None:
    desk = thinker()
    aloud = b'data: {"choices":[{"delta":{"reasoning_content":"Let me see"}}]}\n\n'
    desk.observe(aloud, content_type="text/event-stream")
    assert desk.exchange.thought_aloud
    desk.exchange.attempts.clear()
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(), generated=3)
    assert (desk.settlement.usage.output_tokens, desk.settlement.usage.reasoning_tokens) == (3, 0)


async def test_an_attempt_that_never_left_has_thought_nothing() -> None:
    desk = thinker()
    desk.clock.advance(10)
    await ended_by(desk, UNREACHABLE, tried(status=None, sent=False))
    assert desk.settlement.usage == NOTHING


async def test_the_providers_word_needs_no_reasoning_of_ours() -> None:
    desk = thinker()
    await ended_by(desk, ClientLeft("gone"), tried(), observed=Observed(PROVIDED))
    assert desk.settlement.usage == PROVIDED


async def test_a_client_that_had_left_is_the_cause_whatever_came_afterwards() -> None:
    desk = Desk()
    desk.exchange.attempts.append(tried())
    with (
        await desk.held() as held,
        suppress(UpstreamFailed),
        desk.accounting.of(desk.exchange, held, desk.call, desk.model, desk.expected),
    ):
        desk.exchange.client_left = True
        raise FAILED
    assert desk.settlement.cause is Cause.CLIENT_LEFT


async def test_for_a_client_that_has_left_nothing_is_tried_again() -> None:
    desk = Desk()
    desk.exchange.client_left = True
    admit = desk.accounting.admission(desk.exchange, desk.expected)
    with pytest.raises(ClientLeft):
        await admit(tried(2))
    assert desk.ledger.admitted == []


# What is not believed.


def completion(usage: object, words: str = "Hello there") -> bytes:
    return msgspec.json.encode({"choices": [{"message": {"content": words}}], "usage": usage})


SAID = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def test_a_count_that_can_be_is_believed() -> None:
    desk = Desk()
    assert desk.observe(completion(SAID)).usage == PROVIDED
    assert (desk.exchange.generated, desk.doubts) == (0, [])


@pytest.mark.parametrize(
    ("usage", "doubt"),
    [
        (None, Doubt.ABSENT),
        ({}, Doubt.UNREADABLE),
        ({**SAID, "prompt_tokens": "9"}, Doubt.UNREADABLE),
        ({**SAID, "prompt_tokens": 9.0}, Doubt.UNREADABLE),
        ({**SAID, "completion_tokens": -3}, Doubt.NEGATIVE),
        ({**SAID, "completion_tokens_details": {"reasoning_tokens": 4}}, Doubt.INCONSISTENT),
        ({**SAID, "total_tokens": 11}, Doubt.INCONSISTENT),
        ({"prompt_tokens": 9, "completion_tokens": 1000}, Doubt.ABSURD),
        ({"prompt_tokens": 10**6, "completion_tokens": 3}, Doubt.ABSURD),
        ({"prompt_tokens": 10**40, "completion_tokens": 3}, None),
        ({"prompt_tokens": 9, "completion_tokens": 0}, Doubt.ZERO),
        ({"prompt_tokens": 0, "completion_tokens": 3}, Doubt.ZERO),
    ],
    ids=repr,
)
async def test_a_count_that_cannot_be_gives_way_to_ours(usage: object, doubt: Doubt | None) -> None:
    model = replace(MODEL, context_window=1000, max_output=500)
    desk = Desk(a_call(CHAT_COMPLETIONS, "Say hello to everybody here", max_tokens=100), model=model)
    observed = desk.observe(completion(usage))
    assert (observed.usage, desk.exchange.generated) == (None, 2)
    assert observed.doubt in ((doubt,) if doubt else (Doubt.ABSURD, Doubt.UNREADABLE))
    assert desk.doubts == [("openai", observed.doubt)]
    desk = Desk(desk.call, model=model)
    await desk.run(tried(), observed=observed, generated=2)
    settled = desk.settlement.usage
    assert (settled.source, settled.input_tokens, settled.output_tokens) == (UsageSource.ESTIMATED, 5, 2)
    assert desk.settlement.cost is not None
    assert desk.settlement.cost > 0


def test_an_empty_answer_may_have_no_output() -> None:
    desk = Desk()
    assert desk.observe(completion({"prompt_tokens": 9, "completion_tokens": 0}, "")).doubt is None


def test_an_error_has_no_usage_and_that_is_no_doubt() -> None:
    desk = Desk()
    assert desk.observe(b'{"error":{"code":"x"}}', status=400).doubt is None
    assert desk.observe(b'{"error":{"code":"x"}}').doubt is None
    assert desk.doubts == []


def test_an_answer_that_was_not_over_need_not_have_told_its_usage() -> None:
    desk = Desk()
    cut = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
    assert desk.observe(cut, content_type="text/event-stream").doubt is None
    assert desk.exchange.generated == 1


@pytest.mark.parametrize(
    ("name", "content_type"), [("audio_speech", "audio/mpeg"), ("audio_translations", "application/json")]
)
def test_where_no_usage_is_told_that_is_no_doubt(name: str, content_type: str) -> None:
    desk = Desk(a_form(name, 100))
    assert desk.observe(b"{}", content_type=content_type).doubt is None
