"""Who asks: the gateway's keys, tokens of others, certificates; and what of all that was taken back."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from gateway.app.ground import Ground
from gateway.auth.front import FrontDoor
from gateway.auth.interfaces import KeyStore
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.sql import SqlKeyStore
from gateway.auth.keys.uses import KeyUses
from gateway.auth.keys.uses_sql import SqlUseStore
from gateway.auth.network.addresses import client_address
from gateway.auth.network.identity import NetworkIdentity
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.revocation.sql import SqlRevocationStore
from gateway.auth.revocation.watch import CredentialWatch
from gateway.auth.tokens.authenticator import TokenAuthenticator
from gateway.auth.tokens.exchange import TokenExchange
from gateway.auth.tokens.exchanged import ExchangedKeys
from gateway.auth.tokens.fetching import Fetch, Fetcher
from gateway.auth.tokens.key_sets import KeySets
from gateway.auth.tokens.verifier import TokenVerifier
from gateway.core.identity import Identity
from gateway.core.incoming import Arrival

CHANGED: Final = "credentials"
"""The signal that a key was changed, or something revoked."""

_POLL_SECONDS: Final = 0.5
_USES_SECONDS: Final = 10.0
_ISSUER_KEYS_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    front: FrontDoor
    keys: KeyStore
    verifier: TokenVerifier
    fetch: Fetch
    token_exchange: TokenExchange


async def identities(
    ground: Ground,
    stack: AsyncExitStack,
    *,
    pepper: bytes,
    identity: Callable[[], Identity],
    revocations: KnownRevocations,
    on_revoked: Callable[[], None],
) -> Identities:
    """Made, up to date, and kept so. `identity`: what identity.yaml says at the moment. `on_revoked`: called
    when anything was taken back. Raises StoreUnavailable."""
    clock, background, bounds = ground.clock, ground.background, ground.settings.bounds
    keys = SqlKeyStore(ground.database, clock=clock)
    uses = KeyUses(store=SqlUseStore(ground.database), clock=clock)

    def address_of(arrival: Arrival) -> str:
        return client_address(arrival, identity().forwarders)

    by_key = KeyAuthenticator(
        store=keys,
        pepper=pepper,
        clock=clock,
        revocations=revocations,
        uses=uses,
        address_of=address_of,
        good_for=bounds.known_key_seconds,
        deadline=bounds.authentication_seconds,
    )
    fetch = Fetcher().fetch
    key_sets = KeySets(clock=clock, fetch=fetch, on_change=ground.alarms.keys_of_issuer)
    stack.push_async_callback(key_sets.stop)

    async def fetch_issuers_keys() -> None:
        await key_sets.refresh(identity().issuers.values())

    background.hand_over(fetch_issuers_keys)
    background.every("issuer_keys", _ISSUER_KEYS_SECONDS, fetch_issuers_keys)
    verifier = TokenVerifier(identity=identity, key_sets=key_sets, clock=clock)
    exchanged = ExchangedKeys(pepper=pepper, identity=identity, clock=clock, revocations=revocations)
    by_token = TokenAuthenticator(identity=identity, verifier=verifier, revocations=revocations, clock=clock)
    watch = CredentialWatch(
        keys=keys,
        store=SqlRevocationStore(ground.database),
        known=revocations,
        forgetful=(by_key, by_token),
        clock=clock,
        on_lag=ground.metrics.revocation_lag,
        on_away=ground.alarms.keys,
        on_change=on_revoked,
    )
    await watch.refresh()
    background.every("credentials", _POLL_SECONDS, watch.refresh)
    background.loop("credential_signals", watch.run)
    ground.signals.on(CHANGED, watch.hear)
    background.every("key_uses", _USES_SECONDS, uses.flush)
    stack.push_async_callback(uses.flush)
    return Identities(
        front=FrontDoor(
            keys=by_key,
            tokens=by_token,
            exchanged=exchanged,
            network=NetworkIdentity(identity=identity, revocations=revocations, clock=clock),
            identity=identity,
        ),
        keys=keys,
        verifier=verifier,
        fetch=fetch,
        token_exchange=TokenExchange(
            verifier=verifier, exchanged=exchanged, revocations=revocations, clock=clock
        ),
    )
