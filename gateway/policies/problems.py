"""Mistakes in policy files, as values. All of them are told at once, each with its place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake, where it stands and what to do about it."""

    file: str
    """The file, relative to the policies' directory."""
    line: int
    """Counted from 1; 0 when it is about the file as a whole."""
    path: str
    """The place in the file's tree, `limits.team-tokens.every`; empty for the whole file."""
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class BrokenPolicies(Exception):
    """The policy files cannot be used. `problems` names every mistake, in the order of files and lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known: the one most like it, if any is."""
    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean `{found[0]}`?" if found else ""
