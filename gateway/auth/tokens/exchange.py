"""Trades a token for a short-lived key (RFC 8693), for programs whose SDKs know nothing but keys.

The key stands for whom the token stands for, reaches as far, and lasts no longer. Only tokens of issuers are
traded: a key that was traded for is none, so it cannot be made to last.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.auth.interfaces import Revocations
from gateway.auth.tokens.authenticator import principal_behind
from gateway.auth.tokens.exchanged import ExchangedKeys
from gateway.auth.tokens.verifier import TokenVerifier, Verified
from gateway.core.clock import Clock
from gateway.core.decision import Deny

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
_TRADED: Final = {
    ACCESS_TOKEN,
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
}
_MOST_FIELDS: Final = 32
_PRINTED: Final = frozenset(map(chr, range(0x20, 0x7F))) - {'"', "\\"}
"""What an `error_description` may hold (RFC 6749 5.2)."""


class _Unfit(Exception):
    """It will not be traded: an error's name, and a sentence."""

    def __init__(self, error: str, sentence: str) -> None:
        super().__init__(sentence)
        self.error = error


class TokenExchange:
    """The endpoint's own part: a form's bytes in, a status and an object out."""

    def __init__(
        self, *, verifier: TokenVerifier, exchanged: ExchangedKeys, revocations: Revocations, clock: Clock
    ) -> None:
        self._verifier = verifier
        self._exchanged = exchanged
        self._revocations = revocations
        self._clock = clock

    async def answer(self, form: bytes) -> tuple[int, dict[str, Any]]:
        """The status, and what the JSON body says. Neither it nor the request may be cached or logged."""
        try:
            return 200, await self._traded(_fields(form))
        except _Unfit as unfit:
            return 400, {"error": unfit.error, "error_description": _printed(str(unfit))}

    async def _traded(self, fields: Mapping[str, str]) -> dict[str, Any]:
        _check_kinds(fields)
        verified = await self._verifier.verified(fields["subject_token"])
        if isinstance(verified, Deny):
            raise _Unfit("invalid_request", verified.reason)
        _check_target(fields, verified)
        principal = principal_behind(verified, self._revocations)
        if isinstance(principal, Deny):
            raise _Unfit("invalid_request", principal.reason)
        seconds = self._seconds(verified)
        try:
            key = self._exchanged.seal(principal, int(self._clock.now()) + seconds)
        except ValueError as error:
            raise _Unfit("invalid_request", str(error)) from None
        return {
            "access_token": key,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": seconds,
        }

    def _seconds(self, verified: Verified) -> int:
        """How long the key lasts: not longer than the token, without the leeway."""
        most = verified.issuer.exchange_seconds
        if most is None:
            raise _Unfit("unauthorized_client", "Tokens of this issuer are not traded for keys.")
        seconds = int(min(most, verified.expires_at - self._clock.now()))
        if seconds < 1:
            raise _Unfit("invalid_request", "The token has expired (`exp`). Get a new one.")
        return seconds


def _fields(form: bytes) -> dict[str, str]:
    """Those with a value, which stand once (RFC 6749 3.2). Those that nobody knows are let be."""
    try:
        pairs = parse_qsl(
            form.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(form),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise _Unfit(
            "invalid_request", "The body is not a form (application/x-www-form-urlencoded)."
        ) from None
    if len(dict(pairs)) != len(pairs):
        raise _Unfit("invalid_request", "A parameter stands there more than once.")
    return {name: value for name, value in pairs if value}


def _check_kinds(fields: Mapping[str, str]) -> None:
    """Whether it is asked for the one thing that is done here."""
    if fields.get("grant_type", GRANT_TYPE) != GRANT_TYPE:
        raise _Unfit("unsupported_grant_type", f"The only `grant_type` here is {GRANT_TYPE}.")
    for name in ("grant_type", "subject_token", "subject_token_type"):
        if name not in fields:
            raise _Unfit("invalid_request", f"`{name}` is missing.")
    if fields["subject_token_type"] not in _TRADED:
        raise _Unfit("invalid_request", "`subject_token_type` must say a JWT, access token or ID token.")
    if fields.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise _Unfit("invalid_request", f"The only `requested_token_type` here is {ACCESS_TOKEN}.")
    if "actor_token" in fields or "actor_token_type" in fields:
        raise _Unfit("invalid_request", "There is no delegation here: leave `actor_token` out.")
    if "scope" in fields:
        raise _Unfit("invalid_scope", "A key reaches as far as its token does: leave `scope` out.")


def _check_target(fields: Mapping[str, str], verified: Verified) -> None:
    """A key is good at this gateway, which its issuer knows by its audiences, and nowhere else."""
    audience = fields.get("audience")
    if "resource" in fields or (audience is not None and audience not in verified.issuer.audiences):
        raise _Unfit(
            "invalid_target", "A key is for this gateway alone: leave `resource` and `audience` out."
        )


def _printed(sentence: str) -> str:
    return "".join(each if each in _PRINTED else "?" for each in sentence)
