"""How the command speaks: results on standard output, everything said about them on standard error."""

import sys
from collections.abc import Iterable
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from gateway.settings import Settings, SettingsError, load_settings

_PIPED_WIDTH: Final = 200

out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def say(sentence: str) -> None:
    """Tell the person something that is not the result."""
    err.print(sentence)


def fail(sentences: Iterable[str]) -> NoReturn:
    """Say what is wrong, a line each, and end with status 1."""
    for sentence in sentences:
        err.print(Text.assemble(("✗ ", "bold red"), sentence))
    raise typer.Exit(1)


def settings_or_exit() -> Settings:
    """The settings; when they are wrong, every mistake is told and the command ends."""
    try:
        return load_settings()
    except SettingsError as error:
        fail(error.problems)
