"""`gateway policies`: help for people who write policy files."""

import sys

import msgspec
import typer

from gateway.policies.schema import json_schema

command = typer.Typer(help="Help for writing policy files.", no_args_is_help=True)


@command.callback()
def policies() -> None:
    """Help for writing policy files."""


@command.command()
def schema() -> None:
    """Print the JSON Schema of the policy files, for editors."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n")
