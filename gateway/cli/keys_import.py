"""`gateway keys import`: keys that clients have already, by the SHA-256 of each. What is here already is let
be: so a long file that was cut short is simply brought in once more.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from gateway.auth.interfaces import KeyRefused, NameTaken
from gateway.auth.keys.checks import NewKey
from gateway.auth.keys.desk import KeyDesk
from gateway.auth.keys.imported import AlreadyImported, checked_fingerprint
from gateway.cli.console import fail
from gateway.cli.progress import advancing
from gateway.core.actor import Actor

MOST: Final = 100_000
"""Lines of a file."""
_MOST_TOLD: Final = 20
"""Mistakes of a file."""


class Hash(NamedTuple):
    """A key as its line says it."""

    line: int
    sha256: str
    name: str


@dataclass(slots=True)
class Imported:
    """What became of a file."""

    made: list[tuple[str, str]] = field(default_factory=list)
    """Ids and names."""
    there: int = 0
    """Keys that were here already."""
    mistakes: list[str] = field(default_factory=list)


def read_hashes(file: Path) -> Sequence[Hash]:
    """`sha256,name` a line; of `-`, standard input. Ends the command with status 1, all mistakes told, when
    there are any."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail([f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}."])
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not 0 < len(lines) <= MOST:
        fail([f"{file} should have from 1 to {MOST:,} lines, `sha256,name` each."])
    hashes = [_hash(number, line) for number, line in lines]
    if mistakes := list(_mistakes(hashes)):
        fail([*told(mistakes), "Nothing was brought in."])
    return hashes


async def bring_all_in(desk: KeyDesk, hashes: Sequence[Hash], new: NewKey, by: Actor) -> Imported:
    """One after the other. `new`: how they are to be, but for their names."""
    imported = Imported()
    with advancing("Bringing keys in", unit="keys", total=len(hashes)) as advance:
        for number, sha256, name in hashes:
            try:
                key = await desk.bring_in(replace(new, name=name), sha256, by)
                imported.made.append((key.id, name))
            except AlreadyImported:
                imported.there += 1
            except (KeyRefused, NameTaken) as error:
                imported.mistakes.append(f"line {number}: {error}")
            advance(1)
    return imported


def told(mistakes: Sequence[str]) -> Iterator[str]:
    """As many as somebody reads."""
    yield from mistakes[:_MOST_TOLD]
    if len(mistakes) > _MOST_TOLD:
        yield f"… and {len(mistakes) - _MOST_TOLD:,} more."


def _hash(number: int, line: str) -> Hash:
    sha256, _, name = line.partition(",")
    return Hash(number, sha256.strip().lower(), name.strip())


def _mistakes(hashes: Sequence[Hash]) -> Iterator[str]:
    """What can be told without the database."""
    first: dict[str, int] = {}
    for number, sha256, name in hashes:
        try:
            checked_fingerprint(sha256)
        except KeyRefused as error:
            yield f"line {number}: {error}"
        if not name:
            yield f"line {number}: there is no name after the hash: `sha256,name`."
        for what, value in (("hash", sha256), ("name", name)):
            if value and first.setdefault(value, number) != number:
                yield f"line {number}: has the {what} of line {first[value]}."
