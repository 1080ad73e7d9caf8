"""A bar is for those who look at it."""

import pytest

from gateway.cli.advancing import advancing


def test_where_nobody_looks_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with advancing("Counting", 10) as told:
        told(4)
        told(6)
    assert capsys.readouterr() == ("", "")
