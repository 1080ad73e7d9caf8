"""The `gateway` command and its parts."""

import typer

from gateway import __version__
from gateway.cli import check, keys, limits, policies, serve, simulate, usage
from gateway.cli.console import out

command = typer.Typer(
    name="gateway",
    help="The gateway between your apps and the OpenAI API: keys, limits, filters, metering.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
command.command("serve")(serve.serve)
command.command("check")(check.check)
command.add_typer(keys.command, name="keys")
command.command("usage")(usage.usage)
command.add_typer(limits.command, name="limits")
command.add_typer(policies.command, name="policies")
command.command("simulate")(simulate.simulate)


@command.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def run() -> None:
    """The entry point."""
    command()
