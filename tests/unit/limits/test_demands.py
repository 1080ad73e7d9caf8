"""Which buckets a call draws on, and their names."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.decision import Mode
from gateway.core.policy import Budget, Counted, Increase, Limit, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.amounts import Amounts
from gateway.limits.bucket import rate_of
from gateway.limits.budget import window_of
from gateway.limits.demands import Demands, Name, bucket_of, demand_of, name_of, whose
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

EXPECTED = Amounts(1, 500, 300, 200, 2, 30, 4_000, 1)
BOUND = Amounts(1, 900, 300, 600, 2, 30, 9_000, 1)
ALICE = Principal(subject="alice", team="search", key_id="k1", key_name="batch")
ORGANIZATION, TEAM, USER, KEY, MODEL = Scope


def draws(
    principal: Principal, policy: Policy, *limits: Limit | Budget, model: str | None = "gpt-4o"
) -> list[str]:
    """The buckets of a caller with these limits alone."""
    policy = replace(
        policy,
        limits=tuple(limit for limit in limits if isinstance(limit, Limit)),
        budgets=tuple(limit for limit in limits if isinstance(limit, Budget)),
    )
    return [demand.bucket for demand in Demands(clock=ManualClock()).of(principal, policy, model, EXPECTED)]


@pytest.fixture
def demands(clock: ManualClock) -> Demands:
    return Demands(clock=clock)


class TestNames:
    @pytest.mark.parametrize(
        ("per", "scopes", "sentence"),
        [
            ((ORGANIZATION,), "", "the organization"),
            ((TEAM,), ":team=search", "team `search`"),
            ((USER,), ":team=search:user=alice", "user `alice`"),
            ((KEY,), ":team=search:key=k1", "key `k1`"),
            ((MODEL,), ":team=search:model=gpt-4o", "model `gpt-4o`"),
            ((USER, MODEL), ":team=search:user=alice:model=gpt-4o", "user `alice` and model `gpt-4o`"),
            ((MODEL, USER), ":team=search:user=alice:model=gpt-4o", "user `alice` and model `gpt-4o`"),
            ((TEAM, MODEL), ":team=search:model=gpt-4o", "model `gpt-4o`"),
            ((ORGANIZATION, USER), ":user=alice", "user `alice`"),
            ((ORGANIZATION, MODEL), ":model=gpt-4o", "model `gpt-4o`"),
            (
                (USER, KEY, MODEL),
                ":team=search:user=alice:key=k1:model=gpt-4o",
                "user `alice` and key `k1` and model `gpt-4o`",
            ),
        ],
    )
    def test_a_bucket_is_named_for_whom_it_counts(
        self, per: tuple[Scope, ...], scopes: str, sentence: str
    ) -> None:
        bucket = bucket_of("search", replace(REQUESTS, per=per), ALICE, "gpt-4o")
        assert bucket == "{search}:team-requests:requests" + scopes
        assert whose(demand_of(REQUESTS, bucket, 1, 0)) == sentence

    def test_every_combination_of_scopes_has_a_bucket_of_its_own(self) -> None:
        narrow = (USER, KEY, MODEL)
        combined = [per for size in range(4) for per in combinations(narrow, size)]
        everywhere = [(wide, *per) for wide in (ORGANIZATION, TEAM) for per in combined]
        buckets = {bucket_of("*", replace(REQUESTS, per=per), ALICE, "gpt-4o") for per in everywhere}
        assert len(buckets) == len(everywhere) == 16

    @pytest.mark.parametrize(
        ("per", "other", "same"),
        [
            ((TEAM,), replace(ALICE, subject="bob", key_id="k2"), True),
            ((USER,), replace(ALICE, key_id="k2"), True),
            ((USER,), replace(ALICE, subject="bob"), False),
            ((KEY,), replace(ALICE, key_id="k2"), False),
            ((USER,), replace(ALICE, team="billing"), False),
            ((ORGANIZATION, USER), replace(ALICE, team="billing"), True),
            ((ORGANIZATION,), replace(ALICE, team="billing", subject="bob"), True),
        ],
    )
    def test_callers_share_a_bucket_as_its_scopes_say(
        self, per: tuple[Scope, ...], other: Principal, same: bool
    ) -> None:
        limit = replace(REQUESTS, per=per)
        one, two = (bucket_of("*", limit, principal, "gpt-4o") for principal in (ALICE, other))
        assert (one == two) is same

    def test_units_of_one_name_have_buckets_of_their_own(self) -> None:
        limits = [replace(DOLLARS, counts=counts) for counts in Counted]
        assert len({bucket_of("search", limit, ALICE, None) for limit in limits}) == len(Counted)

    @given(
        st.lists(st.sampled_from(Scope), min_size=1, unique=True).map(tuple),
        st.text() | st.sampled_from(["}", "{", "a}:x", ":", "=", "%3A", "a:user=b", "é", "\n", "", "☃"]),
        st.text() | st.sampled_from(["ft:gpt-4o:acme:x=1", "a}{b", "%", "模型"]),
    )
    def test_a_name_is_taken_apart_into_what_it_was_made_of(
        self, per: tuple[Scope, ...], subject: str, model: str
    ) -> None:
        limit = replace(DOLLARS, per=per)
        bucket = bucket_of("search", limit, replace(ALICE, subject=subject, key_id=subject), model)
        values = {TEAM: "search", USER: subject, KEY: subject, MODEL: model}
        wanted = {*per} - {ORGANIZATION, TEAM} if ORGANIZATION in per else {TEAM, *per}
        assert name_of(bucket) == Name(
            "search", "team-month", "dollars", {scope: values[scope] for scope in wanted}
        )
        assert bucket.isascii()
        assert bucket.count("}") == 1, "so that its tag is the team, and no user's choice"

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "gateway:replicas",
            "{search}",
            "{search}:exchange:ex_01",
            "{search}:team-month:dollars:team=search:leases",
            "{search}:team-month:dollars:leases",
            "{search}:team-month",
            "{search}:team-month:wishes:team=search",
            "search}:team-month:dollars:team=search",
        ],
    )
    def test_other_keys_are_no_buckets(self, key: str) -> None:
        assert name_of(key) is None

    def test_the_organization_s_name_has_no_values(self) -> None:
        assert name_of("{*}:house:requests") == Name("*", "house", "requests", {})

    def test_what_has_no_name_is_the_organization_s(self) -> None:
        assert whose(demand_of(REQUESTS, "a bucket", 1, 0)) == "the organization"


class TestDemands:
    def test_each_wants_what_its_unit_counts(
        self, demands: Demands, principal: Principal, policy: Policy
    ) -> None:
        every = tuple(
            replace(DOLLARS, counts=counts) for counts in Counted if counts is not Counted.CONCURRENT
        )
        policy = replace(policy, limits=(REQUESTS, TOKENS, SLOTS), budgets=every)
        costs = [demand.cost for demand in demands.of(principal, policy, "gpt-4o", EXPECTED)]
        assert costs == [1, 500, 1, 1, 500, 300, 200, 2, 30, 4_000]

    def test_rates_budgets_slots_are_told_apart(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        policy = replace(policy, limits=(SLOTS, REQUESTS), budgets=(DOLLARS,))
        slot, rate, budget = demands.of(principal, policy, "gpt-4o", EXPECTED)
        assert (slot.rate, slot.window) == (None, None)
        assert (rate.rate, rate.window) == (rate_of(REQUESTS), None)
        assert (budget.rate, budget.window) == (None, window_of(DOLLARS, clock.now()))

    def test_a_demand_by_itself_is_the_same(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        policy = replace(policy, limits=(SLOTS, REQUESTS), budgets=(DOLLARS,))
        found = demands.of(principal, policy, "gpt-4o", EXPECTED)
        assert list(found) == [
            demand_of(demand.limit, demand.bucket, demand.cost, clock.now()) for demand in found
        ]

    def test_strict_budgets_want_the_bound(
        self, demands: Demands, principal: Principal, policy: Policy
    ) -> None:
        strict = replace(DOLLARS, name="strict", strict=True)
        policy = replace(policy, limits=(TOKENS,), budgets=(DOLLARS, strict))
        costs = [demand.cost for demand in demands.of(principal, policy, "gpt-4o", EXPECTED, BOUND)]
        assert costs == [500, 4_000, 9_000]

    def test_without_a_bound_strict_budgets_want_what_is_expected(
        self, demands: Demands, principal: Principal, policy: Policy
    ) -> None:
        policy = replace(policy, limits=(), budgets=(replace(DOLLARS, strict=True),))
        (demand,) = demands.of(principal, policy, "gpt-4o", EXPECTED)
        assert demand.cost == 4_000

    @pytest.mark.parametrize("limit", [REQUESTS, SLOTS, DOLLARS])
    def test_what_is_off_counts_nothing(
        self, principal: Principal, policy: Policy, limit: Limit | Budget
    ) -> None:
        assert draws(principal, policy, replace(limit, mode=Mode.OFF)) == []

    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN, Mode.ENFORCE])
    def test_every_other_mode_counts(self, principal: Principal, policy: Policy, mode: Mode) -> None:
        assert len(draws(principal, policy, replace(REQUESTS, mode=mode), replace(DOLLARS, mode=mode))) == 2

    @pytest.mark.parametrize(
        ("models", "model", "counts"),
        [
            (("*",), "gpt-4o", True),
            (("gpt-*",), "gpt-4o", True),
            (("gpt-*",), "o3", False),
            (("o1", "o3"), "o3", True),
            (("*",), None, True),
            (("gpt-*",), None, False),
        ],
    )
    @pytest.mark.parametrize("limit", [REQUESTS, DOLLARS])
    def test_a_limit_counts_the_models_that_it_names(
        self,
        principal: Principal,
        policy: Policy,
        limit: Limit | Budget,
        models: tuple[str, ...],
        model: str | None,
        counts: bool,
    ) -> None:
        assert bool(draws(principal, policy, replace(limit, models=models), model=model)) is counts

    @pytest.mark.parametrize("per", [(MODEL,), (USER, MODEL), (ORGANIZATION, MODEL)])
    def test_a_limit_for_each_model_does_not_count_what_asks_for_none(
        self, principal: Principal, policy: Policy, per: tuple[Scope, ...]
    ) -> None:
        assert draws(principal, policy, replace(REQUESTS, per=per), model=None) == []

    def test_a_team_s_counters_lie_together(self, principal: Principal, policy: Policy) -> None:
        found = draws(principal, policy, REQUESTS, DOLLARS)
        assert [bucket.partition(":")[0] for bucket in found] == ["{search}", "{search}"]

    def test_a_house_that_counts_all_teams_together_has_one_place(
        self, principal: Principal, policy: Policy
    ) -> None:
        house = replace(policy, counters="*")
        found = draws(principal, house, REQUESTS, replace(DOLLARS, per=(ORGANIZATION,)))
        assert found == ["{*}:team-requests:requests:team=search", "{*}:team-month:dollars"]


class TestRemembering:
    """Whatever is remembered, a demand is what would be worked out now."""

    @staticmethod
    def anew(
        principal: Principal, policy: Policy, clock: ManualClock, expected: Amounts = EXPECTED
    ) -> tuple[object, ...]:
        return Demands(clock=clock).of(principal, policy, "gpt-4o", expected)

    @pytest.mark.parametrize("tokens", [0, 1, 500])
    def test_costs_are_each_call_s_own(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock, tokens: int
    ) -> None:
        for expected in (EXPECTED, EXPECTED._replace(tokens=tokens)):
            found = demands.of(principal, policy, "gpt-4o", expected)
            assert found == self.anew(principal, policy, clock, expected)

    def test_a_new_policy_is_worked_out_anew(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        demands.of(principal, policy, "gpt-4o", EXPECTED)
        changed = replace(policy, limits=(replace(REQUESTS, amount=5), TOKENS))
        assert demands.of(principal, changed, "gpt-4o", EXPECTED) == self.anew(principal, changed, clock)

    @pytest.mark.parametrize("late", [0.0, 5.0, 86_400 * 40])
    def test_a_window_that_ends_is_worked_out_anew(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock, late: float
    ) -> None:
        policy = replace(policy, budgets=(replace(DOLLARS, period=Period.DAY, zone="Europe/Berlin"),))
        before = demands.of(principal, policy, "gpt-4o", EXPECTED)
        clock.advance(window_of(policy.budgets[0], clock.now()).edges[2] - clock.now() + late)
        after = demands.of(principal, policy, "gpt-4o", EXPECTED)
        assert after != before
        assert after == self.anew(principal, policy, clock)

    def test_an_increase_that_ends_is_worked_out_anew(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        raised = replace(DOLLARS, increases=(Increase(7, int(clock.now()) + 60),))
        policy = replace(policy, limits=(), budgets=(raised,))
        amounts = []
        for _ in range(3):
            (demand,) = demands.of(principal, policy, "gpt-4o", EXPECTED)
            amounts.append(demand.window and demand.window.amount)
            clock.advance(30)
        assert amounts == [50_000_007, 50_000_007, 50_000_000]

    def test_the_first_window_that_ends_counts(
        self, demands: Demands, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        day = replace(DOLLARS, name="day", period=Period.DAY)
        policy = replace(policy, budgets=(DOLLARS, day, replace(DOLLARS, name="week", period=Period.WEEK)))
        demands.of(principal, policy, "gpt-4o", EXPECTED)
        clock.advance(86_400)
        assert demands.of(principal, policy, "gpt-4o", EXPECTED) == self.anew(principal, policy, clock)

    def test_callers_are_not_mixed_up(self, principal: Principal, policy: Policy, clock: ManualClock) -> None:
        few = Demands(clock=clock, most=2)
        policy = replace(policy, limits=(replace(REQUESTS, per=(KEY,)), replace(TOKENS, per=(USER, MODEL))))
        others = [
            *(replace(principal, key_id=f"k{number}") for number in range(3)),
            *(replace(principal, subject=f"user{number}") for number in range(3)),
            replace(principal, team="billing"),
        ]
        for other in (*others, *others):
            assert few.of(other, policy, "gpt-4o", EXPECTED) == self.anew(other, policy, clock)

    def test_models_are_not_mixed_up(self, demands: Demands, principal: Principal, policy: Policy) -> None:
        policy = replace(policy, limits=(replace(REQUESTS, per=(MODEL,)),))
        found = [demands.of(principal, policy, model, EXPECTED) for model in ("a", "b", None, "a")]
        assert [[demand.bucket[-7:] for demand in each] for each in found] == [
            ["model=a"],
            ["model=b"],
            [],
            ["model=a"],
        ]

    def test_what_is_worked_out_is_kept(self, demands: Demands, principal: Principal, policy: Policy) -> None:
        one, two = (demands.of(principal, policy, "gpt-4o", EXPECTED) for _ in range(2))
        assert one[0].rate is two[0].rate

    def test_the_one_longest_unused_is_forgotten(
        self, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        few = Demands(clock=clock, most=2)
        first = few.of(principal, policy, "a", EXPECTED)
        few.of(principal, policy, "b", EXPECTED)
        few.of(principal, policy, "a", EXPECTED)
        few.of(principal, policy, "c", EXPECTED)
        assert few.of(principal, policy, "a", EXPECTED)[0].rate is first[0].rate


def test_a_demand_keeps_the_numbers_of_its_limit() -> None:
    demand = demand_of(TOKENS, "{search}:key-tokens:tokens:team=search:key=k1", 300, now=0)
    assert demand.rate is not None
    assert demand.rate.size == 1000 * 1_000_000


def test_a_demand_of_a_budget_has_the_window_of_the_moment() -> None:
    now = datetime(2026, 12, 24, 18, tzinfo=UTC).timestamp()
    demand = demand_of(DOLLARS, "{search}:team-month:dollars:team=search", 300, now)
    assert demand.window == window_of(DOLLARS, now)
