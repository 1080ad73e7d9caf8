"""Our own counts, and what is done about impossible ones."""

from typing import Any

import pytest

from gateway.core.endpoint import Meter
from gateway.core.usage import Doubt, Usage, UsageSource
from gateway.metering.usage import MOST, bounded, doubt, estimate

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


def judged(meter: Meter = Meter.TOKENS, *, none: bool = False, **facts: Any) -> Doubt | None:
    """What is doubtful about a count: of a whole answer to some text, unless something else is said."""
    units = {name: facts.pop(name) for name in Usage._fields if name in facts}
    seen = {"whole": True, "asked": True, "answered": True, "most_input": None, "most_output": None, **facts}
    return doubt(None if none else Usage(UsageSource.PROVIDER, **units), meter=meter, **seen)


@pytest.mark.parametrize(
    "facts",
    [
        {"input_tokens": 9, "output_tokens": 3},
        {"input_tokens": 9, "answered": False},
        {"output_tokens": 3, "asked": False},
        {"input_tokens": 9, "output_tokens": 3, "most_input": 9, "most_output": 3},
        {"input_tokens": 9, "output_tokens": 264, "most_output": 100},
        {"none": True, "whole": False},
        {"none": True, "meter": Meter.AUDIO},
        {"none": True, "meter": Meter.CHARACTERS},
        {"none": True, "meter": Meter.FREE},
        {"meter": Meter.FREE},
        {"meter": Meter.IMAGES, "images": 1},
        {"meter": Meter.AUDIO, "audio_milliseconds": 1},
    ],
    ids=repr,
)
def test_what_can_be_is_believed(facts: dict[str, Any]) -> None:
    assert judged(**facts) is None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"none": True}, Doubt.ABSENT),
        ({}, Doubt.ZERO),
        ({"input_tokens": 9}, Doubt.ZERO),
        ({"output_tokens": 3}, Doubt.ZERO),
        ({"asked": False, "answered": False}, Doubt.ZERO),
        ({"meter": Meter.IMAGES}, Doubt.ZERO),
        ({"meter": Meter.AUDIO}, Doubt.ZERO),
        ({"input_tokens": 10, "output_tokens": 3, "most_input": 9}, Doubt.ABSURD),
        ({"input_tokens": 9, "output_tokens": 265, "most_output": 100}, Doubt.ABSURD),
        ({"input_tokens": 9, "output_tokens": 65, "most_output": 0}, Doubt.ABSURD),
    ],
    ids=repr,
)
def test_what_cannot_be_is_a_doubt(facts: dict[str, Any], expected: Doubt) -> None:
    assert judged(**facts) is expected
