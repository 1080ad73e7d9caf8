"""`gateway check`: are the settings and the policy files right? Starts nothing and connects to nothing."""

from gateway.cli.console import fail, out, settings_or_exit
from gateway.policies.loader import PolicyProblems, load_policies


def check() -> None:
    """Check settings and policy files, and name every mistake at once, with file and line."""
    settings = settings_or_exit()
    try:
        policies = load_policies(settings.policies_dir, upstreams=frozenset(settings.all_upstreams))
    except PolicyProblems as error:
        fail(str(problem) for problem in error.problems)
    teams = len(policies.teams)
    models = len(policies.catalogue.models)
    out.print(
        f"[green]✓[/] settings and policies are good: {teams} teams, {models} models, version {policies.version}"
    )
