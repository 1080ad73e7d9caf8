"""Which credential goes to whom."""

import pytest

from gateway.auth.front import FrontDoor
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import Identity, Issuer
from gateway.core.incoming import Arrival
from gateway.core.principal import Principal
from tests.support.memory import MemoryIncoming


def known(name: str) -> Principal:
    return Principal(subject=name, team="search", key_id=name, key_name=name)


class Everybody:
    """Knows everyone, and tells by whom they were taken in."""

    identity = Identity({"ci": Issuer("ci", "https://ci.example.com", ("gateway",))})
    peer: Principal | Deny | None = None

    async def authenticate(self, credential: str, arrival: Arrival | None = None) -> Principal:
        return known("token" if arrival is None else "key")

    def opened(self, text: str) -> Principal:
        return known("exchanged")

    def identify(self, arrival: Arrival) -> Principal | Deny | None:
        return self.peer


@pytest.fixture
def everybody() -> Everybody:
    return Everybody()


@pytest.fixture
def door(everybody: Everybody) -> FrontDoor:
    return FrontDoor(
        keys=everybody,
        tokens=everybody,
        exchanged=everybody,
        network=everybody,
        identity=lambda: everybody.identity,
    )


def arrival(credential: str | None) -> MemoryIncoming:
    headers = {} if credential is None else {"authorization": f"Bearer {credential}"}
    return MemoryIncoming(b"", headers=headers)


@pytest.mark.parametrize(
    ("credential", "whom"),
    [
        ("gwk_a1B2c3D4e5F6_secret", "key"),
        ("gwt_payload", "exchanged"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "token"),
        ("eyJ.no-token", "key"),
        ("sk-of-another-gateway", "key"),
    ],
)
async def test_how_a_credential_looks_says_who_checks_it(door: FrontDoor, credential: str, whom: str) -> None:
    assert await door.authenticate(arrival(credential)) == known(whom)


async def test_without_issuers_what_looks_like_a_token_may_be_an_imported_key(
    door: FrontDoor, everybody: Everybody
) -> None:
    everybody.identity = Identity()
    assert await door.authenticate(arrival("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")) == known("key")


async def test_without_a_credential_the_connection_says_who_asks(
    door: FrontDoor, everybody: Everybody
) -> None:
    everybody.peer = known("certificate")
    assert await door.authenticate(arrival(None)) == known("certificate")


async def test_an_explicit_credential_decides_alone(door: FrontDoor, everybody: Everybody) -> None:
    everybody.peer = known("certificate")
    assert await door.authenticate(arrival("gwk_a1B2c3D4e5F6_secret")) == known("key")


async def test_nobody_is_refused_with_how_to_say_who_one_is(door: FrontDoor) -> None:
    answer = await door.authenticate(arrival(None))
    assert isinstance(answer, Deny)
    assert answer.code is ErrorCode.INVALID_API_KEY
    assert "Authorization: Bearer" in answer.reason
