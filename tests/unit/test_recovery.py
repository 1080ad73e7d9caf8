"""What dead processes left: it counts, in the ledger and in the limits, once."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Budget, Catalogue, Counted, Limit, Model, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.core.spending import Spending
from gateway.core.usage import Usage, UsageSource
from gateway.limits.demands import Demands, bucket_of, demand_of
from gateway.limits.interfaces import Demand, Hold
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from gateway.metering.interfaces import Admission
from gateway.metering.ledger.memory import MemoryLedger
from gateway.metering.recorder import Recorder
from gateway.policies.book import PolicyBook
from gateway.policies.policy_set import PolicySet, TeamPolicies
from gateway.recovery import Recovery
from tests.support.clock import ManualClock
from tests.support.memory import FreshLoader

BUDGET: Final = Budget("month", Counted.DOLLARS, (Scope.TEAM,), amount=1_000_000, period=Period.MONTH)
OF_THE_KEY: Final = Budget("key-month", Counted.TOKENS, (Scope.KEY,), amount=1_000, period=Period.MONTH)
REQUESTS: Final = Limit("requests", Counted.REQUESTS, (Scope.TEAM,), amount=10, seconds=86_400.0, burst=10)
CATALOGUE: Final = Catalogue({"gpt-4o": Model("gpt-4o", "openai", "gpt-4o")})
POLICY: Final = Policy("search", "5f3c", CATALOGUE, limits=(REQUESTS,), budgets=(BUDGET,))
WITH_KEY: Final = Policy("search", "5f3c", CATALOGUE, limits=(REQUESTS,), budgets=(BUDGET, OF_THE_KEY))
WEB: Final = Principal("key:search/web", "search", "k1", "web")


def left(attempt: int = 1, exchange_id: str = "req_1", **members: Any) -> Admission:
    """An attempt that nobody settled."""
    facts = {
        "attempt_id": f"att_{exchange_id}_{attempt}",
        "exchange_id": exchange_id,
        "number": attempt,
        "admitted_at": 0,
        "team": "search",
        "key_id": "k1",
        "subject": "key:search/app",
        "endpoint": "chat_completions",
        "asked_model": "gpt-4o",
        "model": "gpt-4o",
        "upstream": "openai",
        "policy_version": "5f3c",
        "stream": False,
        "estimate": Usage(UsageSource.ESTIMATED, input_tokens=10, output_tokens=20),
        "estimated_cost": 300,
    }
    return Admission(**{**facts, **members})


class LeftBehind(MemoryLedger):
    """A ledger in which a dead process left these."""

    def __init__(self, *abandoned: Admission | StoreUnavailable) -> None:
        super().__init__()
        self._abandoned = abandoned

    async def recover(self) -> Sequence[Admission]:
        abandoned, self._abandoned = self._abandoned, ()
        for each in abandoned:
            if isinstance(each, StoreUnavailable):
                raise each
        return [each for each in abandoned if isinstance(each, Admission)]


class Desk:
    def __init__(self, *abandoned: Admission | StoreUnavailable) -> None:
        self.clock = ManualClock()
        self.limiter = MemoryLimiter(clock=self.clock)
        self.jobs: list[Any] = []
        self.told: list[int] = []
        self.reservations = Reservations(
            limiter=self.limiter,
            loader=FreshLoader(self.limiter),
            demands=Demands(clock=self.clock),
            refusals=RecentRefusals(clock=self.clock),
            hand_over=self.jobs.append,
            on_leak=lambda _: None,
            on_charged=lambda _: None,
        )
        teams = {"search": TeamPolicies(POLICY, {"web": WITH_KEY})}
        self.recovery = Recovery(
            recorder=Recorder(ledger=LeftBehind(*abandoned), clock=self.clock),
            policies=PolicyBook(PolicySet("5f3c", CATALOGUE, teams)),
            reservations=self.reservations,
            on_recovered=self.told.append,
        )

    def demand(self, limit: Limit | Budget, cost: int = 0) -> Demand:
        return demand_of(limit, bucket_of("search", limit, WEB, "gpt-4o"), cost, self.clock.now())

    async def recover(self) -> None:
        await self.recovery.recover()
        for job in self.jobs:
            await job()

    async def spent(self, budget: Budget) -> int:
        (look,) = await self.limiter.look([self.demand(budget)])
        return look.spent

    async def load(self, *budgets: Budget) -> None:
        for budget in budgets:
            await self.limiter.load(self.demand(budget), Spending(0))


async def test_a_budget_is_charged_what_a_dead_process_may_have_spent() -> None:
    desk = Desk(left())
    await desk.load(BUDGET)
    await desk.recover()
    assert await desk.spent(BUDGET) == 300


async def test_attempts_of_one_exchange_are_charged_together() -> None:
    desk = Desk(left(1), left(1, "req_2"), left(2))
    await desk.load(BUDGET)
    await desk.recover()
    (requests,) = await desk.limiter.look([desk.demand(REQUESTS)])
    assert (await desk.spent(BUDGET), requests.level) == (900, 2_000_000)


async def test_what_it_held_is_not_charged_beside_it() -> None:
    desk = Desk(left(subject=WEB.subject))
    await desk.load(BUDGET, OF_THE_KEY)
    demands = (desk.demand(REQUESTS, 1), desk.demand(BUDGET, 250), desk.demand(OF_THE_KEY, 30))
    await desk.limiter.reserve(Hold("req_1", demands))
    await desk.recover()
    (look,) = await desk.limiter.look([desk.demand(BUDGET)])
    (requests,) = await desk.limiter.look([desk.demand(REQUESTS)])
    assert (look.spent, look.level, requests.level) == (300, 300, 1_000_000)


async def test_a_key_with_a_policy_of_its_own_is_charged_by_that() -> None:
    desk = Desk(left(subject=WEB.subject))
    await desk.load(BUDGET, OF_THE_KEY)
    await desk.recover()
    assert await desk.spent(OF_THE_KEY) == 30


async def test_unpriced_attempts_and_teams_that_are_gone_hinder_nobody() -> None:
    desk = Desk(left(1, "a", team="gone"), left(1, "b", estimated_cost=None), left(1, "c"))
    await desk.load(BUDGET)
    await desk.recover()
    assert (await desk.spent(BUDGET), desk.told) == (300, [3])


@pytest.mark.parametrize("abandoned", [(), (StoreUnavailable("away"),)])
async def test_nobody_is_told_of_nothing(abandoned: tuple[StoreUnavailable, ...]) -> None:
    desk = Desk(*abandoned)
    await desk.recover()
    assert (desk.told, desk.jobs) == ([], [])
