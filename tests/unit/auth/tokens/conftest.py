"""An issuer, what it publishes, and everything here that looks at its tokens."""

import pytest

from tests.support.clock import ManualClock
from tests.support.issuer import SigningIssuer
from tests.support.token_room import Publications, TokenRoom


@pytest.fixture
def issuer(clock: ManualClock) -> SigningIssuer:
    return SigningIssuer(clock=clock)


@pytest.fixture
def published(issuer: SigningIssuer) -> Publications:
    return Publications(issuer)


@pytest.fixture
def room(issuer: SigningIssuer, published: Publications, clock: ManualClock) -> TokenRoom:
    return TokenRoom(issuer.believed(), fetch=published.fetch, clock=clock)
