"""`gateway reconcile` in this process, beside a house that runs."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import typer
from typer.testing import CliRunner, Result

from gateway.cli.reconcile import reconcile

_command = typer.Typer()
_command.command()(reconcile)


def reconciled(*words: str, environment: Mapping[str, str]) -> Result:
    """The command, with these words."""
    return CliRunner().invoke(_command, list(words), env=dict(environment))


async def reconciled_beside(*words: str, environment: Mapping[str, str]) -> Result:
    """The same in a thread of its own: what it asks runs in this one."""
    return await asyncio.to_thread(reconciled, *words, environment=environment)


def records(printed: Result) -> dict[str, dict[str, Any]]:
    """By model, of what was printed as JSON lines."""
    return {
        record["model"]: record
        for record in (msgspec.json.decode(line) for line in printed.stdout.splitlines())
    }
