"""The `gateway` command and its parts."""

import typer

from gateway import __version__
from gateway.cli import (
    audit,
    chargeback,
    check,
    explain,
    keys,
    ledger,
    ledger_upkeep,
    limits,
    months,
    policies,
    prices,
    reconcile,
    rerate,
    revoke,
    serve,
    simulate,
    usage,
)
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
command.add_typer(revoke.command, name="revoke")
command.add_typer(limits.command, name="limits")
command.command("explain")(explain.explain)
command.add_typer(policies.command, name="policies")
prices.command.command("rerate")(rerate.rerate)
command.add_typer(prices.command, name="prices")
command.command("usage")(usage.usage)
ledger.command.command("prune")(ledger_upkeep.prune)
ledger.command.command("erase")(ledger_upkeep.erase)
command.add_typer(ledger.command, name="ledger")
command.add_typer(months.command, name="months")
command.command("chargeback")(chargeback.chargeback)
command.command("reconcile")(reconcile.reconcile)
command.add_typer(audit.command, name="audit")
command.command("simulate")(simulate.simulate)


@command.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def run() -> None:
    """The entry point."""
    command()
