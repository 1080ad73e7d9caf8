"""What one request of a usage spends."""

import pytest

from gateway.core.policy import Counted
from gateway.core.usage import Usage, UsageSource
from gateway.limits.amounts import NOTHING, Amounts, amounts_of


def usage(**units: int) -> Usage:
    return Usage(UsageSource.PROVIDER, **units)


def test_each_unit_has_its_place() -> None:
    spent = usage(input_tokens=70, cached_tokens=60, output_tokens=7, images=2, audio_milliseconds=3000)
    assert amounts_of(spent, 1_250) == Amounts(
        requests=1,
        tokens=77,
        input_tokens=70,
        output_tokens=7,
        images=2,
        audio_seconds=3,
        dollars=1_250,
        concurrent=1,
    )


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)])
def test_audio_is_rounded_up_to_seconds(milliseconds: int, seconds: int) -> None:
    assert amounts_of(usage(audio_milliseconds=milliseconds), 0).audio_seconds == seconds


def test_what_has_no_price_costs_nothing() -> None:
    assert amounts_of(usage(input_tokens=5), None).dollars == 0


def test_usage_below_nothing_is_nothing() -> None:
    wrong = usage(input_tokens=-5, output_tokens=-7, images=-1, audio_milliseconds=-1500)
    assert amounts_of(wrong, -3) == Amounts(requests=1, concurrent=1)


def test_one_part_below_nothing_does_not_make_the_other_cheaper() -> None:
    assert amounts_of(usage(input_tokens=100, output_tokens=-90), 0).tokens == 100


@pytest.mark.parametrize("counts", Counted)
def test_whatever_a_limit_can_count_has_an_amount(counts: Counted) -> None:
    assert getattr(NOTHING, counts) == 0


def test_two_amounts_together_are_the_sum_of_each_unit() -> None:
    one = Amounts(1, 30, 10, 20, 0, 2, 500, 1)
    assert one.plus(Amounts(output_tokens=5, tokens=5, dollars=70)) == Amounts(1, 35, 10, 25, 0, 2, 570, 1)
