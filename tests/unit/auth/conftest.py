"""A store of keys with one key in it, and whoever asks with it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.auth.keys.api_keys import hash_secret, new_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.memory import MemoryUseStore
from gateway.auth.keys.uses import KeyUses
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.actor import Act, Actor, Role
from gateway.core.incoming import Certificate
from tests.support.clock import ManualClock

PEPPER = b"a pepper for tests"
BY = Actor("cli:tester", Role.OPERATOR)
MADE = Act(BY.name, "key.created", "key:k1")
"""For whoever does not ask what is on record."""


@dataclass(frozen=True)
class Issued:
    """A key as its holder has it."""

    id: str
    text: str

    @property
    def headers(self) -> CIMultiDict[str]:
        return bearer(self.text)


@dataclass
class MemoryArrival:
    """An Arrival."""

    peer: str = "192.0.2.7"
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    certificate: Certificate | None = None


class Waiting:
    """A pause that takes no time, and tells how long it would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


HERE = MemoryArrival()


def bearer(text: str) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": f"Bearer {text}"})


def a_stored_key(key_id: str = "k1", secret: str = "", **changes: Any) -> StoredKey:
    """A key of the team `search`, named `web`, made in the first second of 1970."""
    told: dict[str, Any] = {
        "team": "search",
        "name": "web",
        "secret_hash": hash_secret(PEPPER, secret),
        "created_at": 1,
        "issued_at": 1,
    }
    return StoredKey(id=key_id, **told | changes)


async def issue(store: KeyStore, **changes: Any) -> Issued:
    key_id, text = new_key()
    await store.add(a_stored_key(key_id, text, **changes), MADE)
    return Issued(key_id, text)


def an_authenticator(store: KeyStore, clock: ManualClock, **changes: Any) -> KeyAuthenticator:
    """Without any pause, unless one is handed in."""
    told: dict[str, Any] = {
        "pepper": PEPPER,
        "revocations": KnownRevocations(),
        "uses": KeyUses(store=MemoryUseStore(), clock=clock),
        "address_of": lambda arrival: arrival.peer,
        "pause": Waiting(),
    }
    return KeyAuthenticator(store=store, clock=clock, **told | changes)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
