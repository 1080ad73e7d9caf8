"""Amounts and times as people spell them."""

import time

import pytest
import typer

from gateway.cli.keys_options import grant_of, in_days, micro_dollars_of, seconds_of
from gateway.core.grant import UNNARROWED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0h", 0), ("90s", 90), ("30m", 1_800), ("24h", 86_400), (" 7d ", 604_800)],
)
def test_a_time_is_a_number_and_its_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1w", "1h30m", "٣h", "9999999999s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="a number and its unit"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1_000_000), ("12.50", 12_500_000), ("0.000001", 1), ("1000000", 10**12), (" 3 ", 3_000_000)],
)
def test_dollars_are_kept_as_whole_micro_dollars(text: str, amount: int) -> None:
    assert micro_dollars_of(text) == amount


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "$5", "nan", "inf", "1e400", "0.0000001", "1000001", "1,000", "ten"]
)
def test_what_are_no_dollars_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write dollars"):
        micro_dollars_of(text)


def test_days_are_counted_from_now() -> None:
    found = in_days(2)
    assert found is not None
    assert abs(found - time.time() - 172_800) < 5


def test_no_days_are_never() -> None:
    assert in_days(None) is None


def test_what_is_not_said_is_not_narrowed() -> None:
    grant = grant_of(
        endpoints=[], models=[], read_only=False, requests=None, tokens=None, concurrent=None, dollars=None
    )
    assert grant == UNNARROWED
