"""From when until when, as people write it."""

from datetime import UTC, datetime

import pytest

from gateway.metering.reports.ranges import DAY, Range, parse_moment, parse_range

NOW = datetime(2026, 11, 18, 15, 30, 20, tzinfo=UTC).timestamp()


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-10-01", at(2026, 10, 1)),
        (" 2026-10-01 ", at(2026, 10, 1)),
        ("2026-10", at(2026, 10, 1)),
        ("2024-02-29", at(2024, 2, 29)),
        ("1970-01-01", 0),
        ("9999-12-31", at(9999, 12, 31)),
        ("0d", at(2026, 11, 18)),
        ("1d", at(2026, 11, 17)),
        ("30d", at(2026, 10, 19)),
        ("12h", at(2026, 11, 18, 3, 30, 20)),
        ("0h", at(2026, 11, 18, 15, 30, 20)),
    ],
)
def test_a_moment_is_written_as_a_day_a_month_or_so_far_back(written: str, moment: int) -> None:
    assert parse_moment(written, now=NOW) == moment


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "yesterday", "30", "d", "-3d", "1.5d", "30m", "30 d", "٣d", "123456d", "26-10-01"),
        *("2026", "2026-1", "2026-10-1", "2026-10-01T00:00", "2026/10/01", "01.10.2026", "2026-10-01 "[::-1]),
        *(
            "2026-13",
            "2026-00",
            "2026-02-30",
            "2025-02-29",
            "2026-10-00",
            "0000-01-01",
            "1969-12-31",
            "99999d",
        ),
    ],
)
def test_what_is_no_time_is_refused_with_what_can_be_written(written: str) -> None:
    with pytest.raises(ValueError, match=r"Write a day \(2026-10-01\), a month \(2026-10\), or how far back"):
        parse_moment(written, now=NOW)


def test_a_refusal_repeats_no_controls_and_not_everything() -> None:
    with pytest.raises(ValueError, match="no time") as refused:
        parse_moment("\x1b[31m" + "x" * 1000, now=NOW)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_an_end_that_is_not_given_is_open() -> None:
    assert parse_range(None, None, now=NOW) == Range(None, None)


def test_october_is_from_its_month_until_the_next() -> None:
    october = parse_range("2026-10", "2026-11", now=NOW)
    assert (october.since, october.until) == (at(2026, 10, 1), at(2026, 11, 1))


@pytest.mark.parametrize(
    ("since", "until"), [("2026-10-01", "2026-10-01"), ("2026-10-02", "2026-10-01"), ("1d", "30d")]
)
def test_a_range_that_ends_before_it_begins_is_refused(since: str, until: str) -> None:
    with pytest.raises(ValueError, match=f"since `{since}` until `{until}`"):
        parse_range(since, until, now=NOW)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Range(at(2026, 10, 1), at(2026, 11, 1)), "from 2026-10-01 up to, and without, 2026-11-01 (UTC)"),
        (Range(at(2026, 10, 1, 7, 5), None), "from 2026-10-01 07:05 until now (UTC)"),
        (Range(None, at(2026, 10, 1)), "from the beginning up to, and without, 2026-10-01 (UTC)"),
    ],
)
def test_a_range_is_told_in_words(asked: Range, told: str) -> None:
    assert str(asked) == told


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        (Range(), True),
        (Range(0, DAY), True),
        (Range(DAY, None), True),
        (Range(None, DAY), True),
        (Range(1, DAY), False),
        (Range(0, DAY + 1), False),
    ],
)
def test_a_range_knows_whether_it_is_of_whole_days(asked: Range, days: bool) -> None:
    assert asked.days is days
