"""A good token is traded for a key; whatever is asked for besides is refused as OAuth says it."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.auth.interfaces import RevocationKind
from gateway.auth.tokens.exchange import ACCESS_TOKEN, GRANT_TYPE
from gateway.core.identity import TeamRule
from gateway.core.principal import CredentialKind, Principal
from tests.support.clock import ManualClock
from tests.support.issuer import AUDIENCE, LIFE, SigningIssuer
from tests.support.token_room import Publications, TokenRoom

JWT = "urn:ietf:params:oauth:token-type:jwt"
HOUR = 3600


@pytest.fixture
def room(issuer: SigningIssuer, published: Publications, clock: ManualClock) -> TokenRoom:
    return TokenRoom(issuer.believed(exchange_seconds=HOUR), fetch=published.fetch, clock=clock)


def form(token: str, **changes: str | None) -> bytes:
    fields = {"grant_type": GRANT_TYPE, "subject_token": token, "subject_token_type": JWT, **changes}
    return urlencode({name: value for name, value in fields.items() if value is not None}).encode()


async def refused(room: TokenRoom, request: bytes) -> str:
    status, told = await room.exchange.answer(request)
    assert status == 400
    assert told.keys() == {"error", "error_description"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", told["error_description"])
    error: str = told["error"]
    return error


async def traded(room: TokenRoom, request: bytes) -> dict[str, Any]:
    status, told = await room.exchange.answer(request)
    assert status == 200, told
    return told


async def test_a_token_is_traded_for_a_key(room: TokenRoom, issuer: SigningIssuer) -> None:
    told = await traded(room, form(issuer.token()))
    assert {**told, "access_token": ""} == {
        "access_token": "",
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": LIFE,
    }
    found = room.exchanged.opened(told["access_token"])
    assert isinstance(found, Principal)
    assert (found.subject, found.team, found.kind) == ("user:alice", "search", CredentialKind.EXCHANGED_KEY)


@pytest.mark.parametrize(("life", "lasts"), [(HOUR * 3, HOUR), (HOUR, HOUR), (HOUR // 2, HOUR // 2)])
async def test_a_key_lasts_no_longer_than_the_token_nor_than_allowed(
    room: TokenRoom, issuer: SigningIssuer, clock: ManualClock, life: int, lasts: int
) -> None:
    token = issuer.token(exp=int(clock.now()) + life)
    told = await traded(room, form(token))
    assert told["expires_in"] == lasts
    clock.advance(lasts - 1)
    assert isinstance(room.exchanged.opened(told["access_token"]), Principal)
    clock.advance(1)
    assert not isinstance(room.exchanged.opened(told["access_token"]), Principal)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject_token_type": ACCESS_TOKEN},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"requested_token_type": ACCESS_TOKEN},
        {"audience": AUDIENCE},
        {"scope": ""},
        {"client_id": "ci", "other": "x"},
    ],
)
async def test_what_else_is_told_may_be_right(
    room: TokenRoom, issuer: SigningIssuer, changes: dict[str, str]
) -> None:
    assert await traded(room, form(issuer.token(), **changes))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "subject_token": None}, "unsupported_grant_type"),
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token": "gwt_AAAA"}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"requested_token_type": JWT}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": JWT}, "invalid_request"),
        ({"audience": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"scope": "admin"}, "invalid_scope"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    room: TokenRoom, issuer: SigningIssuer, changes: dict[str, str | None], error: str
) -> None:
    assert await refused(room, form(issuer.token(), **changes)) == error


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"{}",
        b"grant_type",
        b"\xff=\xff",
        b"a=%ff",
        b"&".join(b"f%d=1" % number for number in range(40)),
    ],
)
async def test_what_is_no_form_is_refused(room: TokenRoom, request_body: bytes) -> None:
    assert await refused(room, request_body) == "invalid_request"


@pytest.mark.parametrize(
    "more", [b"&scope=&scope=", b"&subject_token=", b"&other=1&other=2", b"&", b"&&a=b", b"&a", b"&a=%ff"]
)
async def test_what_follows_a_good_form_is_read_as_strictly(
    room: TokenRoom, issuer: SigningIssuer, more: bytes
) -> None:
    assert await refused(room, form(issuer.token()) + more) == "invalid_request"


@pytest.mark.parametrize(
    "changes", [{"aud": "another"}, {"exp": 1}, {"team": None}, {"sub": None}, {"exp": None}]
)
async def test_a_token_that_does_not_hold_is_not_traded(
    room: TokenRoom, issuer: SigningIssuer, changes: dict[str, Any]
) -> None:
    assert await refused(room, form(issuer.token(**changes))) == "invalid_request"


async def test_a_token_that_lives_by_the_leeway_alone_is_not_traded(
    room: TokenRoom, issuer: SigningIssuer, clock: ManualClock
) -> None:
    token = issuer.token()
    clock.advance(LIFE)
    assert isinstance(await room.authenticator.authenticate(token), Principal)
    assert await refused(room, form(token)) == "invalid_request"


async def test_a_revoked_token_is_not_traded(room: TokenRoom, issuer: SigningIssuer) -> None:
    room.revoke(RevocationKind.USER, "user:alice")
    assert await refused(room, form(issuer.token())) == "invalid_request"


async def test_a_key_that_was_traded_for_is_not_traded(room: TokenRoom, issuer: SigningIssuer) -> None:
    key = (await traded(room, form(issuer.token())))["access_token"]
    assert await refused(room, form(key)) == "invalid_request"


async def test_tokens_of_an_issuer_that_does_not_say_so_are_not_traded(
    room: TokenRoom, issuer: SigningIssuer
) -> None:
    room.reread(exchange_seconds=None)
    assert await refused(room, form(issuer.token())) == "unauthorized_client"


async def test_a_token_with_too_many_groups_is_not_traded(room: TokenRoom, issuer: SigningIssuer) -> None:
    room.reread(groups=("groups",))
    groups = [f"group-{number:04}" for number in range(200)]
    assert await refused(room, form(issuer.token(groups=groups))) == "invalid_request"


async def test_a_claim_with_odd_signs_in_its_name_is_told_in_plain_ones(
    room: TokenRoom, issuer: SigningIssuer
) -> None:
    room.reread(teams=(TeamRule(('grüppe"\\',)),))
    assert await refused(room, form(issuer.token())) == "invalid_request"
