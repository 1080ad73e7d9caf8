"""Issuers' keys: asked for seldom, waited for by few, good for a day."""

import asyncio
import secrets
from dataclasses import replace

import pytest

from gateway.auth.tokens.key_sets import FRESH, LIFE, PAUSE, KeySets
from gateway.core.identity import Issuer
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.issuer import SigningIssuer
from tests.support.token_room import Publications, TokenRoom


@pytest.fixture
def key_sets(room: TokenRoom) -> KeySets:
    return room.key_sets


@pytest.fixture
def believed(issuer: SigningIssuer) -> Issuer:
    return issuer.believed()


async def settled(key_sets: KeySets) -> None:
    """Until no fetch is under way."""
    await asyncio.gather(*key_sets._flights)


async def test_a_key_is_fetched_when_it_is_first_needed(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    assert published.asked == []
    key = await key_sets.key(believed, issuer.key.id, "ES256")
    assert key is not None
    assert key.id == issuer.key.id
    assert published.asked == [f"{issuer.url}/.well-known/openid-configuration", f"{issuer.url}/keys"]


async def test_a_known_key_is_not_fetched_again(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    for _ in range(3):
        assert await key_sets.key(believed, issuer.key.id, "ES256")
    assert published.fetches == 1


async def test_where_the_keys_are_may_be_told_by_identity_yaml(
    key_sets: KeySets, issuer: SigningIssuer, published: Publications
) -> None:
    believed = issuer.believed(jwks_url="https://keys.example/keys")
    assert await key_sets.key(believed, issuer.key.id, "ES256")
    assert published.asked == ["https://keys.example/keys"]


async def test_an_issuers_url_may_end_with_a_slash(clock: ManualClock) -> None:
    issuer = SigningIssuer("https://issuer.example/", clock=clock)
    published = Publications(issuer)
    room = TokenRoom(issuer.believed(), fetch=published.fetch, clock=clock)
    assert await room.key_sets.key(issuer.believed(), issuer.key.id, "ES256")
    assert published.asked[0] == "https://issuer.example/.well-known/openid-configuration"


async def test_all_who_come_at_once_share_one_fetch(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    found = await asyncio.gather(*[key_sets.key(believed, issuer.key.id, "ES256") for _ in range(50)])
    assert None not in found
    assert published.fetches == 1


async def test_who_leaves_does_not_end_the_fetch_of_the_others(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    published.hold.clear()
    first, second = [asyncio.ensure_future(key_sets.key(believed, issuer.key.id, "ES256")) for _ in range(2)]
    await eventually(lambda: published.asked)
    first.cancel()
    await asyncio.wait([first])
    published.hold.set()
    assert await second
    assert published.fetches == 1


async def test_a_fetch_that_is_under_way_is_shared_however_long_it_takes(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    published.hold.clear()
    callers = [asyncio.ensure_future(key_sets.key(believed, issuer.key.id, "ES256"))]
    await eventually(lambda: published.asked)
    clock.advance(PAUSE)
    callers.append(asyncio.ensure_future(key_sets.key(believed, issuer.key.id, "ES256")))
    await asyncio.sleep(0)
    published.hold.set()
    assert None not in await asyncio.gather(*callers)
    assert published.fetches == 1


async def test_a_new_key_is_fetched_when_a_token_names_it(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, clock: ManualClock
) -> None:
    old = issuer.key.id
    await key_sets.key(believed, old, "ES256")
    issuer.rotate()
    clock.advance(PAUSE)
    assert await key_sets.key(believed, issuer.key.id, "ES256")
    assert await key_sets.key(believed, old, "ES256")


async def test_a_flood_of_random_ids_costs_one_fetch_in_thirty_seconds(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    await key_sets.key(believed, issuer.key.id, "ES256")
    for _ in range(4):
        before = published.fetches
        clock.advance(PAUSE - 1)
        for _ in range(100):
            assert await key_sets.key(believed, secrets.token_hex(), "ES256") is None
        assert published.fetches == before
        clock.advance(1)
        flood = [key_sets.key(believed, secrets.token_hex(), "ES256") for _ in range(100)]
        assert set(await asyncio.gather(*flood)) == {None}
        assert published.fetches == before + 1


async def test_old_keys_are_fetched_anew_while_they_go_on_being_used(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    old = issuer.key.id
    await key_sets.key(believed, old, "ES256")
    issuer.rotate(keep=False)
    clock.advance(FRESH + 1)
    published.hold.clear()
    assert await key_sets.key(believed, old, "ES256")  # it did not wait: nothing was answered yet
    published.hold.set()
    await settled(key_sets)
    assert await key_sets.key(believed, old, "ES256") is None
    assert key_sets.withdrawals == 1


async def test_keys_stay_good_for_a_day_while_the_issuer_is_away(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    await key_sets.key(believed, issuer.key.id, "ES256")
    published.away = True
    clock.advance(LIFE - 1)
    assert await key_sets.key(believed, issuer.key.id, "ES256")
    await settled(key_sets)
    clock.advance(1)
    assert await key_sets.key(believed, issuer.key.id, "ES256") is None


async def test_an_issuer_that_is_away_is_asked_every_thirty_seconds(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    published.away = True
    for _ in range(60):
        assert await key_sets.key(believed, issuer.key.id, "ES256") is None
        clock.advance(PAUSE / 2)
    assert len(published.asked) == 30


async def test_that_an_issuer_is_away_is_told_once_each_way(
    room: TokenRoom, believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    await room.key_sets.key(believed, issuer.key.id, "ES256")
    assert room.changes == []
    published.away = True
    for _ in range(3):
        clock.advance(FRESH + 1)
        await room.key_sets.refresh([believed])
    assert room.changes == [("acme", "it answered with status 503")]
    published.away = False
    for _ in range(3):
        clock.advance(FRESH + 1)
        await room.key_sets.refresh([believed])
    assert room.changes == [("acme", "it answered with status 503"), ("acme", None)]


async def test_an_issuer_that_publishes_nonsense_is_as_good_as_away(
    room: TokenRoom, believed: Issuer, issuer: SigningIssuer, clock: ManualClock
) -> None:
    await room.key_sets.key(believed, issuer.key.id, "ES256")
    good, issuer.keys = issuer.keys, []
    clock.advance(FRESH + 1)
    await room.key_sets.refresh([believed])
    assert room.changes == [("acme", "none of its keys can be used")]
    assert await room.key_sets.key(believed, good[0].id, "ES256")


async def test_a_fetch_takes_so_long_at_most(
    believed: Issuer, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    changes: list[str | None] = []
    key_sets = KeySets(
        clock=clock, fetch=published.fetch, on_change=lambda _, change: changes.append(change), deadline=0.01
    )
    published.hold.clear()
    assert await key_sets.key(believed, issuer.key.id, "ES256") is None
    assert changes == ["it did not answer in time"]


async def test_all_issuers_are_fetched_before_anybody_comes(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    await key_sets.refresh([believed])
    await key_sets.refresh([believed])
    assert published.fetches == 1
    assert await key_sets.key(believed, issuer.key.id, "ES256")
    assert published.fetches == 1


async def test_an_issuer_that_is_believed_no_more_is_forgotten(
    room: TokenRoom, believed: Issuer, published: Publications
) -> None:
    published.away = True
    await room.key_sets.refresh([believed])
    await room.key_sets.refresh([])
    assert room.changes[-1] == ("acme", None)
    assert room.key_sets._sets == {}


async def test_keys_are_not_carried_over_to_another_source(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    await key_sets.key(believed, issuer.key.id, "ES256")
    published.away = True
    moved = replace(believed, jwks_url="https://keys.example/keys")
    assert await key_sets.key(moved, issuer.key.id, "ES256") is None


async def test_keys_are_kept_when_something_else_of_the_issuer_changes(
    key_sets: KeySets, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    await key_sets.key(believed, issuer.key.id, "ES256")
    assert await key_sets.key(replace(believed, leeway=1.0), issuer.key.id, "ES256")
    assert published.fetches == 1


class TestTokensThatNameNoKey:
    async def test_the_only_key_for_the_algorithm_is_meant(
        self, key_sets: KeySets, believed: Issuer, issuer: SigningIssuer
    ) -> None:
        issuer.rotate("RS256")
        found = await key_sets.key(believed, None, "ES256")
        assert found is not None
        assert found.id == issuer.keys[1].id

    async def test_among_several_none_is_meant(
        self, key_sets: KeySets, believed: Issuer, issuer: SigningIssuer
    ) -> None:
        issuer.rotate()
        assert await key_sets.key(believed, None, "ES256") is None


async def test_the_stop_ends_what_is_under_way(
    room: TokenRoom, believed: Issuer, issuer: SigningIssuer, published: Publications
) -> None:
    published.hold.clear()
    waiting = asyncio.ensure_future(room.key_sets.key(believed, issuer.key.id, "ES256"))
    await eventually(lambda: published.asked)
    await room.key_sets.stop()
    assert await waiting is None
    assert room.changes == []  # it did not wait until the fetch had taken too long
