"""The desks at which keys are made and credentials taken back: for commands, and for the operators' API."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial

from gateway.app.installation import ENDPOINT_NAMES, load_policy_files, opened_database, pepper_of
from gateway.auth.keys.checks import KeyChecks
from gateway.auth.keys.desk import KeyDesk
from gateway.auth.keys.pepper import check_pepper
from gateway.auth.keys.sql import SqlKeyStore
from gateway.auth.keys.uses_sql import SqlUseStore
from gateway.auth.revocation.desk import RevocationDesk
from gateway.auth.revocation.sql import SqlRevocationStore
from gateway.core.clock import Clock, SystemClock
from gateway.database.engine import Database
from gateway.policies.policy_set import PolicySet
from gateway.settings.tree import Settings

Policies = Callable[[], PolicySet]
"""Those in force at the moment."""
Changed = Callable[[], Awaitable[None]]


async def _unsaid() -> None:
    """Commands tell nobody: gateways look twice a second."""


@asynccontextmanager
async def key_desk(settings: Settings) -> AsyncIterator[KeyDesk]:
    """The keys of this installation. Raises BrokenPolicies, StoreUnavailable, ValueError."""
    policies = _read_once(settings)
    pepper = pepper_of(settings)
    async with opened_database(settings) as database:
        await check_pepper(database, pepper)
        yield key_desk_of(database, pepper=pepper, policies=policies, clock=SystemClock(), changed=_unsaid)


@asynccontextmanager
async def revocation_desk(settings: Settings) -> AsyncIterator[RevocationDesk]:
    """What this installation has taken back. Raises BrokenPolicies, StoreUnavailable, ValueError."""
    policies = _read_once(settings)
    async with opened_database(settings) as database:
        yield revocation_desk_of(database, policies=policies, clock=SystemClock(), changed=_unsaid)


def _read_once(settings: Settings) -> Policies:
    """When they are needed: a key that has leaked is revoked while somebody is still at the files."""
    return cache(partial(load_policy_files, settings))


def key_desk_of(
    database: Database, *, pepper: bytes, policies: Policies, clock: Clock, changed: Changed
) -> KeyDesk:
    """`changed`: tells all replicas to look."""
    return KeyDesk(
        store=SqlKeyStore(database, clock=clock),
        uses=SqlUseStore(database),
        pepper=pepper,
        clock=clock,
        checks=KeyChecks(
            teams=lambda: frozenset(policies().teams),
            endpoints=lambda: ENDPOINT_NAMES,
            models=lambda: frozenset(policies().catalogue.models),
        ),
        changed=changed,
    )


def revocation_desk_of(
    database: Database, *, policies: Policies, clock: Clock, changed: Changed
) -> RevocationDesk:
    """`changed`: as above."""
    return RevocationDesk(
        store=SqlRevocationStore(database),
        clock=clock,
        teams=lambda: frozenset(policies().teams),
        issuers=lambda: frozenset(policies().identity.issuers),
        changed=changed,
    )
