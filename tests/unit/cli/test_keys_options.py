"""Amounts and times as people spell them."""

import time

import pytest
import typer

from gateway.auth.keys.api_keys import new_key
from gateway.cli.keys_options import grant_of, in_days, key_id_alone, micro_dollars_of, seconds_of
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


@pytest.mark.parametrize("text", ["", "0123456789ab", "unheard-of"])
def test_an_id_is_taken_as_it_is(text: str) -> None:
    assert key_id_alone(text) == text


def test_of_a_whole_key_the_id_alone_is_told() -> None:
    key_id, key = new_key()
    with pytest.raises(typer.BadParameter) as refused:
        key_id_alone(key)
    assert (key_id in refused.value.message, key[17:] in refused.value.message) == (True, False)


@pytest.mark.parametrize("text", ["sk-of-another-gateway-1234", "gwk_cut_short_somewhere"])
def test_what_is_no_id_is_not_repeated(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="has 12 letters and digits"):
        key_id_alone(text)


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
