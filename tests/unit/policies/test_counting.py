"""Facts about `gateway/policies/counting.py`. The messages themselves are in tests/golden/policies."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.core.policy import Counted, Scope
from gateway.policies.counting import UNITS, Counting, Scopes, microdollars

PER: TypeAdapter[tuple[Scope, ...]] = TypeAdapter(Scopes)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("team", (Scope.TEAM,)),
        (["team"], (Scope.TEAM,)),
        ("organization", (Scope.ORGANIZATION,)),
        (["user", "model"], (Scope.USER, Scope.MODEL)),
        (["model", "user"], (Scope.USER, Scope.MODEL)),
        (["organization", "model"], (Scope.ORGANIZATION, Scope.MODEL)),
        (["organization", "user"], (Scope.ORGANIZATION, Scope.USER)),
        (["key", "user", "model"], (Scope.USER, Scope.KEY, Scope.MODEL)),
    ],
)
def test_scopes_are_one_or_a_list_in_any_order(said: Any, meant: tuple[Scope, ...]) -> None:
    assert PER.validate_python(said) == meant


@pytest.mark.parametrize("scope", ["user", "key", "model"])
def test_a_part_of_a_team_is_the_teams_anyway(scope: str) -> None:
    assert PER.validate_python(["team", scope]) == PER.validate_python(scope)


@pytest.mark.parametrize(
    "said",
    [
        [],
        "",
        "department",
        ["user", "user"],
        ["organization", "team"],
        ["team", "organization", "model"],
        ["organization", "key"],
        ["key", "model", "organization"],
        {"team": 1},
        None,
        5,
    ],
)
def test_what_counts_nobody_or_contradicts_itself_is_refused(said: Any) -> None:
    with pytest.raises(ValidationError):
        PER.validate_python(said)


@given(st.lists(st.sampled_from(Scope), min_size=1, max_size=5))
def test_scopes_that_are_taken_mean_the_same_in_every_order(said: list[Scope]) -> None:
    try:
        meant = PER.validate_python(said)
    except ValidationError:
        return
    assert PER.validate_python(said[::-1]) == meant
    assert PER.validate_python(list(meant)) == meant


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_tells_itself_with_its_amount(unit: str) -> None:
    counting = Counting[int].model_validate({unit: 7})

    assert (counting.counts, counting.amount) == (Counted(unit), 7)


def test_every_unit_but_money_and_slots_is_common_to_limits_and_budgets() -> None:
    assert set(UNITS) == set(Counted) - {Counted.DOLLARS, Counted.CONCURRENT}


@pytest.mark.parametrize(
    ("dollars", "micro"), [("0.000001", 1), ("2.50", 2_500_000), ("999999999.999999", 10**15 - 1)]
)
def test_money_is_whole_micro_dollars(dollars: str, micro: int) -> None:
    assert microdollars(Decimal(dollars)) == micro
