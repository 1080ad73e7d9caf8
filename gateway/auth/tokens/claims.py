"""What a token's claims mean here: whose it is, which team's, how far it reaches, what it may administer.

Claims are looked at by paths and compared for equality, as `identity.yaml` says; there is no code in it. The
refusals name the claims that were looked at, and never what stood there.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeGuard

import msgspec

from gateway.core.actor import Actor, Role
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.grant import UNNARROWED
from gateway.core.identity import ClaimIs, ClaimPath, Issuer, TeamRule
from gateway.core.principal import CredentialKind, Principal

RULE: Final = "auth.token"
MOST_GROUPS: Final = 200
LONGEST_NAME: Final = 256
"""Characters of a user, a team or a group."""


def principal_of(issuer: Issuer, claims: Mapping[str, Any]) -> Principal | Deny:
    """Whom this issuer's token stands for. The claims are those of a token that holds. A Deny:
    `permission_denied`.
    """
    unmet = _unmet(issuer, claims)
    if unmet is not None:
        return unmet
    user = _at(claims, issuer.user)
    if not _is_name(user):
        return _denied(issuer, "names no user", [issuer.user])
    team = next((team for rule in issuer.teams if (team := _team(rule, claims)) is not None), None)
    if not _is_name(team):
        return _denied(issuer, "belongs to no team", [rule.claim for rule in issuer.teams])
    groups = _groups(issuer, claims)
    if isinstance(groups, Deny):
        return groups
    grant = next((rule.grant for rule in issuer.grants if _holds(rule.when, claims)), UNNARROWED)
    return _bearer(issuer, claims, user, team=team, groups=groups, grant=grant)


def administrator_of(issuer: Issuer, claims: Mapping[str, Any]) -> Actor | None:
    """Who administers by this token, called by the claim that is nobody else's; None: nobody."""
    found, user = role_of(issuer, claims), _at(claims, issuer.user)
    if found is None or not _is_name(user):
        return None
    role, teams = found
    return Actor(f"{issuer.name}:{user}", role, teams, _bearer(issuer, claims, user))


def role_of(issuer: Issuer, claims: Mapping[str, Any]) -> tuple[Role, frozenset[str]] | None:
    """What its holder may do at the operators' port, and of a team admin for which teams; None: nothing."""
    if _unmet(issuer, claims) is not None:
        return None
    fitting = (rule for rule in issuer.roles if _holds(rule.when, claims))
    return next(((rule.role, frozenset(rule.teams)) for rule in fitting), None)


def _bearer(
    issuer: Issuer, claims: Mapping[str, Any], user: str, *, team: str = "", **more: Any
) -> Principal:
    return Principal(
        subject=f"user:{user}",
        team=team,
        key_id=f"jwt:{issuer.name}",
        key_name=issuer.name,
        kind=CredentialKind.JWT,
        issuer=issuer.name,
        issued_at=claims["iat"],
        **more,
    )


def _unmet(issuer: Issuer, claims: Mapping[str, Any]) -> Deny | None:
    unmet = [required.claim for required in issuer.require if not _holds(required, claims)]
    return _denied(issuer, "is not one of those that are let in", unmet) if unmet else None


def _team(rule: TeamRule, claims: Mapping[str, Any]) -> str | None:
    value = _at(claims, rule.claim)
    if value is None or (rule.equals is not None and not _is(value, rule.equals)):
        return None
    if rule.team is not None:
        return rule.team
    if rule.equals is not None:
        return rule.equals
    return value if type(value) is str else None


def _groups(issuer: Issuer, claims: Mapping[str, Any]) -> frozenset[str] | Deny:
    """All or a refusal: what only some groups may not do must not be lost with the rest of a list."""
    value = _at(claims, issuer.groups) if issuer.groups is not None else None
    if value is None:
        return frozenset()
    listed = value if type(value) is list else [value]
    if len(listed) > MOST_GROUPS or not all(map(_is_name, listed)):
        return _denied(issuer, f"does not list at most {MOST_GROUPS} groups by name", [issuer.groups or ()])
    return frozenset(listed)


def _holds(condition: ClaimIs, claims: Mapping[str, Any]) -> bool:
    return _is(_at(claims, condition.claim), condition.equals)


def _is(value: Any, equals: str) -> bool:
    """Whether a claim has this value, or one of its items has."""
    if type(value) is list:
        return any(_spelled(each) == equals for each in value)
    return _spelled(value) == equals


def _spelled(value: Any) -> str | None:
    """A string as it is; a number or boolean as JSON spells it; None for all else."""
    if type(value) is str:
        return value
    return msgspec.json.encode(value).decode() if type(value) in (int, float, bool) else None


def _at(claims: Mapping[str, Any], path: ClaimPath) -> Any:
    """None where there is nothing. Paths lead through objects only."""
    found: Any = claims
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _is_name(value: Any) -> TypeGuard[str]:
    """A string that can stand in a log, a header and a report: no control characters, no odd spaces."""
    return (
        type(value) is str
        and 0 < len(value) <= LONGEST_NAME
        and value.isprintable()
        and value == value.strip()
    )


def _denied(issuer: Issuer, what: str, looked_at: Iterable[ClaimPath]) -> Deny:
    claims = ", ".join(dict.fromkeys(f"`{'.'.join(path)}`" for path in looked_at))
    where = f"Looked at: {claims}." if claims else "No rule says which."
    return Deny(
        ErrorCode.PERMISSION_DENIED, f"This token of the issuer `{issuer.name}` {what}. {where}", RULE
    )
