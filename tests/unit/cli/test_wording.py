"""Money, moments and numbers, as people read them."""

import pytest

from gateway.cli.wording import dollars, many, spelled


@pytest.mark.parametrize(
    ("amount", "sign", "said"),
    [
        (0, False, "0.000000"),
        (1, False, "0.000001"),
        (1_234_567_890, False, "1,234.567890"),
        (-40, False, "-0.000040"),
        (40, True, "+0.000040"),
        (-40, True, "-0.000040"),
        (0, True, "0.000000"),
    ],
)
def test_dollars_are_exact(amount: int, sign: bool, said: str) -> None:
    assert dollars(amount, sign=sign) == said


def test_a_moment_is_in_utc() -> None:
    assert spelled(1_795_003_200_000) == "2026-11-18 12:00 UTC"


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 rows"), (1, "1 row"), (-1, "-1 row"), (2000, "2,000 rows")]
)
def test_one_is_not_many(number: int, said: str) -> None:
    assert many(number, "row") == said
