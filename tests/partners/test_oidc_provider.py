"""An OpenID provider that we did not write (npm `oidc-provider`): its tokens, its keys, its absence.

The provider is real, and so is the way to it; the gateway's clock is the test's, so that half an hour takes
no time.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auth.tokens.compact import read_token
from gateway.auth.tokens.fetching import Fetcher, discovered
from gateway.auth.tokens.key_sets import FRESH, PAUSE
from gateway.auth.tokens.verifier import UNVERIFIED, Verified
from gateway.core.principal import CredentialKind, Principal
from tests.support.clock import ManualClock
from tests.support.issuer import new_key
from tests.support.oidc_provider import AUDIENCE, OidcProvider, running_provider
from tests.support.token_room import TokenRoom

MINUTE = 60


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[OidcProvider]:
    async with running_provider(tmp_path) as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())


@pytest.fixture
async def room(provider: OidcProvider, clock: ManualClock) -> AsyncIterator[TokenRoom]:
    opened = TokenRoom(provider.believed(), fetch=Fetcher().fetch, clock=clock)
    yield opened
    await opened.key_sets.stop()


def key_fetches(requests: list[str]) -> int:
    return requests.count("/jwks")


def forged(provider: OidcProvider, like: str) -> str:
    """A token that says what this one says, under a key of its own with a random id."""
    read = read_token(like)
    assert read is not None
    return new_key("ES256").sign({**read.header, "alg": "RS256", "kid": secrets.token_hex()}, read.claims)


async def test_a_client_comes_in_by_its_own_credentials(provider: OidcProvider, room: TokenRoom) -> None:
    found = await room.authenticator.authenticate(await provider.token())
    assert isinstance(found, Principal)
    assert (found.subject, found.team, found.kind) == ("user:ci", "search", CredentialKind.JWT)


async def test_its_discovery_document_is_its_own(provider: OidcProvider) -> None:
    found = await discovered(Fetcher().fetch, provider.believed())
    assert found["token_endpoint"] == f"{provider.url}/token"


async def test_tokens_for_another_audience_are_refused(provider: OidcProvider, room: TokenRoom) -> None:
    room.reread(audiences=("https://another.example",))
    found = await room.authenticator.authenticate(await provider.token())
    assert not isinstance(found, Principal)
    assert "`aud`" in found.reason
    assert AUDIENCE not in found.reason


async def test_a_new_key_is_picked_up_while_the_old_one_stays_good(
    provider: OidcProvider, room: TokenRoom, clock: ManualClock
) -> None:
    old = await provider.token()
    assert isinstance(await room.verifier.verified(old), Verified)
    assert len(await provider.rotate()) == 2
    new = await provider.token()
    clock.advance(PAUSE)
    assert isinstance(await room.authenticator.authenticate(new), Principal)
    assert isinstance(await room.authenticator.authenticate(old), Principal)
    first, second = read_token(old), read_token(new)
    assert first is not None
    assert second is not None
    assert first.header["kid"] != second.header["kid"]


async def test_an_outage_of_thirty_minutes_is_not_noticed(
    provider: OidcProvider, room: TokenRoom, clock: ManualClock
) -> None:
    token, unseen = await provider.token(), await provider.token()
    assert isinstance(await room.authenticator.authenticate(token), Principal)
    await provider.stop()
    for _ in range(30):
        clock.advance(MINUTE)
        await room.key_sets.refresh(room.identity.issuers.values())
        assert isinstance(await room.authenticator.authenticate(token), Principal)
    assert isinstance(await room.authenticator.authenticate(unseen), Principal)
    assert [name for name, sentence in room.changes if sentence] == ["provider"]


async def test_a_flood_of_random_key_ids_costs_one_fetch_in_thirty_seconds(
    provider: OidcProvider, room: TokenRoom, clock: ManualClock
) -> None:
    token = await provider.token()
    assert isinstance(await room.authenticator.authenticate(token), Principal)
    assert key_fetches(await provider.requests()) == 1
    for _ in range(3):
        clock.advance(PAUSE)
        flood = [room.authenticator.authenticate(forged(provider, token)) for _ in range(200)]
        assert set(await asyncio.gather(*flood)) == {UNVERIFIED}
        clock.advance(PAUSE - 1)
        flood = [room.authenticator.authenticate(forged(provider, token)) for _ in range(100)]
        assert set(await asyncio.gather(*flood)) == {UNVERIFIED}
        clock.advance(1)
        assert key_fetches(await provider.requests()) == 1
    assert isinstance(await room.authenticator.authenticate(token), Principal)


async def test_its_keys_are_fetched_every_ten_minutes(
    provider: OidcProvider, room: TokenRoom, clock: ManualClock
) -> None:
    issuers = room.identity.issuers.values()
    for _ in range(60):
        await room.key_sets.refresh(issuers)
        clock.advance(MINUTE)
    assert key_fetches(await provider.requests()) == 60 * MINUTE // (FRESH + MINUTE) + 1
