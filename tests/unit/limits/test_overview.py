"""What is left, and who holds it: of every limit of a team, by every bucket that is known."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.core.decision import Mode
from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Budget, Catalogue, Counted, Increase, Limit, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.core.spending import Spending
from gateway.limits.demands import bucket_of, demand_of
from gateway.limits.interfaces import Demand, Hold, Holder, Look, Spent
from gateway.limits.left import Held, Left, Raised, TeamLimits
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.overview import Only, Overview, Team
from tests.support.clock import ManualClock
from tests.support.limit_store import LimitStore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
TEAM, USER, KEY, MODEL, ORGANIZATION = Scope.TEAM, Scope.USER, Scope.KEY, Scope.MODEL, Scope.ORGANIZATION

REQUESTS = Limit("requests", Counted.REQUESTS, (TEAM,), 60, 60.0, 100)
TOKENS = Limit("tokens", Counted.TOKENS, (USER, MODEL), 1_000, 60.0, 1_000)
SLOTS = Limit("slots", Counted.CONCURRENT, (KEY,), 3)
MONTH = Budget("month", Counted.DOLLARS, (TEAM,), 1_000, Period.MONTH, "Europe/Berlin", alert_at=(80,))
DAY = Budget("day", Counted.TOKENS, (USER,), 500, Period.DAY)

REQUESTS_OF_SEARCH = "{search}:requests:requests:team=search"
MONTH_OF_SEARCH = "{search}:month:dollars:team=search"
ALICE, BOB = "{search}:day:tokens:team=search:user=alice", "{search}:day:tokens:team=search:user=bob"


def policy(*limits: Limit | Budget, counters: str = "") -> Policy:
    return Policy(
        team="search",
        version="v1",
        catalogue=Catalogue(models={}),
        limits=tuple(limit for limit in limits if isinstance(limit, Limit)),
        budgets=tuple(limit for limit in limits if isinstance(limit, Budget)),
        counters=counters,
    )


def team(*limits: Limit | Budget, **keys: Policy) -> Team:
    return Team("search", policy(*limits), keys, {"k1": "web", "k2": "batch", "k3": "batch-old"})


async def left(store: LimitStore, of: Team, only: Only | None = None, *, at: float = NOW) -> TeamLimits:
    return await store.overview(ManualClock(at)).of(of, only or Only())


def told(lefts: Sequence[Left], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(each, name) for name in names) for each in lefts]


class TestRates:
    async def test_a_rate_shows_what_is_left_of_its_burst(self) -> None:
        store = LimitStore({REQUESTS_OF_SEARCH: Look(40_500_000)})
        (rate,) = (await left(store, team(REQUESTS))).rates
        assert (rate.left, rate.burst, rate.amount, rate.window_seconds) == (59, 100, 60, 60.0)
        assert rate.full_in_seconds == 40.5

    async def test_a_rate_that_owes_more_than_its_burst_has_nothing_left(self) -> None:
        store = LimitStore({REQUESTS_OF_SEARCH: Look(130_000_000)})
        (rate,) = (await left(store, team(REQUESTS))).rates
        assert (rate.left, rate.full_in_seconds) == (0, 130.0)

    async def test_what_the_team_has_not_used_is_full(self) -> None:
        (rate,) = (await left(LimitStore(), team(REQUESTS))).rates
        assert (rate.left, rate.full_in_seconds, rate.unused) == (100, 0.0, False)
        assert rate.whose == {"team": "search"}

    async def test_what_nobody_has_used_is_unused(self) -> None:
        (rate,) = (await left(LimitStore(), team(TOKENS))).rates
        assert (rate.left, rate.unused) == (1_000, True)
        assert rate.whose == {"team": "search", "user": None, "model": None}

    async def test_every_bucket_has_its_row(self) -> None:
        name = "{search}:tokens:tokens:team=search:user=alice:model="
        store = LimitStore({f"{name}gpt-5": Look(1_000_000), f"{name}a%2Fb": Look(2_000_000)})
        rates = (await left(store, team(TOKENS))).rates
        assert told(rates, "left", "whose", "unused") == [
            (998, {"team": "search", "user": "alice", "model": "a/b"}, False),
            (999, {"team": "search", "user": "alice", "model": "gpt-5"}, False),
        ]


class TestSlots:
    async def test_slots_show_who_holds_them(self) -> None:
        holders = (Holder("req_1", 1, 11.0), Holder("req_2", 1, 3.0))
        store = LimitStore({"{search}:slots:concurrent:team=search:key=k1": Look(2, holders=holders)})
        (slots,) = (await left(store, team(SLOTS))).concurrency
        assert (slots.taken, slots.amount, slots.unit) == (2, 3, "concurrent")
        assert slots.holders == (Held("req_2", 1, 3.0), Held("req_1", 1, 11.0))

    async def test_a_key_has_the_name_that_people_know(self) -> None:
        store = LimitStore({"{search}:slots:concurrent:team=search:key=k1": Look(1)})
        (slots,) = (await left(store, team(SLOTS))).concurrency
        assert (slots.whose["key"], slots.key_name) == ("k1", "web")

    async def test_a_key_that_is_gone_has_only_its_id(self) -> None:
        store = LimitStore({"{search}:slots:concurrent:team=search:key=k9": Look(1)})
        (slots,) = (await left(store, team(SLOTS))).concurrency
        assert (slots.whose["key"], slots.key_name) == ("k9", None)


class TestBudgets:
    async def test_a_budget_is_what_is_spent_and_held_and_set_aside_and_left(self) -> None:
        store = LimitStore({MONTH_OF_SEARCH: Look(700, 612, 50)})
        (budget,) = (await left(store, team(MONTH))).budgets
        assert (budget.spent, budget.held, budget.set_aside, budget.left) == (612, 38, 50, 300)
        assert (budget.amount, budget.percent, budget.unit) == (1_000, 61.2, "microdollars")

    async def test_an_overspent_budget_has_nothing_left(self) -> None:
        store = LimitStore({MONTH_OF_SEARCH: Look(1_207, 1_200)})
        (budget,) = (await left(store, team(MONTH))).budgets
        assert (budget.spent, budget.held, budget.left, budget.percent) == (1_200, 7, 0, 120.0)

    async def test_a_budget_tells_its_window_in_its_own_zone(self) -> None:
        (budget,) = (await left(LimitStore(), team(MONTH))).budgets
        assert (budget.period, budget.zone) == ("month", "Europe/Berlin")
        assert budget.begins_at == "2026-11-01T00:00:00+01:00"
        assert budget.ends_at == "2026-12-01T00:00:00+01:00"

    async def test_increases_are_shown_while_they_hold(self) -> None:
        budget = replace(MONTH, increases=(Increase(500, int(NOW) + 3_600), Increase(70, int(NOW))))
        (shown,) = (await left(LimitStore(), team(budget))).budgets
        assert (shown.amount, shown.left) == (1_500, 1_500)
        assert shown.increases == (Raised(500, "2026-11-20T14:00:00+01:00"),)

    async def test_a_budget_says_how_it_is_meant(self) -> None:
        (shown,) = (await left(LimitStore(), team(replace(MONTH, strict=True, mode=Mode.WARN)))).budgets
        assert (shown.strict, shown.mode, shown.alert_at) == (True, Mode.WARN, (80,))

    async def test_the_biggest_holders_are_shown(self) -> None:
        holders = tuple(Holder(f"req_{amount}", amount, 9.0) for amount in range(1, 30))
        store = LimitStore({MONTH_OF_SEARCH: Look(435, holders=holders)})
        (shown,) = (await left(store, team(MONTH))).budgets
        assert [held.amount for held in shown.holders] == list(range(29, 19, -1))

    async def test_a_budget_that_nobody_has_asked_for_is_loaded(self) -> None:
        store = LimitStore()
        store.ledger[MONTH_OF_SEARCH] = 612
        (budget,) = (await left(store, team(MONTH))).budgets
        assert (store.loaded, budget.spent) == ([MONTH_OF_SEARCH], 612)

    async def test_one_that_is_loaded_is_left_alone(self) -> None:
        store = LimitStore({MONTH_OF_SEARCH: Look(5, 5)})
        await left(store, team(MONTH))
        assert store.loaded == []

    async def test_one_that_is_known_and_not_loaded_is_loaded(self) -> None:
        store = LimitStore({ALICE: Look(0, loaded=False), BOB: Look(3, 3)})
        store.ledger[ALICE] = 40
        budgets = (await left(store, team(DAY))).budgets
        assert (store.loaded, told(budgets, "spent")) == ([ALICE], [(40,), (3,)])

    async def test_the_ledger_is_not_asked_for_all_that_there_ever_was(self) -> None:
        store = LimitStore({f"{ALICE}{number}": Look(0, loaded=False) for number in range(100)})
        limits = await left(store, team(DAY))
        assert (len(store.loaded), len(limits.budgets), limits.not_shown) == (20, 20, 80)

    async def test_a_budget_of_a_key_and_of_its_team_is_loaded_with_the_amounts_of_each(self) -> None:
        store = LimitStore()
        of = team(MONTH, web=policy(replace(MONTH, amount=700)))
        budgets = (await left(store, of)).budgets
        assert told(budgets, "amount", "left", "keys") == [(1_000, 1_000, ()), (700, 700, ("web",))]


class TestWhich:
    async def test_limits_stand_in_the_order_of_the_policy(self) -> None:
        first, second = replace(REQUESTS, name="first", per=(USER,)), replace(REQUESTS, name="second")
        assert told((await left(LimitStore(), team(first, second))).rates, "limit") == [
            ("first",),
            ("second",),
        ]

    async def test_what_is_off_is_not_shown(self) -> None:
        assert (await left(LimitStore(), team(replace(REQUESTS, mode=Mode.OFF)))).rates == ()

    async def test_a_limit_says_what_it_counts(self) -> None:
        limit = replace(REQUESTS, models=("gpt-5*",), mode=Mode.SHADOW)
        (rate,) = (await left(LimitStore(), team(limit))).rates
        assert (rate.models, rate.mode, rate.per) == (("gpt-5*",), Mode.SHADOW, (TEAM,))

    @pytest.mark.parametrize(
        "bucket",
        [
            "{search}:requests:tokens:team=search",
            "{search}:tokens:tokens:team=search:user=alice",
            "{search}:tokens:tokens:team=search:user=alice:key=k1:model=gpt-5",
            "{search}:gone:tokens:team=search:user=alice:model=gpt-5",
            "{search}:tokens:tokens:team=ads:user=alice:model=gpt-5",
            "{search}:exchange:req_1",
            "nonsense",
        ],
    )
    async def test_other_buckets_are_not_its_own(self, bucket: str) -> None:
        store = LimitStore({bucket: Look(1_000_000)})
        assert told((await left(store, team(TOKENS))).rates, "unused") == [(True,)]

    async def test_a_limit_that_two_policies_share_is_shown_once(self) -> None:
        of = team(REQUESTS, web=policy(REQUESTS), batch=policy(REQUESTS))
        assert told((await left(LimitStore(), of)).rates, "keys") == [((),)]

    async def test_a_limit_of_keys_alone_names_them(self) -> None:
        of = team(web=policy(REQUESTS), batch=policy(REQUESTS))
        assert told((await left(LimitStore(), of)).rates, "keys") == [(("web", "batch"),)]

    async def test_a_key_is_counted_by_its_own_policy(self) -> None:
        own = replace(SLOTS, amount=9)
        name = "{search}:slots:concurrent:team=search:key="
        store = LimitStore({f"{name}{key}": Look(1) for key in ("k1", "k2", "k3")})
        slots = (await left(store, team(SLOTS, batch=policy(own)))).concurrency
        assert told(slots, "amount", "key_name") == [(3, "web"), (3, "batch-old"), (9, "batch")]

    async def test_a_house_with_a_limit_of_all_teams_keeps_them_together(self) -> None:
        whole = replace(MONTH, name="whole", per=(ORGANIZATION,))
        store = LimitStore(
            {
                "{*}:whole:dollars": Look(900, 900),
                "{*}:day:tokens:team=search:user=alice": Look(7, 7),
                "{*}:day:tokens:team=search-eu:user=alice": Look(9, 9),
            }
        )
        of = Team("search", policy(whole, DAY, counters="*"), {}, {})
        limits = await left(store, of)
        assert told(limits.budgets, "spent", "whose") == [
            (900, {}),
            (7, {"team": "search", "user": "alice"}),
        ]
        assert store.tags == ["*"]

    async def test_counters_are_the_teams_own_otherwise(self) -> None:
        store = LimitStore()
        await left(store, team(REQUESTS))
        assert store.tags == ["search"]


class TestNarrowed:
    @pytest.mark.parametrize(
        ("only", "spent"),
        [
            (Only(), [7, 3]),
            (Only(user="alice"), [7]),
            (Only(user="bob"), [3]),
            (Only(user="carol"), [0]),
            (Only(key="k1"), [7, 3]),
            (Only(model="gpt-5"), [7, 3]),
        ],
    )
    async def test_only_what_counts_such_a_call_is_shown(self, only: Only, spent: list[int]) -> None:
        store = LimitStore({ALICE: Look(7, 7), BOB: Look(3, 3)})
        assert told((await left(store, team(DAY), only)).budgets, "spent") == [(each,) for each in spent]

    async def test_who_is_named_in_full_is_loaded(self) -> None:
        store = LimitStore()
        store.ledger[ALICE] = 40
        (budget,) = (await left(store, team(DAY), Only(user="alice"))).budgets
        assert (budget.spent, budget.unused) == (40, False)

    async def test_a_team_counts_each_of_its_callers(self) -> None:
        limits = await left(LimitStore(), team(REQUESTS), Only("k1", "alice", "gpt-5"))
        assert told(limits.rates, "whose") == [({"team": "search"},)]

    async def test_a_model_is_not_counted_by_limits_of_others(self) -> None:
        of = team(replace(REQUESTS, models=("gpt-5*",)))
        assert len((await left(LimitStore(), of, Only(model="gpt-5-mini"))).rates) == 1
        assert (await left(LimitStore(), of, Only(model="o3"))).rates == ()

    @pytest.mark.parametrize(("key", "amount"), [("k2", 9), ("k1", 60), ("k9", 60)])
    async def test_a_key_has_its_own_policy_or_its_teams(self, key: str, amount: int) -> None:
        of = team(REQUESTS, batch=policy(replace(REQUESTS, amount=9)))
        assert told((await left(LimitStore(), of, Only(key=key))).rates, "amount") == [(amount,)]

    async def test_the_answer_says_what_was_asked(self) -> None:
        limits = await left(LimitStore(), team(), Only("k1", "alice", "gpt-5"))
        assert (limits.team, limits.key, limits.user, limits.model) == ("search", "k1", "alice", "gpt-5")
        assert limits.at == "2026-11-20T12:00:00+00:00"


class TestBounds:
    async def test_of_many_buckets_the_most_used_are_shown(self) -> None:
        store = LimitStore({f"{ALICE}{number}": Look(number, number) for number in range(1, 301)})
        limits = await left(store, team(DAY))
        assert [budget.spent for budget in limits.budgets] == list(range(300, 250, -1))
        assert limits.not_shown == 250

    async def test_a_limit_of_many_buckets_hides_no_other(self) -> None:
        store = LimitStore({f"{ALICE}{number}": Look(number, number) for number in range(1_500)})
        limits = await left(store, team(DAY, MONTH))
        assert [budget.limit for budget in limits.budgets] == ["day"] * 50 + ["month"]
        assert limits.not_shown == 1_450

    async def test_a_store_that_is_away_is_not_hidden(self) -> None:
        store = LimitStore()
        store.away = True
        with pytest.raises(StoreUnavailable):
            await left(store, team(REQUESTS))


async def test_the_answer_can_be_written_and_read_again() -> None:
    holders = (Holder("req_1", 1, 11.0),)
    store = LimitStore({REQUESTS_OF_SEARCH: Look(1), MONTH_OF_SEARCH: Look(700, 612, 50, holders=holders)})
    limits = await left(store, team(REQUESTS, TOKENS, SLOTS, MONTH, DAY))
    assert msgspec.json.decode(msgspec.json.encode(limits), type=TeamLimits) == limits


class TestMemory:
    """Over a store of ours."""

    @pytest.fixture
    def limiter(self) -> MemoryLimiter:
        return MemoryLimiter(clock=ManualClock(NOW))

    @pytest.fixture
    def overview(self, limiter: MemoryLimiter) -> Overview:
        return Overview(limiter=limiter, loader=Ledger(limiter), clock=ManualClock(NOW))

    async def test_what_is_held_shows_who_holds_it(self, limiter: MemoryLimiter, overview: Overview) -> None:
        of = team(REQUESTS, SLOTS, MONTH)
        await overview.of(of)
        await limiter.reserve(hold(REQUESTS, SLOTS, MONTH))
        limits = await overview.of(of)
        assert told(limits.rates, "left", "burst") == [(60, 100)]
        assert told(limits.concurrency, "taken", "holders") == [(1, (Held("req_1", 1, 12.0),))]
        assert told(limits.budgets, "spent", "held", "left") == [(612, 40, 348)]
        assert limits.budgets[0].holders == (Held("req_1", 40, 12.0),)

    async def test_what_is_settled_is_spent(self, limiter: MemoryLimiter, overview: Overview) -> None:
        await overview.of(team(MONTH))
        held = hold(MONTH)
        await limiter.reserve(held)
        await limiter.settle([Spent(held, (8,))])
        (budget,) = (await overview.of(team(MONTH))).budgets
        assert (budget.spent, budget.held, budget.left, budget.holders) == (620, 0, 380, ())

    async def test_looking_takes_nothing(self, limiter: MemoryLimiter, overview: Overview) -> None:
        of = team(REQUESTS, TOKENS, SLOTS)
        assert (await overview.of(of), limiter.size) == (await overview.of(of), 0)


def hold(*limits: Limit | Budget) -> Hold:
    alice = Principal(subject="alice", team="search", key_id="k1", key_name="web")
    demands = (demand_of(limit, bucket_of("search", limit, alice, None), 40, NOW) for limit in limits)
    return Hold("req_1", tuple(demands))


class Ledger:
    """A loader of budgets of which 612 are spent."""

    def __init__(self, limiter: MemoryLimiter) -> None:
        self._limiter = limiter

    async def load(self, demands: Sequence[Demand]) -> None:
        for demand in demands:
            await self._limiter.load(demand, Spending(612))
