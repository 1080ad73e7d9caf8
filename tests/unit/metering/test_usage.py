"""Our own counts, and what is done about impossible ones."""

import pytest

from gateway.core.endpoint import Meter
from gateway.core.usage import Usage, UsageSource
from gateway.metering.usage import MOST, bounded, estimate

KNOWN = {"input_tokens": 7, "output_tokens": 8, "images": 2, "characters": 90, "audio_bytes": 8001}


@pytest.mark.parametrize(
    ("meter", "usage"),
    [
        (Meter.TOKENS, Usage(UsageSource.ESTIMATED, input_tokens=7, output_tokens=8)),
        (Meter.IMAGES, Usage(UsageSource.ESTIMATED, images=2)),
        (Meter.CHARACTERS, Usage(UsageSource.ESTIMATED, characters=90)),
        (Meter.AUDIO, Usage(UsageSource.ESTIMATED, audio_milliseconds=1001)),
        (Meter.FREE, Usage(UsageSource.ESTIMATED)),
    ],
)
def test_an_estimate_is_in_the_unit_by_which_the_endpoint_is_billed(meter: Meter, usage: Usage) -> None:
    assert estimate(meter, **KNOWN) == usage


def test_a_cut_answer_is_partial() -> None:
    assert estimate(Meter.TOKENS, source=UsageSource.PARTIAL, output_tokens=3).source is UsageSource.PARTIAL


def test_a_sane_count_is_left_as_it_is() -> None:
    usage = Usage(UsageSource.PROVIDER, input_tokens=MOST, cached_tokens=3)
    assert bounded(usage) is usage


@pytest.mark.parametrize(("count", "within"), [(-1, 0), (MOST + 1, MOST), (10**40, MOST)])
@pytest.mark.parametrize("unit", ["input_tokens", "reasoning_tokens", "characters"])
def test_an_impossible_count_is_brought_within_bounds_and_called_an_estimate(
    unit: str, count: int, within: int
) -> None:
    usage = Usage(UsageSource.PROVIDER, output_tokens=5)
    assert bounded(usage._replace(**{unit: count})) == usage._replace(
        source=UsageSource.ESTIMATED, **{unit: within}
    )
