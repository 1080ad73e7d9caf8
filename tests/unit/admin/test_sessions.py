"""What the console's browser keeps: it opens for us alone, unchanged, and in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.sessions import Seal, Sessions, TooLong
from gateway.core.actor import Actor, Role
from gateway.core.principal import CredentialKind, Principal
from tests.support.clock import ManualClock

KEY = b"a key for the sessions of tests."
HOLDER = Principal(
    subject="user:alice",
    team="",
    key_id="jwt:entra",
    key_name="entra",
    kind=CredentialKind.JWT,
    issuer="entra",
    issued_at=1_000,
)
ALICE = Actor("entra:alice", Role.TEAM_ADMIN, frozenset({"search", "ads"}), HOLDER)
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


def sessions_of(clock: ManualClock, key: bytes = KEY) -> Sessions:
    return Sessions(key, clock, holds=lambda _: True)


def sealed(clock: ManualClock, actor: Actor = ALICE, seconds: float = 60) -> str:
    return sessions_of(clock).seal(actor, clock.now() + seconds)


def test_a_session_is_opened_by_every_replica_that_has_the_key() -> None:
    clock = ManualClock()

    assert sessions_of(clock).opened(sealed(clock)) == ALICE


@given(name=TEXTS, role=st.sampled_from(Role), teams=st.frozensets(TEXTS, max_size=5))
def test_whoever_was_sealed_is_who_is_opened(name: str, role: Role, teams: frozenset[str]) -> None:
    clock, actor = ManualClock(), Actor(name, role, teams)

    assert sessions_of(clock).opened(sealed(clock, actor)) == actor


def test_a_session_ends_at_its_second() -> None:
    clock = ManualClock()
    cookie = sealed(clock, seconds=60)

    clock.advance(59.5)
    assert sessions_of(clock).opened(cookie) == ALICE
    clock.advance(0.5)
    assert sessions_of(clock).opened(cookie) is None


def test_a_session_ends_when_what_it_was_begun_with_holds_no_longer() -> None:
    clock, asked = ManualClock(), list[Actor]()

    def holds(actor: Actor) -> bool:
        asked.append(actor)
        return False

    assert Sessions(KEY, clock, holds=holds).opened(sealed(clock)) is None
    assert asked == [ALICE]


def test_a_session_of_another_key_is_nobodys() -> None:
    clock = ManualClock()

    assert sessions_of(clock, b"another key for the same sessions").opened(sealed(clock)) is None


def test_no_change_of_one_character_is_let_pass() -> None:
    clock = ManualClock()
    sessions, cookie = sessions_of(clock), sealed(clock)

    changed = [
        cookie[:at] + other + cookie[at + 1 :]
        for at in range(len(cookie))
        for other in "AB_.=\x00é"
        if cookie[at] != other
    ]
    assert [each for each in changed if sessions.opened(each) is not None] == []


def test_no_other_spelling_of_the_same_bytes_is_let_pass() -> None:
    clock = ManualClock()
    sessions, cookie = sessions_of(clock), sealed(clock)

    respelled = [
        cookie[:at] + more + cookie[at:] for at in range(len(cookie) + 1) for more in ("!", "!!!!", "\n", "=")
    ]
    assert [each for each in respelled if sessions.opened(each) is not None] == []


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é.é", "=.=", "W10.", "x" * 100_000, "a." * 50_000])
def test_what_was_never_sealed_is_nobodys(cookie: str) -> None:
    assert sessions_of(ManualClock()).opened(cookie) is None


@given(TEXTS)
def test_no_text_at_all_makes_it_fail(cookie: str) -> None:
    assert sessions_of(ManualClock()).opened(cookie) is None


def test_what_was_sealed_for_another_purpose_does_not_open() -> None:
    content = b'["token:ops","operator",[],1e18]'

    assert Seal(KEY, "sign-in.v1").opened(Seal(KEY, "session.v1").seal(content)) is None
    assert sessions_of(ManualClock()).opened(Seal(KEY, "sign-in.v1").seal(content)) is None


def test_more_teams_than_a_cookie_holds_are_refused() -> None:
    crowd = Actor("a", Role.TEAM_ADMIN, frozenset(f"team-{number:060}" for number in range(50)))

    with pytest.raises(TooLong):
        sealed(ManualClock(), crowd)


def test_a_derived_secret_is_another_for_each_name_and_content() -> None:
    seal = Seal(KEY, "sign-in.v1")
    derived = {seal.derived(content, name) for content in (b"a", b"b") for name in ("state", "nonce")}

    assert len(derived) == 4
    assert {len(each) for each in derived} == {43}
