"""Taking credentials back: what is refused, with the field named, and what is on record."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.auth.interfaces import KeyRefused, Revocation, RevocationKind
from gateway.auth.revocation.desk import LONGEST, MOST_AHEAD, RevocationDesk
from gateway.core.actor import Act, Actor, Role
from tests.support.clock import ManualClock

OPS = Actor("token:ops", Role.OPERATOR)
NOW = 1_795_000_000
A_KEY = "gwk_AbCdEfGhIjKl_0123456789012345678901234567890123456789012345678"


class Store:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.added: list[tuple[Revocation, Act]] = []

    async def add(self, revocation: Revocation, act: Act) -> None:
        self.added.append((revocation, act))

    async def list(self) -> Sequence[Revocation]:
        return [revocation for revocation, _ in self.added]


class Desk:
    def __init__(self) -> None:
        self.store = Store()
        self.stored_when_told: list[int] = []
        self.teams = {"search", "legal"}
        self.issuers = {"entra"}
        self.desk = RevocationDesk(
            store=self.store,
            clock=ManualClock(NOW + 0.75),
            teams=lambda: self.teams,
            issuers=lambda: self.issuers,
            changed=self.changed,
        )

    async def changed(self) -> None:
        self.stored_when_told.append(len(self.store.added))

    async def revoke(self, kind: str, value: str = "", **more: Any) -> Revocation:
        return await self.desk.revoke(kind, value, by=OPS, **more)


@pytest.mark.parametrize(
    ("kind", "asked", "value", "target", "team"),
    [
        ("team", "search", "search", "team:search", "search"),
        ("issuer", "entra", "entra", "issuer:entra", ""),
        ("all", "", "", "all", ""),
        ("user", "user:alice", "user:alice", "user:alice", ""),
        ("user", "service:ci", "service:ci", "service:ci", ""),
        ("user", "alice", "user:alice", "user:alice", ""),
        ("user", " alice ", "user:alice", "user:alice", ""),
        ("user", "user:alice ", "user:alice", "user:alice", ""),
        ("user", "alice@example.com", "user:alice@example.com", "user:alice@example.com", ""),
        ("user", "system:serviceaccount:a:b", *["user:system:serviceaccount:a:b"] * 2, ""),
    ],
)
async def test_what_is_taken_back_is_on_record(
    kind: str, asked: str, value: str, target: str, team: str
) -> None:
    desk = Desk()
    revocation = await desk.revoke(kind, asked, reason="a lost laptop", cut_streams=True)
    ((stored, act),) = desk.store.added
    assert stored == revocation
    assert (stored.kind, stored.value) == (RevocationKind(kind), value)
    assert (act.actor, act.action, act.target, act.team) == ("token:ops", "revoked", target, team)
    assert act.details == {
        "revocation": stored.id,
        "since": 0,
        "until": NOW,
        "reason": "a lost laptop",
        "cut_streams": True,
    }


async def test_without_a_span_it_is_everything_until_this_very_second() -> None:
    revocation = await Desk().revoke("all")
    assert (revocation.since, revocation.until, revocation.at) == (0, NOW, NOW * 1000 + 750)
    assert revocation.id.startswith("rev_")


async def test_a_span_is_taken_as_it_is() -> None:
    revocation = await Desk().revoke("all", since=NOW - 100, until=NOW - 50)
    assert (revocation.since, revocation.until) == (NOW - 100, NOW - 50)


async def test_others_are_told_when_it_is_stored_already() -> None:
    desk = Desk()
    await desk.revoke("all")
    assert desk.stored_when_told == [1]


async def test_what_was_taken_back_is_listed() -> None:
    desk = Desk()
    first, second = await desk.revoke("all"), await desk.revoke("team", "search")
    assert await desk.desk.list() == [first, second]


@pytest.mark.parametrize(
    ("field", "asked", "words"),
    [
        ("kind", {"kind": "teams"}, "`team`"),
        ("kind", {"kind": ""}, "`team`"),
        ("kind", {"kind": "key", "value": "k1"}, "gateway keys revoke"),
        ("value", {"kind": "team", "value": "serach"}, "Did you mean `search`?"),
        ("value", {"kind": "team", "value": "xyz"}, "There are: `legal`, `search`."),
        ("value", {"kind": "team", "value": ""}, "no team ``"),
        ("value", {"kind": "issuer", "value": "entre"}, "Did you mean `entra`?"),
        ("value", {"kind": "user", "value": ""}, "which user"),
        ("value", {"kind": "user", "value": "user:"}, "which user"),
        ("value", {"kind": "user", "value": "service: "}, "which user"),
        ("value", {"kind": "user", "value": "key:search/web"}, "revoked by its id"),
        ("value", {"kind": "user", "value": "a\nb"}, "one line"),
        ("value", {"kind": "user", "value": "x" * (LONGEST + 1)}, "200 characters"),
        ("value", {"kind": "user", "value": A_KEY}, "key or a token"),
        ("value", {"kind": "all", "value": "search"}, "without saying what"),
        ("since", {"kind": "all", "since": NOW + 1}, "in the future"),
        ("since", {"kind": "all", "since": -1}, "1970"),
        ("until", {"kind": "all", "since": 20, "until": 10}, "before `since`"),
        ("until", {"kind": "all", "until": NOW + MOST_AHEAD + 1}, "30 days ahead"),
        ("until", {"kind": "all", "until": NOW * 1000}, "30 days ahead"),
        ("reason", {"kind": "all", "reason": f"leaked: {A_KEY}"}, "key or a token"),
        ("reason", {"kind": "all", "reason": "eyJhbGciOiJSUzI1NiJ9.eyJ"}, "key or a token"),
        ("reason", {"kind": "all", "reason": "x" * (LONGEST + 1)}, "200 characters"),
        ("reason", {"kind": "all", "reason": "\x1b[31m"}, "one line"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field(
    field: str, asked: dict[str, Any], words: str
) -> None:
    desk = Desk()
    with pytest.raises(KeyRefused) as refused:
        await desk.revoke(**asked)
    assert refused.value.field == field
    assert words in str(refused.value)
    assert A_KEY not in str(refused.value)
    assert (desk.store.added, desk.stored_when_told) == ([], [])


async def test_where_there_is_no_issuer_none_is_guessed() -> None:
    desk = Desk()
    desk.issuers = set()
    with pytest.raises(KeyRefused, match="no issuer in the policy files"):
        await desk.revoke("issuer", "entra")


async def test_a_span_may_end_within_the_next_days() -> None:
    revocation = await Desk().revoke("issuer", "entra", until=NOW + MOST_AHEAD)
    assert revocation.until == NOW + MOST_AHEAD
