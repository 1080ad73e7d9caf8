"""What can be wrong in identity.yaml although each of its lines is good: names that point nowhere, and what
stands twice.
"""

from collections.abc import Iterator

from gateway.policies.identity_file import Identities
from gateway.policies.issuer_rules import IssuerSpelling, Reach
from gateway.policies.known import Known
from gateway.policies.problems import Problem
from gateway.policies.reading import Source
from gateway.wire.document import Path


def check_identity(source: Source[Identities], known: Known) -> Iterator[Problem]:
    content = source.content
    for place, team in _teams(content):
        if complaint := known.complaint_of_team(team):
            yield source.problem(*place, message=complaint)
    for place, reach in _reaches(content):
        yield from _check_reach(source, place, reach, known)
    yield from _check_issuers(source)
    yield from _check_certificates(source)


def _teams(content: Identities) -> Iterator[tuple[Path, str]]:
    """Every team that is named."""
    for name, issuer in content.issuers.items():
        yield from ((("issuers", name, *place), team) for place, team in _teams_of(issuer))
    for index, rule in enumerate(content.certificates):
        yield ("certificates", index, "team"), rule.team
    for index, proxy in enumerate(content.proxies):
        if proxy.team is not None:
            yield ("proxies", index, "team"), proxy.team


def _teams_of(issuer: IssuerSpelling) -> Iterator[tuple[Path, str]]:
    for index, rule in enumerate(issuer.team):
        if rule.is_ is not None:
            yield ("team", index, "is"), rule.is_
    for index, role in enumerate(issuer.roles):
        yield from ((("roles", index, "teams", at), team) for at, team in enumerate(role.teams))


def _reaches(content: Identities) -> Iterator[tuple[Path, Reach]]:
    for name, issuer in content.issuers.items():
        yield from ((("issuers", name, "grants", at), rule) for at, rule in enumerate(issuer.grants))
    yield from ((("certificates", at), rule) for at, rule in enumerate(content.certificates))


def _check_reach(source: Source[Identities], place: Path, reach: Reach, known: Known) -> Iterator[Problem]:
    for index, pattern in enumerate(reach.endpoints):
        if complaint := known.complaint_of_endpoint(pattern):
            yield source.problem(*place, "endpoints", index, message=complaint)
    for index, pattern in enumerate(reach.models):
        if complaint := known.complaint_of_model(pattern):
            yield source.problem(*place, "models", index, message=complaint)


def _check_issuers(source: Source[Identities]) -> Iterator[Problem]:
    """A token says its issuer's URL alone: of two with one URL, nobody could tell which is meant."""
    first: dict[str, str] = {}
    for name, issuer in source.content.issuers.items():
        other = first.setdefault(issuer.issuer, name)
        if other != name:
            message = (
                f"is already the issuer `{other}`: one entry can have several audiences, teams and roles"
            )
            yield source.problem("issuers", name, "issuer", message=message)


def _check_certificates(source: Source[Identities]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, rule in enumerate(source.content.certificates):
        kind, name = ("spiffe", rule.spiffe) if rule.spiffe else ("subject", rule.subject or "")
        if name in seen:
            yield source.problem("certificates", index, kind, message="stands twice: the first decides")
        seen.add(name)
