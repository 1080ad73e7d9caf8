"""`gateway check`: are settings, policy files and the Redis right? Starts nothing, and changes nothing."""

import asyncio

from rich.text import Text

from gateway.app.installation import load_policy_files
from gateway.cli.console import err, explained, fail, out, settings_or_exit
from gateway.core.clock import SystemClock
from gateway.limits.redis.connect import connect
from gateway.limits.redis.findings import Finding, Severity
from gateway.limits.redis.fitness import PATIENCE, unfit
from gateway.settings import Settings


def check() -> None:
    """Check settings, policy files and the Redis, and name every mistake at once, with file and line."""
    settings = settings_or_exit()
    with explained(settings):
        policies = load_policy_files(settings)
        teams = len(policies.teams)
        models = len(policies.catalogue.models)
        out.print(
            f"[green]✓[/] settings and policies are good: {teams} teams, {models} models, "
            f"version {policies.version}"
        )
        if settings.redis_url:
            _tell(asyncio.run(_looked_at_redis(settings)))


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


def _tell(findings: list[Finding]) -> None:
    for finding in findings:
        if finding.severity is Severity.WARN:
            err.print(Text.assemble(("! ", "bold yellow"), finding.sentence))
    refusals = [finding.sentence for finding in findings if finding.severity is Severity.REFUSE]
    if refusals:
        fail(refusals)
    if not findings:
        out.print("[green]✓[/] the Redis is good")
