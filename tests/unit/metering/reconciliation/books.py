"""Books to begin with, and any books at all."""

from typing import Any

from hypothesis import strategies as st

from gateway.metering.reconciliation.amounts import Amounts, Counted, Lines, Place, Recorded
from gateway.metering.reconciliation.compare import Comparison

DAY = 20_775
"""2026-11-18."""
PLACE = Place(DAY, "openai", "gpt-4o")
AMOUNTS = Amounts(requests=10, input_tokens=1000, cached_tokens=200, output_tokens=100, cost=3250)


def more(**changes: int) -> Amounts:
    """The usual amounts, and so much more."""
    return AMOUNTS.plus(Amounts(**changes))


def comparison(
    counted: Amounts | None = AMOUNTS, recorded: Amounts | None = AMOUNTS, **changes: Any
) -> Comparison:
    values: dict[str, Any] = {
        "lines": None,
        "estimated": 0,
        "unpriced": 0,
        "place": PLACE,
        "tells_tokens": True,
    }
    values |= changes
    return Comparison(
        values["place"],
        None if counted is None else Counted(counted, values["tells_tokens"]),
        None if recorded is None else Recorded(recorded, values["estimated"], values["unpriced"]),
        values["lines"],
        values.get("into_next", Amounts()),
    )


counts = st.integers(0, 10_000)
amounts = st.builds(Amounts, st.integers(0, 50), counts, counts, counts, counts)
places = st.builds(
    Place,
    st.integers(DAY, DAY + 2),
    st.sampled_from(["openai", "other"]),
    st.sampled_from(["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "o3", ""]),
)
counted_books = st.dictionaries(places, st.builds(Counted, amounts, st.booleans()), max_size=8)
recorded_books = st.dictionaries(
    places, st.builds(Recorded, amounts, st.integers(0, 5), st.integers(0, 5)), max_size=8
)
line_books = st.dictionaries(
    places, st.builds(Lines, st.integers(0, 60), st.integers(0, 20), amounts, amounts), max_size=8
)
