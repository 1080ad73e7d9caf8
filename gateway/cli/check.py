"""`gateway check`: are the settings and the policy files right? Starts nothing and connects to nothing."""

from gateway.app import load_policy_files
from gateway.cli.console import explained, out, settings_or_exit


def check() -> None:
    """Check settings and policy files, and name every mistake at once, with file and line."""
    settings = settings_or_exit()
    with explained(settings):
        policies = load_policy_files(settings)
    teams = len(policies.teams)
    models = len(policies.catalogue.models)
    out.print(
        f"[green]✓[/] settings and policies are good: {teams} teams, {models} models, "
        f"version {policies.version}"
    )
