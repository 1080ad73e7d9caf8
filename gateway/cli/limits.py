"""`gateway limits`: what is left, and who holds it. The running gateway tells, on its operators' port."""

from typing import Annotated

import typer

from gateway.cli.asking import Question, ask
from gateway.cli.console import settings_or_exit
from gateway.cli.limits_table import print_limits
from gateway.limits.left import TeamLimits

command = typer.Typer(help="What is left of limits and budgets.", no_args_is_help=True)


@command.callback()
def limits() -> None:
    """What is left of limits and budgets."""


@command.command()
def show(
    team: Annotated[str, typer.Option(help="Whose limits.")],
    key: Annotated[
        str | None, typer.Option(help="Only what counts a call by this key: its id or its name.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only what counts a call of this user.")] = None,
    model: Annotated[str | None, typer.Option(help="Only what counts a call to this model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answer as it is.")] = False,
) -> None:
    """Show what is left of a team's limits and budgets, and who holds it. Asks the running gateway."""
    given = {"team": team, "key": key, "user": user, "model": model}
    query = {name: value for name, value in given.items() if value}
    ask(settings_or_exit(), Question("/admin/limits", query), TeamLimits, print_limits, as_json=as_json)
