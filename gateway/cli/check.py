"""`gateway check`: are settings, policy files, and what is around a gateway right? It changes nothing."""

import asyncio
from collections.abc import Iterator

from rich.text import Text

from gateway.app.installation import load_policy_files
from gateway.cli.console import err, explained, fail, settings_or_exit
from gateway.cli.output import print_tables
from gateway.cli.surroundings import unreadable_files, unusable_tls, wrong_pepper
from gateway.core.clock import SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.limits.redis.connect import connect
from gateway.limits.redis.findings import Finding, Severity
from gateway.limits.redis.fitness import PATIENCE, unfit
from gateway.settings.tree import Settings


def check() -> None:
    """Check settings, policy files, the pepper, TLS files and the Redis, and name every mistake at once."""
    settings = settings_or_exit()
    with explained(settings):
        policies = load_policy_files(settings)
    print_tables(
        f"[green]✓[/] settings and policies are good: {len(policies.teams)} teams, "
        f"{len(policies.catalogue.models)} models, version {policies.version}"
    )
    mistakes = [
        *unreadable_files(policies.identity, settings.policies_dir / "identity.yaml"),
        *unusable_tls(settings),
        *wrong_pepper(settings),
        *_wrong_with_redis(settings),
    ]
    if mistakes:
        fail(mistakes)


def _wrong_with_redis(settings: Settings) -> Iterator[str]:
    if not settings.redis_url:
        return
    try:
        yield from _told(asyncio.run(_looked_at_redis(settings)))
    except (StoreUnavailable, ValueError) as error:
        yield str(error)


async def _looked_at_redis(settings: Settings) -> list[Finding]:
    """Raises StoreUnavailable when it cannot be reached, ValueError when its certificates cannot be read."""
    sentinels = settings.redis_sentinel_password
    client = connect(
        settings.redis_url.get_secret_value(),
        timeout=PATIENCE,
        ca_file=settings.redis_ca_file,
        sentinel_password=sentinels.get_secret_value() if sentinels else None,
    )
    try:
        return await unfit(client, clock=SystemClock())
    finally:
        await client.aclose()


def _told(findings: list[Finding]) -> Iterator[str]:
    """Those for which it is refused. The others are said at once."""
    for finding in findings:
        if finding.severity is Severity.WARN:
            err.print(Text.assemble(("! ", "bold yellow"), finding.sentence))
    yield from (finding.sentence for finding in findings if finding.severity is Severity.REFUSE)
    if not findings:
        print_tables("[green]✓[/] the Redis is good")
