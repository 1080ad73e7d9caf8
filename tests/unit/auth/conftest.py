"""A store of keys with one key in it, and whoever asks with it."""

from dataclasses import dataclass

import pytest
from multidict import CIMultiDict

from gateway.auth.keys.api_keys import hash_secret, new_key
from gateway.auth.interfaces import KeyStore, StoredKey
from tests.support.clock import ManualClock

PEPPER = b"a pepper for tests"


@dataclass(frozen=True)
class Issued:
    """A key as its holder has it."""

    id: str
    text: str

    @property
    def headers(self) -> CIMultiDict[str]:
        return bearer(self.text)


def bearer(text: str) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": f"Bearer {text}"})


async def issue(
    store: KeyStore, *, team: str = "search", name: str = "web", expires_at: int | None = None
) -> Issued:
    key_id, text = new_key()
    await store.add(StoredKey(key_id, team, name, hash_secret(PEPPER, text), 1, expires_at))
    return Issued(key_id, text)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
