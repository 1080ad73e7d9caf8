"""A day's sums as a row in the columns of FOCUS, the FinOps Open Cost and Usage Specification, version 1.2.

A row is what one team's user spent with one key on one model in one UTC day. Several units make up its cost
(input, output, cached ...), so it has no unit price: list, contracted, effective and billed cost are one and
the same, and the price book says how it came about. Exact: the billed costs of a month are, added up, the
ledger's micro-dollars.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from gateway.metering.reports.daily import MEASURES
from gateway.metering.reports.month import Month
from gateway.metering.reports.ranges import DAY

_OURS: Final = {
    name: f"x_{''.join(word.title() for word in name.split('_'))}" for name in MEASURES if name != "cost"
} | {"cost": "x_CostMicrodollars"}
"""Our columns for the measures of `daily`."""

COLUMNS: Final[Mapping[str, type]] = {
    "BilledCost": Decimal,
    "BillingAccountId": str,
    "BillingAccountName": str,
    "BillingCurrency": str,
    "BillingPeriodEnd": datetime,
    "BillingPeriodStart": datetime,
    "ChargeCategory": str,
    "ChargeClass": str,
    "ChargeDescription": str,
    "ChargeFrequency": str,
    "ChargePeriodEnd": datetime,
    "ChargePeriodStart": datetime,
    "ConsumedQuantity": Decimal,
    "ConsumedUnit": str,
    "ContractedCost": Decimal,
    "EffectiveCost": Decimal,
    "InvoiceIssuerName": str,
    "ListCost": Decimal,
    "PricingCategory": str,
    "PricingQuantity": Decimal,
    "PricingUnit": str,
    "ProviderName": str,
    "PublisherName": str,
    "ServiceCategory": str,
    "ServiceName": str,
    "ServiceSubcategory": str,
    "SkuId": str,
    "SkuMeter": str,
    "SubAccountId": str,
    "SubAccountName": str,
    "Tags": str,
    "x_AnsweredModel": str,
    "x_CostCentre": str,
    "x_Endpoint": str,
    "x_KeyId": str,
    "x_ServiceTier": str,
    "x_Upstream": str,
    "x_UserId": str,
    **dict.fromkeys(_OURS.values(), int),
}
"""Those of FOCUS in alphabetical order, then our own."""

TAG: Final = "gateway/"
"""How the keys of tags begin that are ours; `cost_centre` alone is the customer's own."""

_MICRO: Final = Decimal(1).scaleb(-6)
_MINUTE: Final = 60_000

_UNITS: Final = (
    (("input_tokens", "output_tokens"), "Tokens", 0, "1000000 Tokens", 1_000_000),
    (("images",), "Images", 0, "Images", 1),
    (("audio_milliseconds",), "Seconds", -3, "Minutes", _MINUTE),
    (("characters",), "Characters", 0, "1000000 Characters", 1_000_000),
)
"""Measures that are added up, the unit in which they were used and its power of ten, and that of price lists,
with how much of the measures is one of them. The first of which anything was used counts."""


@dataclass(frozen=True, slots=True)
class Seller:
    """Of whom an upstream's answers are bought."""

    provider: str
    """Who makes them available."""
    publisher: str
    """Whose models they are."""
    service: str
    """What is bought, as people call it."""


def charge(
    row: Mapping[str, Any], *, month: Month, seller: Seller, cost_centre: str, correction: bool = False
) -> dict[str, Any]:
    """A row of `daily` or `closed`, by the names of their columns.

    `correction`: the row is what a closed month's row must be changed by. A cost that is not known is empty,
    which FOCUS does not allow: an unpriced attempt is never told to have cost 0.
    """
    cost = None if row["unpriced"] > 0 and row["cost"] == 0 else Decimal(row["cost"]).scaleb(-6)
    begins = datetime.fromtimestamp(row["day"] * DAY / 1000, UTC)
    ends = datetime.fromtimestamp((row["day"] + 1) * DAY / 1000, UTC)
    return {
        "BilledCost": cost,
        "BillingAccountId": row["upstream"],
        "BillingAccountName": row["upstream"],
        "BillingCurrency": "USD",
        "BillingPeriodEnd": month.next.begins,
        "BillingPeriodStart": month.begins,
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if correction else None,
        "ChargeDescription": _description(row, correction),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": ends,
        "ChargePeriodStart": begins,
        **_quantities(row, correction),
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": seller.provider,
        "ListCost": cost,
        "PricingCategory": "Standard",
        "ProviderName": seller.provider,
        "PublisherName": seller.publisher,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": seller.service,
        "ServiceSubcategory": "Generative AI",
        "SkuId": row["model"] or row["endpoint"],
        "SkuMeter": row["endpoint"],
        "SubAccountId": row["team"],
        "SubAccountName": row["team"],
        "Tags": _tags(row, cost_centre),
        "x_AnsweredModel": row["answered_model"] or None,
        "x_CostCentre": cost_centre or None,
        "x_Endpoint": row["endpoint"],
        "x_KeyId": row["key_id"],
        "x_ServiceTier": row["service_tier"] or None,
        "x_Upstream": row["upstream"],
        "x_UserId": row["subject"],
        **{column: row[name] for name, column in _OURS.items()},
    }


def _quantities(row: Mapping[str, Any], correction: bool) -> dict[str, Any]:
    """What was used, in the unit of its meter and in that of price lists. Attempts, where nothing was used;
    nothing, where the cost alone is corrected."""
    for measures, unit, power, pricing_unit, size in _UNITS:
        amount = sum(row[name] for name in measures)
        if amount:
            price_lists = (Decimal(amount) / size).quantize(_MICRO, ROUND_HALF_UP)
            return _quantity(Decimal(amount).scaleb(power), unit, price_lists, pricing_unit)
    if correction and not row["attempts"]:
        return _quantity(None, None, None, None)
    return _quantity(Decimal(row["attempts"]), "Requests", Decimal(row["attempts"]), "Requests")


def _quantity(
    consumed: Decimal | None, unit: str | None, pricing: Decimal | None, pricing_unit: str | None
) -> dict[str, Any]:
    return {
        "ConsumedQuantity": consumed,
        "ConsumedUnit": unit,
        "PricingQuantity": pricing,
        "PricingUnit": pricing_unit,
    }


def _description(row: Mapping[str, Any], correction: bool) -> str:
    what = f"{row['model']} by {row['endpoint']}" if row["model"] else row["endpoint"]
    told = f"Correction: {what}" if correction else what
    if row["unpriced"] > 0:
        told += f"; attempts without a price, not in the cost: {row['unpriced']}"
    if row["estimated"] > 0:
        told += f"; attempts by estimate: {row['estimated']}"
    return told


def _tags(row: Mapping[str, Any], cost_centre: str) -> str:
    ours = {"endpoint": row["endpoint"], "key": row["key_id"], "user": row["subject"]}
    tags = {"cost_centre": cost_centre} if cost_centre else {}
    return msgspec.json.encode(tags | {f"{TAG}{name}": value for name, value in ours.items()}).decode()
