"""`gateway policies`: help for people who write policy files."""

import msgspec
import typer

from gateway.cli.output import print_json
from gateway.policies.schema import json_schema

command = typer.Typer(help="Help for writing policy files.", no_args_is_help=True)


@command.callback()
def policies() -> None:
    """Help for writing policy files."""


@command.command()
def schema() -> None:
    """Print the JSON Schema of the policy files, for editors."""
    print_json(msgspec.json.encode(json_schema()))
