"""Usage rows with every column named, as files and the operators' API give them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from gateway.metering.interfaces import UsageRow

_NAMED: Final = {"cost": "cost_microdollars"}
"""Columns that say their unit, which UsageRow says beside it."""

_FIELDS: Final = tuple(field.name for field in fields(UsageRow) if field.name != "group")

MEASURES: Final = tuple(_NAMED.get(name, name) for name in _FIELDS)
"""The columns after the groups: those of UsageRow, in its order."""


def columns(groups: Sequence[str]) -> Mapping[str, type]:
    """Every column of a record, and what is in it."""
    return {**dict.fromkeys(groups, str), **dict.fromkeys(MEASURES, int)}


def as_record(groups: Sequence[str], row: UsageRow) -> dict[str, Any]:
    """One row: its groups by name, then every measure."""
    measures = [getattr(row, name) for name in _FIELDS]
    return dict(zip((*groups, *MEASURES), (*row.group, *measures), strict=True))
