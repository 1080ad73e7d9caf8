"""What was taken back, in memory: whom it covers, and what a look costs."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.principal import CredentialKind, Principal

KIND = RevocationKind


def a_revocation(
    kind: RevocationKind = KIND.KEY, value: str = "k1", since: int = 0, until: int = 100, **more: Any
) -> Revocation:
    return Revocation(
        id=more.pop("id", f"rev_{kind}_{value}_{since}_{until}"),
        kind=kind,
        value=value,
        since=since,
        until=until,
        at=until * 1000,
        by="cli:root",
        **more,
    )


def a_principal(issued_at: int = 50, **changes: Any) -> Principal:
    of = {"subject": "user:alice", "team": "search", "key_id": "k1", "key_name": "web", "issuer": "entra"}
    return Principal(**{**of, **changes}, kind=CredentialKind.JWT, issued_at=issued_at)


def known(revocations: Iterable[Revocation]) -> KnownRevocations:
    them = KnownRevocations()
    them.replace(list(revocations))
    return them


def test_at_first_nothing_is_taken_back() -> None:
    assert KnownRevocations().covers(a_principal()) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (KIND.KEY, "k1"),
        (KIND.USER, "user:alice"),
        (KIND.TEAM, "search"),
        (KIND.ISSUER, "entra"),
        (KIND.ALL, ""),
    ],
)
def test_a_credential_is_covered_by_each_thing_that_it_belongs_to(kind: RevocationKind, value: str) -> None:
    revocation = a_revocation(kind, value)
    assert known([revocation]).covers(a_principal()) is revocation


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (KIND.KEY, "k2"),
        (KIND.KEY, "search"),
        (KIND.USER, "alice"),
        (KIND.USER, "user:Alice"),
        (KIND.TEAM, "entra"),
        (KIND.ISSUER, "search"),
        (KIND.ALL, "search"),
    ],
)
def test_what_belongs_to_others_covers_nothing(kind: RevocationKind, value: str) -> None:
    assert known([a_revocation(kind, value)]).covers(a_principal()) is None


@pytest.mark.parametrize(
    ("issued_at", "covered"), [(9, False), (10, True), (15, True), (20, True), (21, False)]
)
def test_both_ends_of_the_span_are_taken_back(issued_at: int, covered: bool) -> None:
    them = known([a_revocation(since=10, until=20)])
    assert (them.covers(a_principal(issued_at)) is not None) is covered


def test_a_credential_of_nobody_elses_issuing_is_not_of_an_issuer_without_a_name() -> None:
    assert known([a_revocation(KIND.ISSUER, "")]).covers(a_principal(issuer="")) is None


def test_several_spans_of_one_thing_all_count() -> None:
    them = known([a_revocation(since=0, until=10), a_revocation(since=30, until=40)])
    assert [them.covers(a_principal(at)) is not None for at in (5, 20, 35)] == [True, False, True]


def test_what_was_known_before_is_forgotten() -> None:
    them = known([a_revocation()])
    them.replace([])
    assert (them.covers(a_principal()), len(them)) == (None, 0)


def test_those_that_were_not_known_are_told() -> None:
    first, second, third = (a_revocation(value=name) for name in ("k1", "k2", "k3"))
    them = KnownRevocations()
    assert list(them.replace([first])) == [first]
    assert list(them.replace([first, second])) == [second]
    assert list(them.replace([first, second])) == []
    assert list(them.replace([third, first, second])) == [third]
    assert list(them.replace([second])) == []


@given(st.lists(st.integers(0, 5), max_size=4), st.lists(st.integers(0, 5), max_size=4))
def test_however_it_came_to_know_it_knows_the_same(before: list[int], after: list[int]) -> None:
    all_ = [a_revocation(value=f"k{number}", since=number) for number in range(6)]
    them = known(all_[number] for number in dict.fromkeys(before))
    now = [all_[number] for number in dict.fromkeys(after)]
    them.replace(now)
    for number in range(6):
        who = a_principal(50, key_id=f"k{number}")
        assert them.covers(who) == known(now).covers(who)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("kind", [KIND.KEY, KIND.TEAM])
def test_of_several_the_one_that_cuts_streams_is_told(kind: RevocationKind, order: int) -> None:
    value = {KIND.KEY: "k1", KIND.TEAM: "search"}[kind]
    cuts = a_revocation(kind, value, since=40, until=60, cut_streams=True)
    them = known([a_revocation(), a_revocation(KIND.ALL, ""), cuts][::order])
    assert them.covers(a_principal(50)) is cuts
    assert (them.covers(a_principal(10)) or cuts).cut_streams is False


SPANS = st.builds(
    a_revocation,
    kind=st.sampled_from(list(RevocationKind)),
    value=st.sampled_from(["k1", "user:alice", "search", "entra", ""]),
    since=st.integers(0, 8),
    until=st.integers(0, 8),
    cut_streams=st.booleans(),
)
WHOSE = {
    KIND.KEY: lambda who: who.key_id,
    KIND.USER: lambda who: who.subject,
    KIND.TEAM: lambda who: who.team,
    KIND.ISSUER: lambda who: who.issuer or None,
    KIND.ALL: lambda who: "",
}


@given(st.lists(SPANS, max_size=12), st.integers(0, 9), st.sampled_from(["entra", ""]))
def test_it_says_what_a_look_at_each_of_them_says(
    revocations: list[Revocation], issued_at: int, issuer: str
) -> None:
    who = a_principal(issued_at, issuer=issuer)
    covering = [
        each
        for each in revocations
        if WHOSE[each.kind](who) == each.value and each.since <= issued_at <= each.until
    ]
    found = known(revocations).covers(who)
    assert (found is not None) == bool(covering)
    if found is not None:
        assert found in covering
        assert found.cut_streams == any(each.cut_streams for each in covering)
