"""Which fact of an exchange becomes which fact of a line."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.attempt import Attempt, Cause
from gateway.core.errors import ErrorCode, Refused, StoreUnavailable
from gateway.core.exchange import Exchange
from gateway.core.policy import Model, Policy, Price, Rates, Unpriced
from gateway.core.usage import Observed, Usage, UsageSource
from gateway.metering.interfaces import Admission, PricedBy, Settlement
from gateway.metering.ledger.memory import MemoryLedger
from gateway.metering.recorder import Recorder
from gateway.wire.endpoints import CHAT_COMPLETIONS
from tests.support.clock import ManualClock
from tests.support.exchanges import MODEL, POLICY, USAGE, served_exchange

RATES = Rates(input=2_000_000, cached_input=1_000_000, output=10_000_000)
PRICED = replace(MODEL, prices=(Price(RATES),))
ESTIMATE = Usage(UsageSource.ESTIMATED, input_tokens=80, output_tokens=20)


def a_policy(unpriced: Unpriced = Unpriced.ALARM, **book: Any) -> Policy:
    return replace(POLICY, unpriced=unpriced, catalogue=replace(POLICY.catalogue, **book))


class OpenLedger(MemoryLedger):
    """Shows its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.admitted: list[Admission] = []
        self.settled: list[Settlement] = []

    async def admit(self, admission: Admission) -> None:
        self.admitted.append(admission)

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    async def recover(self) -> Sequence[Admission]:
        return self.admitted


class AbsentLedger(MemoryLedger):
    async def admit(self, admission: Admission) -> None:
        raise StoreUnavailable("disk full")


@pytest.fixture
def ledger() -> OpenLedger:
    return OpenLedger()


@pytest.fixture
def recorder(ledger: OpenLedger, clock: ManualClock) -> Recorder:
    return Recorder(ledger=ledger, clock=clock)


def attempt(**changes: Any) -> Attempt:
    values: dict[str, Any] = {"id": "att_1", "upstream": "openai", "number": 2, "status": 200}
    return Attempt(**(values | changes))


async def test_an_admission_says_who_asked_for_what_and_by_which_policy(
    recorder: Recorder, ledger: OpenLedger, clock: ManualClock
) -> None:
    exchange = served_exchange({"stream": True}, asked_model="fast", model=PRICED)
    await recorder.admit(exchange, attempt(id="att_2"), ESTIMATE, 360)
    assert ledger.admitted == [
        Admission(
            attempt_id="att_2",
            exchange_id="req_1",
            number=2,
            admitted_at=int(clock.now() * 1000),
            team="search",
            key_id="k7",
            subject="search-bot",
            endpoint=CHAT_COMPLETIONS.name,
            asked_model="fast",
            model="gpt-4o",
            upstream="openai",
            policy_version="5f3c",
            stream=True,
            estimate=ESTIMATE,
            estimated_cost=360,
            retry_of="att_1",
        )
    ]


async def test_what_cannot_be_recorded_is_refused(clock: ManualClock) -> None:
    recorder = Recorder(ledger=AbsentLedger(), clock=clock)
    with pytest.raises(Refused) as refused:
        await recorder.admit(served_exchange(), attempt(), ESTIMATE, None)
    assert refused.value.code is ErrorCode.METERING_UNAVAILABLE
    assert refused.value.retry_after == 1.0
    assert "disk" not in refused.value.message


def test_a_settlement_says_what_became_of_the_attempt(
    recorder: Recorder, ledger: OpenLedger, clock: ManualClock
) -> None:
    exchange = served_exchange(
        model=replace(MODEL, prices=(Price(RATES, tier="flex"), Price(Rates(input=0)))),
        policy=a_policy(price_version="77d1"),
        observed=Observed(USAGE, model="gpt-4o-2024-08-06", service_tier="flex"),
    )
    recorder.settle(exchange, attempt(upstream_request_id="up_1"), USAGE, Cause.SERVED)
    assert ledger.settled == [
        Settlement(
            attempt_id="att_1",
            settled_at=int(clock.now() * 1000),
            cause=Cause.SERVED,
            status=200,
            usage=USAGE,
            cost=260,
            answered_model="gpt-4o-2024-08-06",
            service_tier="flex",
            upstream_request_id="up_1",
            priced_by=PricedBy.BOOK,
            price_version="77d1",
        )
    ]


def test_the_attempt_knows_what_the_ledger_says(recorder: Recorder) -> None:
    settled = attempt()
    absurd = USAGE._replace(output_tokens=-5)
    recorder.settle(served_exchange(model=PRICED), settled, absurd, Cause.SERVED)
    assert settled.usage == USAGE._replace(source=UsageSource.ESTIMATED, output_tokens=0)
    assert settled.cost == 150


def test_an_attempt_of_which_nothing_was_seen_is_settled_all_the_same(
    recorder: Recorder, ledger: OpenLedger
) -> None:
    nothing = Usage(UsageSource.ESTIMATED)
    recorder.settle(served_exchange(), attempt(status=None), nothing, Cause.UPSTREAM_FAILED)
    (line,) = ledger.settled
    assert (line.status, line.cost, line.answered_model, line.upstream_request_id) == (None, 0, None, None)


async def test_the_first_attempt_is_a_retry_of_none(recorder: Recorder, ledger: OpenLedger) -> None:
    await recorder.admit(served_exchange(attempts=[]), attempt(number=1), ESTIMATE, 360)
    assert ledger.admitted[0].retry_of is None


async def test_an_attempt_costs_what_was_in_force_when_it_was_admitted(
    recorder: Recorder, ledger: OpenLedger, clock: ManualClock
) -> None:
    change = clock.now() + 1
    dearer = replace(RATES, input=9_000_000)
    model = replace(MODEL, prices=(Price(RATES, until=change), Price(dearer, since=change)))
    first, second, exchange = attempt(), attempt(id="att_2"), served_exchange(model=model)
    await recorder.admit(exchange, first, ESTIMATE, 360)
    clock.advance(5)
    await recorder.admit(exchange, second, ESTIMATE, 360)
    recorder.settle(exchange, first, USAGE, Cause.UPSTREAM_FAILED)
    recorder.settle(exchange, second, USAGE, Cause.SERVED)
    assert [line.cost for line in ledger.settled] == [260, 60 * 9 + 30 + 110]


def test_an_attempt_costs_what_its_own_upstream_costs(recorder: Recorder, ledger: OpenLedger) -> None:
    own = Price(Rates(input=0, output=1_000_000), upstream="azure")
    exchange = served_exchange(model=replace(PRICED, prices=(own, *PRICED.prices)))
    for name in ("openai", "azure"):
        recorder.settle(exchange, attempt(upstream=name), USAGE, Cause.SERVED)
    assert [line.cost for line in ledger.settled] == [260, 11]


def test_a_model_without_a_price_is_unpriced(recorder: Recorder, ledger: OpenLedger) -> None:
    settled = attempt()
    recorder.settle(served_exchange(), settled, USAGE, Cause.SERVED)
    assert ledger.settled[0].cost is settled.cost is None
    assert ledger.settled[0].priced_by is PricedBy.NOTHING


def test_a_policy_may_charge_the_ceiling_for_it(recorder: Recorder, ledger: OpenLedger) -> None:
    policy = a_policy(Unpriced.CEILING, ceiling=Rates(input=100_000_000, output=500_000_000))
    recorder.settle(served_exchange(policy=policy), attempt(), USAGE, Cause.SERVED)
    assert (ledger.settled[0].cost, ledger.settled[0].priced_by) == (90 * 100 + 11 * 500, PricedBy.CEILING)


def test_what_used_nothing_is_free_and_asks_no_book(recorder: Recorder, ledger: OpenLedger) -> None:
    exchange = served_exchange(policy=a_policy(price_version="77d1"))
    recorder.settle(exchange, attempt(), Usage(UsageSource.PROVIDER), Cause.UPSTREAM_FAILED)
    (line,) = ledger.settled
    assert (line.cost, line.priced_by, line.price_version) == (0, PricedBy.FREE, "")


def test_what_is_charged_by_the_ceiling_is_told_too(ledger: OpenLedger, clock: ManualClock) -> None:
    heard: list[tuple[str, str, str]] = []
    recorder = Recorder(ledger=ledger, clock=clock, on_unpriced=lambda *what: heard.append(what))
    policy = a_policy(Unpriced.CEILING, ceiling=Rates(input=1, output=1))
    recorder.settle(served_exchange(policy=policy), attempt(), USAGE, Cause.SERVED)
    assert heard == [("gpt-4o", "", "ceiling")]


@pytest.mark.parametrize(
    ("model", "tier", "told"),
    [
        (MODEL, None, [("gpt-4o", "", "nothing")]),
        (PRICED, "flex", [("gpt-4o", "flex", "nothing")]),
        (PRICED, "fl\nex" * 99, [("gpt-4o", ("fl?ex" * 99)[:200], "nothing")]),
        (PRICED, "default", []),
        (None, None, [("", "", "nothing")]),
    ],
)
def test_what_has_no_price_is_told(
    ledger: OpenLedger,
    clock: ManualClock,
    model: Model | None,
    tier: str | None,
    told: list[tuple[str, str, str]],
) -> None:
    heard: list[tuple[str, str, str]] = []
    recorder = Recorder(ledger=ledger, clock=clock, on_unpriced=lambda *what: heard.append(what))
    exchange = served_exchange(model=model, observed=Observed(USAGE, service_tier=tier))
    recorder.settle(exchange, attempt(), USAGE, Cause.SERVED)
    assert heard == told


def test_an_impossible_count_is_neither_a_credit_nor_a_fault(recorder: Recorder, ledger: OpenLedger) -> None:
    absurd = Usage(UsageSource.PROVIDER, input_tokens=10**30, output_tokens=-5)
    recorder.settle(served_exchange(model=PRICED), attempt(), absurd, Cause.SERVED)
    (line,) = ledger.settled
    assert line.usage == Usage(UsageSource.ESTIMATED, input_tokens=10**12)
    assert line.cost is not None
    assert line.cost < 2**63


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("up_1", "up_1"),
        ("x" * 9000, "x" * 200),
        ("a\x00b", "a?b"),
        ("a\udce9b", "a?b"),
        ("a\nb", "a?b"),
        ("mödel", "mödel"),
        ("", ""),
    ],
)
def test_a_text_that_others_chose_is_kept_short_and_clean(
    recorder: Recorder, ledger: OpenLedger, text: str, kept: str
) -> None:
    exchange = served_exchange(observed=Observed(USAGE, model=text, service_tier=text))
    recorder.settle(exchange, attempt(upstream_request_id=text), USAGE, Cause.SERVED)
    (line,) = ledger.settled
    assert (line.answered_model, line.service_tier, line.upstream_request_id) == (kept, kept, kept)


async def test_the_model_s_name_of_a_client_is_kept_short_and_clean(
    recorder: Recorder, ledger: OpenLedger
) -> None:
    await recorder.admit(served_exchange(asked_model="x\x00" * 500), attempt(), ESTIMATE, None)
    assert ledger.admitted[0].asked_model == "x?" * 100


@pytest.mark.parametrize("missing", ["endpoint", "principal", "policy"])
async def test_an_attempt_before_its_time_is_a_fault_of_ours(recorder: Recorder, missing: str) -> None:
    exchange: Exchange = served_exchange(**{missing: None})
    with pytest.raises(RuntimeError):
        await recorder.admit(exchange, attempt(), ESTIMATE, None)


async def test_recovering_is_the_ledger_s_matter(recorder: Recorder) -> None:
    await recorder.admit(served_exchange(), attempt(), ESTIMATE, None)
    assert [admission.exchange_id for admission in await recorder.recover()] == [served_exchange().id]
