"""Facts about `gateway/policies/price_lines.py`."""

from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.policy import Price, Rates
from gateway.policies.price_lines import LineSpelling, Prices, RatesSpelling


def lines(*spelled: dict[str, Any]) -> tuple[Price, ...]:
    return Prices.model_validate({"models": {"m": list(spelled)}}).lines_of("m")


@pytest.mark.parametrize(
    ("dollars", "micro"), [(2.50, 2_500_000), ("2.50", 2_500_000), (10, 10_000_000), (0, 0), ("0.000001", 1)]
)
def test_a_price_in_dollars_becomes_whole_micro_dollars(dollars: Any, micro: int) -> None:
    assert RatesSpelling(input=dollars).compiled() == Rates(input=micro)


@given(st.integers(0, 10**12))
def test_no_micro_dollar_is_lost_in_reading(micro: int) -> None:
    spelled = f"{micro // 10**6}.{micro % 10**6:06}"
    assert RatesSpelling(input=spelled).compiled().input == micro


@given(st.integers(0, 10**9))
def test_nor_where_yaml_makes_a_number_of_it(micro: int) -> None:
    number = float(f"{micro // 10**6}.{micro % 10**6:06}")
    assert RatesSpelling(input=number).compiled().input == micro


@pytest.mark.parametrize("dollars", [-1, 0.0000001, "cheap", float("nan"), float("inf"), True, 10**7])
def test_an_impossible_price_is_refused(dollars: Any) -> None:
    with pytest.raises(ValidationError):
        RatesSpelling(input=dollars)


def test_every_unit_of_a_price_can_be_said() -> None:
    units = list(Rates.__dataclass_fields__)
    assert RatesSpelling(**dict.fromkeys(units, 1)).compiled() == Rates(**dict.fromkeys(units, 1_000_000))


def test_a_price_of_nothing_is_a_price() -> None:
    assert lines({"input": 0}) == (Price(Rates(input=0)),)


def test_a_model_that_the_book_does_not_name_has_no_price() -> None:
    assert Prices().lines_of("m") == ()


def test_a_single_line_needs_no_list() -> None:
    book = Prices.model_validate({"models": {"m": {"input": 1}}})
    assert book.lines_of("m") == lines({"input": 1})


def test_a_line_holds_always_and_for_all_unless_it_says_otherwise() -> None:
    (line,) = lines({"input": 1})
    assert (line.since, line.until, line.tier, line.above, line.upstream) == (-inf, inf, "", 0, "")


def test_days_begin_at_midnight_in_utc_and_the_last_is_the_one_before_until() -> None:
    (line,) = lines({"input": 1, "from": "2026-12-01", "until": "2027-01-01"})
    assert line.since == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert line.until == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def test_a_line_says_for_which_attempts_it_holds() -> None:
    (line,) = lines({"output": 1, "tier": "flex", "above": 272_000, "upstream": "azure"})
    assert (line.tier, line.above, line.upstream) == ("flex", 272_000, "azure")


def test_the_more_particular_lines_come_first_in_whichever_order_they_stand() -> None:
    spelled = [
        {"input": 1},
        {"input": 2, "above": 100},
        {"input": 3, "above": 200},
        {"input": 4, "upstream": "azure"},
        {"input": 5, "upstream": "azure", "above": 100},
    ]
    wanted = [("azure", 100), ("azure", 0), ("", 200), ("", 100), ("", 0)]
    assert [(line.upstream, line.above) for line in lines(*spelled)] == wanted
    assert [(line.upstream, line.above) for line in lines(*reversed(spelled))] == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"from": "2026-12-01"},
        {"input": 1, "from": 20261201},
        {"input": 1, "from": "20261201"},
        {"input": 1, "from": "2026-13-01"},
        {"input": 1, "from": "2026-12-01T00:00"},
        {"input": 1, "from": "2026-12-01", "until": "2026-12-01"},
        {"input": 1, "tier": "standard"},
        {"input": 1, "tier": ""},
        {"input": 1, "tier": "Flex"},
        {"input": 1, "above": 0},
        {"input": 1, "above": 1.5},
        {"input": 1, "from_": "2026-12-01"},
    ],
)
def test_an_impossible_line_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LineSpelling.model_validate(wrong)
