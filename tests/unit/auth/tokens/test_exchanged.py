"""A key for which a token was traded stands for the same; no other string does."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.interfaces import RevocationKind
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.tokens.exchanged import LONGEST, PREFIX, ExchangedKeys
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.grant import Grant
from gateway.core.identity import Identity, Issuer
from gateway.core.principal import CredentialKind, Principal
from tests.support.clock import ManualClock
from tests.support.issuer import base64url
from tests.support.token_room import PEPPER, TokenRoom

NOW = int(ManualClock().now())
ALICE = Principal(
    subject="user:alice",
    team="search",
    key_id="jwt:acme",
    key_name="acme",
    kind=CredentialKind.JWT,
    groups=frozenset({"engineers", "Zürich"}),
    grant=Grant(endpoints=("chat.*",), models=("small", "large"), read_only=True, dollars_per_month=7),
    issuer="acme",
    issued_at=NOW - 100,
)


ACME = Issuer("acme", "https://issuer.example", ("openai-gateway",), exchange_seconds=60.0)


def keys(
    clock: ManualClock | None = None, pepper: bytes = PEPPER, issuers: Sequence[Issuer] = (ACME,)
) -> ExchangedKeys:
    return ExchangedKeys(
        pepper=pepper,
        identity=lambda: Identity(issuers={issuer.name: issuer for issuer in issuers}),
        clock=clock or ManualClock(),
        revocations=KnownRevocations(),
    )


GOOD = keys().seal(ALICE, NOW + 60)


def code(found: Principal | Deny) -> ErrorCode | None:
    return found.code if isinstance(found, Deny) else None


def test_it_stands_for_whom_the_token_stands_for() -> None:
    assert keys().opened(GOOD) == replace(ALICE, kind=CredentialKind.EXCHANGED_KEY)


def test_every_replica_knows_it() -> None:
    assert keys().opened(keys().seal(ALICE, NOW + 1)) == keys().opened(GOOD)


def test_it_looks_like_a_key() -> None:
    assert GOOD.startswith(PREFIX)
    assert set(GOOD.removeprefix(PREFIX)) <= set(base64url(bytes(range(256))) + "-_")


def test_an_expired_one_is_refused() -> None:
    clock = ManualClock()
    clock.advance(59)
    assert code(keys(clock).opened(GOOD)) is None
    clock.advance(1)
    assert code(keys(clock).opened(GOOD)) is ErrorCode.TOKEN_EXPIRED


def test_one_of_another_pepper_is_refused() -> None:
    assert code(keys(pepper=b"another").opened(GOOD)) is ErrorCode.INVALID_API_KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        PREFIX,
        GOOD.removeprefix(PREFIX),
        GOOD.upper(),
        f"{GOOD}=",
        f"{GOOD}A",
        f"{GOOD} ",
        f" {GOOD}",
        GOOD[:-1],
        f"{PREFIX}{base64url(bytes(31))}",
        f"{PREFIX}{base64url(bytes(32))}",
        f"{PREFIX}{'A' * 4000}",
        f"{PREFIX}ä",
        f"{PREFIX}\udcff",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    assert code(keys().opened(text)) is ErrorCode.INVALID_API_KEY


@given(st.integers(0, len(GOOD) - 1), st.characters(max_codepoint=255))
def test_no_character_can_be_another(place: int, other: str) -> None:
    changed = GOOD[:place] + other + GOOD[place + 1 :]
    assert (code(keys().opened(changed)) is None) == (changed == GOOD)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevocationKind.ALL, ""),
        (RevocationKind.ISSUER, "acme"),
        (RevocationKind.TEAM, "search"),
        (RevocationKind.USER, "user:alice"),
    ],
)
def test_what_takes_the_token_back_takes_the_key_back(
    room: TokenRoom, kind: RevocationKind, value: str
) -> None:
    room.identity = Identity(issuers={"acme": ACME})
    assert code(room.exchanged.opened(GOOD)) is None
    room.revoke(kind, value, until=ALICE.issued_at)
    assert code(room.exchanged.opened(GOOD)) is ErrorCode.INVALID_API_KEY


@pytest.mark.parametrize(
    "issuers", [(), (replace(ACME, name="other"),), (replace(ACME, exchange_seconds=None),)]
)
def test_it_is_good_for_as_long_as_its_issuers_tokens_are_traded(issuers: Sequence[Issuer]) -> None:
    assert code(keys(issuers=issuers).opened(GOOD)) is ErrorCode.INVALID_API_KEY


def test_one_that_would_be_too_long_is_not_made() -> None:
    many = replace(ALICE, groups=frozenset(f"group-{number:04}" for number in range(200)))
    with pytest.raises(ValueError, match="too many groups"):
        keys().seal(many, NOW + 60)


def test_the_longest_one_is_good() -> None:
    groups = frozenset(f"group-{number:04}" for number in range(100))
    key = keys().seal(replace(ALICE, groups=groups), NOW + 60)
    assert len(key) <= LONGEST
    assert code(keys().opened(key)) is None
