"""Months, as they are written and as the calendar has them."""

import pytest

from gateway.metering.reports.month import Month


@pytest.mark.parametrize("written", ["2026-10", " 2026-10 "])
def test_a_month_is_written_as_a_year_and_a_number(written: str) -> None:
    assert Month.written(written) == Month(2026, 10)


@pytest.mark.parametrize(
    "written",
    ["", "october", "2026", "2026-13", "2026-00", "2026-1", "2026-10-01", "1969-12", "9999-01", "\x1b"],
)
def test_what_is_no_month_is_told(written: str) -> None:
    with pytest.raises(ValueError, match=r"is no month\. Write it as 2026-10\.") as told:
        Month.written(written)
    assert str(told.value).isprintable()


def test_it_is_spelled_as_it_is_written() -> None:
    assert str(Month(2026, 3)) == "2026-03"


def test_after_december_comes_january() -> None:
    assert Month(2026, 12).next == Month(2027, 1)


def test_it_lasts_from_midnight_to_midnight() -> None:
    february = Month(2024, 2)
    assert (february.until - february.since) // 86_400_000 == 29
    assert Month.of(february.since) == Month.of(february.until - 1) == february
    assert Month.of(february.until) == Month(2024, 3)


def test_its_days_are_counted_from_1970() -> None:
    assert (Month(1970, 1).first_day, Month(1970, 1).end_day) == (0, 31)
