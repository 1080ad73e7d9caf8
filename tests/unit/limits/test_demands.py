"""Which buckets a call draws on, and their names."""

from dataclasses import replace

import pytest

from gateway.core.decision import Mode
from gateway.core.policy import Limit, Scope
from gateway.core.principal import Principal
from gateway.limits.demands import Demands, demand_of, demands_of, whose
from tests.unit.limits.conftest import REQUESTS, SLOTS, TOKENS


def buckets(principal: Principal, *limits: Limit, model: str | None = "gpt-4o") -> list[str]:
    return [demand.bucket for demand in demands_of(principal, limits, model, 500)]


@pytest.mark.parametrize(
    ("scope", "bucket", "sentence"),
    [
        (Scope.TEAM, "{search}:team-requests:team", "team `search`"),
        (Scope.KEY, "{search}:team-requests:key:k1", "key `k1`"),
        (Scope.MODEL, "{search}:team-requests:model:ft:gpt-4o:acme", "model `ft:gpt-4o:acme`"),
    ],
)
def test_a_bucket_is_named_for_whom_it_counts(
    principal: Principal, scope: Scope, bucket: str, sentence: str
) -> None:
    (demand,) = demands_of(principal, (replace(REQUESTS, per=(scope,)),), "ft:gpt-4o:acme", 0)
    assert demand.bucket == bucket
    assert whose(demand) == sentence


def test_requests_and_slots_cost_one_and_tokens_what_is_expected(principal: Principal) -> None:
    demands = demands_of(principal, (REQUESTS, TOKENS, SLOTS), "gpt-4o", 500)
    assert [demand.cost for demand in demands] == [1, 500, 1]


def test_slots_have_no_rate(principal: Principal) -> None:
    demands = demands_of(principal, (REQUESTS, SLOTS), "gpt-4o", 500)
    assert [demand.rate is None for demand in demands] == [False, True]


def test_a_limit_that_is_off_counts_nothing(principal: Principal) -> None:
    assert buckets(principal, replace(REQUESTS, mode=Mode.OFF)) == []


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN, Mode.ENFORCE])
def test_every_other_mode_counts(principal: Principal, mode: Mode) -> None:
    assert len(buckets(principal, replace(REQUESTS, mode=mode))) == 1


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
def test_a_limit_counts_the_models_that_it_names(
    principal: Principal, models: tuple[str, ...], model: str | None, counts: bool
) -> None:
    assert bool(buckets(principal, replace(REQUESTS, models=models), model=model)) is counts


def test_a_limit_for_each_model_does_not_count_what_asks_for_none(principal: Principal) -> None:
    assert buckets(principal, replace(REQUESTS, per=(Scope.MODEL,)), model=None) == []


class TestRemembering:
    LIMITS = (REQUESTS, TOKENS, SLOTS)

    @pytest.mark.parametrize("tokens", [0, 1, 500])
    def test_it_is_what_would_be_worked_out(self, principal: Principal, tokens: int) -> None:
        demands = Demands()
        for _ in range(2):
            known = demands.of(principal, self.LIMITS, "gpt-4o", tokens)
            assert known == demands_of(principal, self.LIMITS, "gpt-4o", tokens)

    def test_changed_limits_are_worked_out_anew(self, principal: Principal) -> None:
        demands = Demands()
        demands.of(principal, self.LIMITS, "gpt-4o", 0)
        changed = (replace(REQUESTS, amount=5), TOKENS)
        assert demands.of(principal, changed, "gpt-4o", 7) == demands_of(principal, changed, "gpt-4o", 7)

    def test_callers_are_not_mixed_up(self, principal: Principal) -> None:
        demands = Demands(most=2)
        others = [replace(principal, key_id=f"k{number}") for number in range(5)]
        for other in (*others, *others):
            assert demands.of(other, self.LIMITS, "o3", 9) == demands_of(other, self.LIMITS, "o3", 9)


def test_a_demand_keeps_the_numbers_of_its_limit() -> None:
    demand = demand_of(TOKENS, "{search}:key-tokens:key:k1", 300)
    assert demand.rate is not None
    assert demand.rate.size == 1000 * 1_000_000
