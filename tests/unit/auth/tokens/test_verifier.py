"""Good tokens of every kind hold; of bad ones it is told what is wrong only when the signature holds."""

from typing import Any

import pytest

from gateway.auth.tokens.verifier import UNVERIFIED, Verified
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from tests.support.clock import ManualClock
from tests.support.issuer import AUDIENCE, SigningIssuer
from tests.support.token_room import Publications, TokenRoom

NOW = int(ManualClock().now())


async def refusal(room: TokenRoom, token: str) -> Deny:
    found = await room.verifier.verified(token)
    assert isinstance(found, Deny)
    return found


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]
)
async def test_a_good_token_holds(algorithm: str, clock: ManualClock) -> None:
    issuer = SigningIssuer(algorithm=algorithm, clock=clock)
    room = TokenRoom(issuer.believed(algorithms=(algorithm,)), fetch=Publications(issuer).fetch, clock=clock)
    found = await room.verifier.verified(issuer.token(sub="bob"))
    assert isinstance(found, Verified)
    assert found.issuer.name == "acme"
    assert found.claims["sub"] == "bob"
    assert found.expires_at == NOW + 600


@pytest.mark.parametrize(
    "kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt", None]
)
async def test_a_type_that_is_taken_is_taken_in_any_case(
    room: TokenRoom, issuer: SigningIssuer, kind: str | None
) -> None:
    header = {**issuer.header, "typ": kind}
    if kind is None:
        del header["typ"]
    assert isinstance(await room.verifier.verified(issuer.key.sign(header, issuer.claims())), Verified)


async def test_a_certificate_in_the_header_means_nothing(room: TokenRoom, issuer: SigningIssuer) -> None:
    header = {**issuer.header, "x5c": ["MIIB"], "x5t": "AAAA"}
    assert isinstance(await room.verifier.verified(issuer.key.sign(header, issuer.claims())), Verified)


@pytest.mark.parametrize("audience", [AUDIENCE, ["other", AUDIENCE], [AUDIENCE]])
async def test_one_of_the_audiences_must_be_ours(
    room: TokenRoom, issuer: SigningIssuer, audience: Any
) -> None:
    assert isinstance(await room.verifier.verified(issuer.token(aud=audience)), Verified)


async def test_another_audience_may_be_asked_for(room: TokenRoom, issuer: SigningIssuer) -> None:
    token = issuer.token(aud="console")
    assert isinstance(await room.verifier.verified(token, audiences=["console"]), Verified)
    assert isinstance(await room.verifier.verified(issuer.token(), audiences=["console"]), Deny)
    assert isinstance(await room.verifier.verified(token), Deny)


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"aud": "another"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": {AUDIENCE: 1}}, "aud"),
        ({"aud": [[AUDIENCE]]}, "aud"),
        ({"aud": AUDIENCE[:-1]}, "aud"),
        ({"iat": None}, "iat"),
        ({"iat": NOW + 31}, "iat"),
        ({"iat": NOW + 31, "nbf": NOW}, "iat"),
        ({"iat": True}, "iat"),
        ({"exp": None}, "exp"),
        ({"exp": NOW + 60.5}, "exp"),
        ({"exp": str(NOW + 60)}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"exp": NOW + 86_401}, "exp"),
        ({"exp": NOW + 20, "iat": NOW + 20}, "exp"),
        ({"nbf": NOW + 31}, "nbf"),
        ({"nbf": "0"}, "nbf"),
        ({"nbf": -1}, "nbf"),
    ],
)
async def test_a_wrong_claim_is_named(
    room: TokenRoom, issuer: SigningIssuer, changes: dict[str, Any], claim: str
) -> None:
    found = await refusal(room, issuer.token(**changes))
    assert (found.code, found.rule) == (ErrorCode.INVALID_API_KEY, "auth.token")
    assert f"`{claim}`" in found.reason


async def test_an_expired_token_is_told_apart(room: TokenRoom, issuer: SigningIssuer) -> None:
    found = await refusal(room, issuer.token(iat=NOW - 600, exp=NOW - 30))
    assert found.code is ErrorCode.TOKEN_EXPIRED


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": NOW - 600, "exp": NOW - 29},
        {"iat": NOW + 30},
        {"nbf": NOW + 30},
        {"nbf": NOW},
        {"exp": NOW + 86_400},
    ],
)
async def test_clocks_may_differ_by_the_leeway(
    room: TokenRoom, issuer: SigningIssuer, changes: dict[str, Any]
) -> None:
    assert isinstance(await room.verifier.verified(issuer.token(**changes)), Verified)


async def test_what_is_not_signed_is_always_refused_in_the_same_words(
    room: TokenRoom, issuer: SigningIssuer, published: Publications, clock: ManualClock
) -> None:
    stranger = SigningIssuer(clock=clock)
    stranger.keys = [*stranger.keys, *issuer.keys]
    forged = stranger.key.sign(issuer.header, issuer.claims(exp=1, aud="another"))
    unknown = SigningIssuer("https://unknown.example", clock=clock).token()
    refusals = [await refusal(room, token) for token in ("", "a.b.c", forged, unknown, stranger.token())]
    published.away = True
    assert refusals == [UNVERIFIED] * 5


async def test_no_refusal_repeats_what_the_token_says(room: TokenRoom, issuer: SigningIssuer) -> None:
    changes: list[dict[str, Any]] = [
        {"aud": "s3cret"},
        {"exp": 77_777, "iat": 77_776},
        {"exp": "s3cret"},
        {"nbf": 1_888_888_888},
    ]
    reasons = [(await refusal(room, issuer.token(**change))).reason for change in changes]
    assert not [reason for reason in reasons for told in ("s3cret", "77777", "1888888888") if told in reason]


async def test_an_unknown_issuer_costs_no_fetch(
    room: TokenRoom, published: Publications, clock: ManualClock
) -> None:
    await refusal(room, SigningIssuer("https://unknown.example", clock=clock).token())
    assert published.asked == []


async def test_what_a_token_says_does_not_show(room: TokenRoom, issuer: SigningIssuer) -> None:
    assert "alice" not in repr(await room.verifier.verified(issuer.token()))
