"""A day's sums as a row of FOCUS 1.2: its columns, its rules, and nothing lost."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.reports.closing import WHOSE
from gateway.metering.reports.daily import MEASURES
from gateway.metering.reports.focus import COLUMNS, Seller, charge
from gateway.metering.reports.month import Month

OCTOBER = Month(2026, 10)
SELLER = Seller("OpenAI", "OpenAI", "OpenAI API")
MANDATORY = set(
    """BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart
    ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost
    EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName
    ServiceCategory ServiceName""".split()
)
"""Of version 1.2, by its specification."""
MAY_BE_NULL = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}


def a_row(**changes: Any) -> dict[str, Any]:
    whose = {name: f"its {name}" for name in WHOSE}
    return {"day": OCTOBER.first_day, **whose, **dict.fromkeys(MEASURES, 0)} | changes


def of(*, cost_centre: str = "CC-1", correction: bool = False, **changes: Any) -> dict[str, Any]:
    return charge(
        a_row(**({"attempts": 1} | changes)),
        month=OCTOBER,
        seller=SELLER,
        cost_centre=cost_centre,
        correction=correction,
    )


def test_a_row_has_exactly_the_columns() -> None:
    assert set(of()) == set(COLUMNS)


def test_every_mandatory_column_is_there() -> None:
    assert set(COLUMNS) >= MANDATORY


def test_columns_of_our_own_are_marked_and_come_last() -> None:
    names = list(COLUMNS)
    focus = [name for name in names if not name.startswith("x_")]
    assert names[: len(focus)] == sorted(focus)


def test_what_must_not_be_null_is_not() -> None:
    row = of()
    assert [name for name in MANDATORY - MAY_BE_NULL if row[name] in (None, "")] == []


def test_values_are_of_the_kinds_that_are_said() -> None:
    row = of(input_tokens=5, cost=7)
    assert [
        name for name, kind in COLUMNS.items() if row[name] is not None and not isinstance(row[name], kind)
    ] == []


def test_periods_are_the_month_and_the_day() -> None:
    row = of(day=OCTOBER.end_day - 1)
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (
        datetime(2026, 10, 1, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
    )
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (
        datetime(2026, 10, 31, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
    )


def test_all_four_costs_are_one() -> None:
    row = of(cost=1_234_567)
    costs = {row[name] for name in ("BilledCost", "ListCost", "ContractedCost", "EffectiveCost")}
    assert costs == {Decimal("1.234567")}


def test_a_cost_is_never_spelled_with_an_exponent() -> None:
    assert [str(of(cost=cost)["BilledCost"]) for cost in (0, 1, 10**12)] == [
        "0.000000",
        "0.000001",
        "1000000.000000",
    ]


@given(st.lists(st.integers(-(10**15), 10**15)))
def test_billed_costs_add_up_to_the_micro_dollar(costs: list[int]) -> None:
    billed = [of(cost=cost)["BilledCost"] for cost in costs]
    assert sum(billed) * 1_000_000 == sum(costs)


@pytest.mark.parametrize(
    ("used", "consumed", "priced"),
    [
        (
            {"input_tokens": 1_500_000, "output_tokens": 5},
            ("1500005", "Tokens"),
            ("1.500005", "1000000 Tokens"),
        ),
        ({"images": 3}, ("3", "Images"), ("3.000000", "Images")),
        ({"audio_milliseconds": 90_500}, ("90.500", "Seconds"), ("1.508333", "Minutes")),
        ({"characters": 20}, ("20", "Characters"), ("0.000020", "1000000 Characters")),
        ({}, ("2", "Requests"), ("2", "Requests")),
        ({"images": 1, "output_tokens": 9}, ("9", "Tokens"), ("0.000009", "1000000 Tokens")),
    ],
)
def test_quantities_are_in_the_unit_of_the_meter(
    used: dict[str, int], consumed: tuple[str, str], priced: tuple[str, str]
) -> None:
    row = of(attempts=2, **used)
    assert (str(row["ConsumedQuantity"]), row["ConsumedUnit"]) == consumed
    assert (str(row["PricingQuantity"]), row["PricingUnit"]) == priced


def test_what_has_no_price_has_no_cost() -> None:
    row = of(unpriced=1)
    assert {row[name] for name in ("BilledCost", "ListCost", "ContractedCost", "EffectiveCost")} == {None}
    assert "; attempts without a price, not in the cost: 1" in row["ChargeDescription"]


def test_a_cost_of_which_a_part_is_not_known_is_the_known_part() -> None:
    row = of(attempts=2, unpriced=1, cost=5)
    assert (row["BilledCost"], row["x_Unpriced"]) == (Decimal("0.000005"), 1)


def test_estimates_are_told() -> None:
    assert "; attempts by estimate: 3" in of(estimated=3)["ChargeDescription"]


def test_a_charge_is_no_correction() -> None:
    assert of()["ChargeClass"] is None


def test_a_correction_says_so_and_may_be_below_zero() -> None:
    row = of(correction=True, attempts=0, cost=-60)
    assert (row["ChargeClass"], row["ChargeCategory"], row["BilledCost"]) == (
        *("Correction", "Usage", Decimal("-0.000060")),
    )
    assert row["ChargeDescription"].startswith("Correction: ")


def test_a_correction_of_the_cost_alone_has_no_quantity() -> None:
    row = of(correction=True, attempts=0, cost=-60)
    assert [row[name] for name in ("ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit")] == (
        [None] * 4
    )


def test_a_correction_that_makes_a_cost_known_has_it() -> None:
    assert of(correction=True, attempts=0, cost=60, unpriced=-1)["BilledCost"] == Decimal("0.000060")


def test_whose_it_is_stands_in_sub_account_and_tags() -> None:
    row = of(team="search", subject='a"b', key_id="k1", endpoint="chat_completions")
    assert (row["SubAccountId"], row["SubAccountName"]) == ("search", "search")
    assert msgspec.json.decode(row["Tags"]) == {
        "cost_centre": "CC-1",
        "gateway/endpoint": "chat_completions",
        "gateway/key": "k1",
        "gateway/user": 'a"b',
    }
    assert (row["x_CostCentre"], row["x_UserId"], row["x_KeyId"]) == ("CC-1", 'a"b', "k1")


def test_nobody_says_a_cost_centre_that_there_is_not() -> None:
    row = of(cost_centre="")
    assert row["x_CostCentre"] is None
    assert "cost_centre" not in row["Tags"]


def test_what_is_bought_is_the_model_or_else_the_endpoint() -> None:
    assert of(model="gpt-4o")["SkuId"] == "gpt-4o"
    assert of(model="", endpoint="moderations")["SkuId"] == "moderations"


def test_empty_texts_are_null() -> None:
    row = of(answered_model="", service_tier="")
    assert (row["x_AnsweredModel"], row["x_ServiceTier"]) == (None, None)


def test_every_measure_of_the_ledger_is_in_it() -> None:
    row = of(**{name: number for number, name in enumerate(MEASURES, 2)})
    ours = [row[name] for name in COLUMNS if name.startswith("x_") and COLUMNS[name] is int]
    assert sorted(ours) == list(range(2, len(MEASURES) + 2))
