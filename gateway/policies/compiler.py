"""From the bytes of all policy files to a PolicySet. Pure; every mistake of every file is told at once."""

import hashlib
from collections.abc import Collection, Mapping
from types import MappingProxyType

from gateway.core.identity import Identity
from gateway.policies.checks import check
from gateway.policies.counter_checks import check_counters
from gateway.policies.known import Known
from gateway.policies.origins import Origins
from gateway.policies.policy_set import PolicySet
from gateway.policies.price_checks import check_prices
from gateway.policies.problems import BrokenPolicies
from gateway.policies.reading import PRICES, Files, read_source
from gateway.policies.resolve import gathered, house_policy, resolve


def compile_policies(
    files: Mapping[str, bytes], *, upstreams: Collection[str], endpoints: Collection[str]
) -> PolicySet:
    """The policies that these files spell, by their path. Without a price book nothing has a price.

    Raises BrokenPolicies.
    """
    book = {PRICES: files.get(PRICES, b"")}
    sources = [read_source(name, content) for name, content in sorted({**files, **book}.items())]
    read = Files.of(sources)
    problems = [problem for source in sources for problem in source.problems]
    problems += check(read, Known.of(read, upstreams, endpoints))
    problems += [*check_prices(read), *check_counters(read)]
    if problems or read.organization is None or read.models is None or read.prices is None:
        raise BrokenPolicies(sorted(problems))
    version = version_of(files)
    catalogue = read.models.content.compiled(read.prices.content, version_of(book))
    house = house_policy(read.organization.content, catalogue, version)
    teams = gathered({team.content.team: resolve(house, team.content) for team in read.teams})
    return PolicySet(
        version=version,
        catalogue=catalogue,
        teams=MappingProxyType(teams),
        identity=read.identity.content.compiled() if read.identity else Identity(),
        origins=Origins.of(read),
    )


def version_of(files: Mapping[str, bytes]) -> str:
    """Twelve hexadecimal digits that change with any byte of any file."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{len(name)} {name} {len(files[name])} ".encode())
        digest.update(files[name])
    return digest.hexdigest()[:12]
