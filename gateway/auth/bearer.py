"""Finds the one credential that a request carries. With more than one it is unclear who asks: refused."""

from typing import Final

from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.incoming import Headers

RULE: Final = "auth.credential"

_HOW: Final = "as `Authorization: Bearer <key>`, or in the `api-key` or `x-api-key` header"
_NOT_BEARER: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    f"The Authorization header is not of the kind Bearer. Send your team's key {_HOW}.",
    RULE,
)
_TWICE: Final = Deny(
    ErrorCode.BAD_REQUEST, "There is more than one Authorization header. Send one credential only.", RULE
)
_TWO: Final = Deny(
    ErrorCode.BAD_REQUEST,
    "The Authorization, `api-key` and `x-api-key` headers carry different credentials. Send one only.",
    RULE,
)


def find_credential(headers: Headers) -> str | Deny | None:
    """The credential, unchecked; None: there is none. The same one in two kinds of header counts as one."""
    authorization = headers.getall("Authorization", [])
    found = headers.getall("api-key", []), headers.getall("x-api-key", [])
    if not authorization:
        credentials = {value.strip() for values in found for value in values}
    elif len(authorization) > 1:
        return _TWICE
    else:
        scheme, _, credential = authorization[0].strip().partition(" ")
        if scheme.lower() != "bearer":
            return _NOT_BEARER
        credentials = {credential.strip(), *(value.strip() for values in found for value in values)}
    credentials.discard("")
    if not credentials:
        return None
    return credentials.pop() if len(credentials) == 1 else _TWO
