"""How the command speaks: results on standard output, everything said about them on standard error."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from gateway.core.errors import StoreUnavailable
from gateway.policies.problems import BrokenPolicies
from gateway.settings.reading import SettingsError, load_settings
from gateway.settings.tree import Settings

_PIPED_WIDTH: Final = 200

out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def say(sentence: str) -> None:
    """Tell the person something that is not the result. In brackets stands how it looks: escape names."""
    err.print(sentence)


def fail(sentences: Iterable[str]) -> NoReturn:
    """Say what is wrong, a line each, and end with status 1."""
    for sentence in sentences:
        err.print(Text.assemble(("✗ ", "bold red"), sentence))
    raise typer.Exit(1)


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """What can be wrong with an installation, told a line each, and status 1."""
    try:
        yield
    except BrokenPolicies as error:
        fail(f"{settings.policies_dir}/{problem}" for problem in error.problems)
    except OSError as error:
        fail([f"{error.filename or 'cannot listen'}: {error.strerror or error}"])
    except (StoreUnavailable, ValueError) as error:
        fail([str(error)])


def settings_or_exit() -> Settings:
    """The settings; when they are wrong, every mistake is told and the command ends."""
    try:
        return load_settings()
    except SettingsError as error:
        fail(error.problems)
