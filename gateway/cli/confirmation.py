"""Asking before what cannot be undone."""

import sys

import typer

from gateway.cli.console import fail


def confirmed(question: str, *, yes: bool) -> None:
    """Returns when the answer is yes, or was given beforehand with `--yes`; else ends the command with status
    1. Where nobody can be asked, the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail([f"{question} Nobody is here to be asked: add --yes to do it."])
    if not typer.confirm(question, err=True):
        fail(["Nothing was changed."])
