"""A token is checked once, and remembered while it is good: but never beyond what takes it back."""

import asyncio

import pytest

from gateway.auth.interfaces import RevocationKind
from gateway.auth.tokens.authenticator import BAD_FOR, REVOKED, TokenAuthenticator
from gateway.auth.tokens.key_sets import FRESH, PAUSE
from gateway.auth.tokens.verifier import UNVERIFIED
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import TeamRule
from gateway.core.principal import Principal
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.issuer import LIFE, SigningIssuer
from tests.support.token_room import Publications, TokenRoom


@pytest.fixture
def authenticator(room: TokenRoom) -> TokenAuthenticator:
    return room.authenticator


async def test_a_good_token_is_its_holder(authenticator: TokenAuthenticator, issuer: SigningIssuer) -> None:
    found = await authenticator.authenticate(issuer.token(sub="bob", team="web"))
    assert isinstance(found, Principal)
    assert (found.subject, found.team, found.issuer) == ("user:bob", "web", "acme")


async def test_a_good_token_is_remembered(authenticator: TokenAuthenticator, issuer: SigningIssuer) -> None:
    token = issuer.token()
    first = await authenticator.authenticate(token)
    assert await authenticator.authenticate(token) is first


async def test_another_token_of_the_same_holder_is_checked_by_itself(
    authenticator: TokenAuthenticator, issuer: SigningIssuer
) -> None:
    token = issuer.token()
    await authenticator.authenticate(token)
    end = "A" if token[-6] != "A" else "B"
    assert await authenticator.authenticate(token[:-6] + end + token[-5:]) == UNVERIFIED


async def test_it_ends_with_its_leeway_though_it_is_remembered(
    authenticator: TokenAuthenticator, issuer: SigningIssuer, clock: ManualClock
) -> None:
    token = issuer.token()
    await authenticator.authenticate(token)
    clock.advance(LIFE + 29)
    assert isinstance(await authenticator.authenticate(token), Principal)
    clock.advance(1)
    found = await authenticator.authenticate(token)
    assert isinstance(found, Deny)
    assert found.code is ErrorCode.TOKEN_EXPIRED


@pytest.mark.parametrize("token", ["", "x", "ä.ä.ä", "\udcff.\udcff.\udcff", "a" * 16_385, "gwk_a"])
async def test_what_is_no_token_is_refused(authenticator: TokenAuthenticator, token: str) -> None:
    assert await authenticator.authenticate(token) == UNVERIFIED


async def test_a_bad_token_is_not_checked_again_for_five_seconds(
    authenticator: TokenAuthenticator, issuer: SigningIssuer, clock: ManualClock
) -> None:
    token = issuer.token(nbf=int(clock.now()) + 31)
    first = await authenticator.authenticate(token)
    clock.advance(BAD_FOR - 1)
    assert await authenticator.authenticate(token) is first
    clock.advance(1)
    assert isinstance(await authenticator.authenticate(token), Principal)


async def test_who_maps_to_no_team_is_refused(
    authenticator: TokenAuthenticator, issuer: SigningIssuer
) -> None:
    found = await authenticator.authenticate(issuer.token(team=None))
    assert isinstance(found, Deny)
    assert found.code is ErrorCode.PERMISSION_DENIED


class TestRevocation:
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (RevocationKind.ALL, ""),
            (RevocationKind.ISSUER, "acme"),
            (RevocationKind.TEAM, "search"),
            (RevocationKind.USER, "user:alice"),
            (RevocationKind.KEY, "jwt:acme"),
        ],
    )
    async def test_what_is_taken_back_is_refused_from_then_on(
        self, room: TokenRoom, issuer: SigningIssuer, kind: RevocationKind, value: str
    ) -> None:
        token = issuer.token()
        assert isinstance(await room.authenticator.authenticate(token), Principal)
        room.revoke(kind, value)
        assert await room.authenticator.authenticate(token) == REVOKED

    async def test_what_is_issued_later_is_good_again(
        self, room: TokenRoom, issuer: SigningIssuer, clock: ManualClock
    ) -> None:
        room.revoke(RevocationKind.USER, "user:alice")
        clock.advance(1)
        assert isinstance(await room.authenticator.authenticate(issuer.token()), Principal)

    async def test_it_is_not_remembered_by_a_check_that_was_under_way(
        self, room: TokenRoom, issuer: SigningIssuer, published: Publications
    ) -> None:
        token = issuer.token()
        published.hold.clear()
        check = asyncio.ensure_future(room.authenticator.authenticate(token))
        await eventually(lambda: published.asked)
        room.revoke(RevocationKind.USER, "user:alice")
        published.hold.set()
        assert await check == REVOKED
        assert await room.authenticator.authenticate(token) == REVOKED


class TestNewRules:
    async def test_a_new_identity_yaml_decides_anew(self, room: TokenRoom, issuer: SigningIssuer) -> None:
        token = issuer.token()
        await room.authenticator.authenticate(token)
        room.reread(teams=(TeamRule(("sub",), team="everybody"),))
        found = await room.authenticator.authenticate(token)
        assert isinstance(found, Principal)
        assert found.team == "everybody"

    async def test_a_refusal_by_old_rules_is_forgotten(self, room: TokenRoom, issuer: SigningIssuer) -> None:
        token = issuer.token(team=None)
        assert isinstance(await room.authenticator.authenticate(token), Deny)
        room.reread(teams=(TeamRule(("sub",), team="everybody"),))
        assert isinstance(await room.authenticator.authenticate(token), Principal)

    async def test_a_check_that_was_under_way_is_not_remembered(
        self, room: TokenRoom, issuer: SigningIssuer, published: Publications
    ) -> None:
        token = issuer.token()
        published.hold.clear()
        check = asyncio.ensure_future(room.authenticator.authenticate(token))
        await eventually(lambda: published.asked)
        room.reread(teams=(TeamRule(("sub",), team="everybody"),))
        published.hold.set()
        await check
        found = await room.authenticator.authenticate(token)
        assert isinstance(found, Principal)
        assert found.team == "everybody"

    async def test_nor_is_it_when_others_came_meanwhile(
        self, room: TokenRoom, issuer: SigningIssuer, published: Publications
    ) -> None:
        token = issuer.token()
        published.hold.clear()
        check = asyncio.ensure_future(room.authenticator.authenticate(token))
        await eventually(lambda: published.asked)
        room.reread(teams=(TeamRule(("sub",), team="everybody"),))
        await room.authenticator.authenticate("another")
        published.hold.set()
        await check
        found = await room.authenticator.authenticate(token)
        assert isinstance(found, Principal)
        assert found.team == "everybody"

    async def test_an_issuer_that_is_believed_no_more_is_refused(
        self, room: TokenRoom, issuer: SigningIssuer
    ) -> None:
        token = issuer.token()
        await room.authenticator.authenticate(token)
        room.reread(url="https://another.example")
        assert await room.authenticator.authenticate(token) == UNVERIFIED


async def test_a_key_that_its_issuer_withdraws_takes_its_tokens_with_it(
    room: TokenRoom, issuer: SigningIssuer, clock: ManualClock
) -> None:
    token = issuer.token(exp=int(clock.now()) + 10_000)
    assert isinstance(await room.authenticator.authenticate(token), Principal)
    issuer.rotate(keep=False)
    clock.advance(FRESH + PAUSE)
    await room.key_sets.refresh(room.identity.issuers.values())
    assert await room.authenticator.authenticate(token) == UNVERIFIED


async def test_a_new_key_leaves_tokens_of_the_old_one_remembered(
    room: TokenRoom, issuer: SigningIssuer, clock: ManualClock
) -> None:
    token = issuer.token(exp=int(clock.now()) + 10_000)
    first = await room.authenticator.authenticate(token)
    issuer.rotate()
    clock.advance(FRESH + PAUSE)
    await room.key_sets.refresh(room.identity.issuers.values())
    assert await room.authenticator.authenticate(token) is first


async def test_so_many_tokens_are_remembered_at_most(
    room: TokenRoom, issuer: SigningIssuer, clock: ManualClock
) -> None:
    authenticator = TokenAuthenticator(
        identity=lambda: room.identity,
        verifier=room.verifier,
        revocations=room.revocations,
        clock=clock,
        capacity=2,
    )
    tokens = [issuer.token(sub=f"user{number}") for number in range(3)]
    first = [await authenticator.authenticate(token) for token in tokens]
    again = [await authenticator.authenticate(token) for token in reversed(tokens)]
    assert [a is b for a, b in zip(reversed(first), again, strict=True)] == [True, True, False]
