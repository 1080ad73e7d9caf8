"""Lines of the audit trail as people read them."""

from typing import Any

import pytest
from rich.console import Console

from gateway.audit.reading import Line
from gateway.cli.audit_table import audit_table

AT = 1_795_206_227


def printed(width: int = 200, **changes: Any) -> str:
    known = {
        "actor": "cli:root",
        "action": "key.created",
        "target": "key:k7",
        "team": "search",
        "details": {},
    }
    line = Line(**{"number": 7, "at": AT * 1000, "hash": "9f3c", **known, **changes})
    console = Console(width=width, force_terminal=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(audit_table([line]))
    return captured.get()


def test_a_line_says_when_who_and_what() -> None:
    heading, line = printed().splitlines()
    assert heading.split() == ["line", "when", "(UTC)", "who", "what", "to", "what", "team"]
    assert line.split() == ["7", "2026-11-20", "20:23:47", "cli:root", "key.created", "key:k7", "search"]


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"code": "not_found", "rule": "", "times": 3, "replica": "replica_1"}, "code not_found, times 3"),
        (
            {"before": {"revoked_at": None}, "after": {"revoked_at": AT}, "name": "web", "reason": "gone"},
            None,
        ),
        ({"after": {"name": "web", "grant": {"endpoints": ["*"], "models": ["a", "b"]}}}, "web, models a b"),
        ({"after": {"grant": {"dollars_per_month": 12_500_000}}}, "dollars_per_month 12.500000 USD"),
        ({"since": 0, "until": AT, "cut_streams": True}, "until 2026-11-20 20:23:47 UTC, cut_streams true"),
    ],
    ids=str,
)
def test_details_are_said_in_words(details: dict[str, Any], said: str | None) -> None:
    changed = "web, revoked_at none → 2026-11-20 20:23:47 UTC, reason gone"
    assert (said or changed) in printed(details=details)


def test_nothing_is_cut_in_a_narrow_terminal() -> None:
    told = printed(60, target="key:a1B2c3D4e5F6", details={"reason": "found in a public repository"})
    assert "2026-11-20 20:23:47" in told
    assert "key:a1B2c3D4e5F6" in told
    assert "…" not in told


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    told = printed(target="user:\x1b[31m[bold]", details={"reason": "\x07[/]"})
    assert not set("\x1b\x07") & set(told)
    assert "[bold]" in told
    assert "[/]" in told
