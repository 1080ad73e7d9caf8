"""The options --since and --until."""

import time
from datetime import UTC, datetime

import pytest
import typer

from gateway.cli.ranges import asked_range

OCTOBER = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp() * 1000)


def test_a_range_is_what_the_options_say() -> None:
    asked = asked_range("2026-10", "2026-10-02")
    assert (asked.since, asked.until) == (OCTOBER, OCTOBER + 86_400_000)


def test_what_is_not_said_is_as_the_command_means_it() -> None:
    asked = asked_range(None, None, default="12h")
    assert asked.since is not None
    assert abs(time.time() * 1000 - 12 * 3_600_000 - asked.since) < 60_000


def test_what_is_not_said_has_no_end() -> None:
    asked = asked_range(None, None)
    assert (asked.since, asked.until) == (None, None)


@pytest.mark.parametrize(("since", "until"), [("soon", None), (None, "soon"), ("2026-10", "2026-09")])
def test_what_is_no_time_is_a_wrong_use_of_the_command(since: str | None, until: str | None) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        asked_range(since, until)
    assert refused.value.exit_code == 2
