"""The word of trusted proxies: who asks, in a header. From any other address the header means nothing.

What comes from a proxy is bounded and printable before anybody uses it, and is believed only if it is said
once: a proxy that adds its header to one which the client sent would let the client say who it is.
"""

from collections.abc import Iterable
from typing import Final

from gateway.auth.network.addresses import is_within
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import TrustedProxy
from gateway.core.incoming import Arrival
from gateway.core.principal import CredentialKind, Principal

RULE: Final = "auth.proxy"
NAME: Final = "proxy"
"""What the credential is called in logs, and in team files under `keys`."""

_LONGEST: Final = 128
_MOST_GROUPS: Final = 200


class _Unusable(Exception):
    """A header that cannot be believed."""


def principal_from(
    arrival: Arrival, proxies: Iterable[TrustedProxy], came_in_at: int
) -> Principal | Deny | None:
    """Whom the first proxy at the other end that says anybody says; None when none does. `came_in_at`:
    seconds since 1970.

    A Deny: `bad_request` for a header that stands twice or is no name; `permission_denied` without a team.
    """
    try:
        for proxy in proxies:
            if is_within(arrival.peer, proxy.addresses) and (user := _said(arrival, proxy.user_header)):
                return _vouched_for(user, arrival, proxy, came_in_at)
    except _Unusable as unusable:
        return Deny(ErrorCode.BAD_REQUEST, str(unusable), RULE)
    return None


def _vouched_for(user: str, arrival: Arrival, proxy: TrustedProxy, came_in_at: int) -> Principal | Deny:
    team = proxy.team or _said(arrival, proxy.team_header or "")
    if not team:
        reason = "The proxy that you came by does not say to which team you belong."
        return Deny(ErrorCode.PERMISSION_DENIED, reason, RULE)
    return Principal(
        subject=f"user:{user}",
        team=team,
        key_id=NAME,
        key_name=NAME,
        kind=CredentialKind.PROXY,
        groups=_groups(arrival, proxy.groups_header),
        issued_at=came_in_at,
    )


def _said(arrival: Arrival, header: str) -> str:
    """What the header says; empty when it says nothing."""
    return _name(header, _one(arrival, header))


def _groups(arrival: Arrival, header: str | None) -> frozenset[str]:
    if header is None:
        return frozenset()
    names = [_name(header, part) for part in _one(arrival, header).split(",")]
    if len(names) > _MOST_GROUPS:
        raise _Unusable(f"The header {header} has more than {_MOST_GROUPS} groups.")
    return frozenset(names) - {""}


def _one(arrival: Arrival, header: str) -> str:
    values = arrival.headers.getall(header, [])
    if len(values) > 1:
        raise _Unusable(f"The header {header} was sent more than once.")
    return values[0] if values else ""


def _name(header: str, text: str) -> str:
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise _Unusable(f"The header {header} must be printable, and {_LONGEST} characters at most.")
    return text
