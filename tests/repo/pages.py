"""The project's pages in Markdown, as the tests in this folder read them. Judges nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.repo.tree import ROOT, files, name_of

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE: Final = re.compile(r"`[^`\n]+`")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING: Final = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_ELSEWHERE: Final = re.compile(r"[a-z]+:")
_CELL: Final = re.compile(r"(?<!\\)\|")


class Block(NamedTuple):
    """A block of code."""

    language: str
    text: str


def pages() -> dict[str, str]:
    """The text of every Markdown file of the project, by name."""
    return {name_of(path): path.read_text(encoding="utf-8") for path in files() if path.suffix == ".md"}


def page(name: str) -> str:
    """The text of one page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[Block]:
    """Blocks of code in these languages; all blocks when none is named."""
    found = [Block(match[1], match[2]) for match in _FENCE.finditer(text)]
    return [block for block in found if not languages or block.language in languages]


def prose(text: str) -> str:
    """The page without its blocks of code."""
    return _FENCE.sub("", text)


def rows(text: str) -> list[list[str]]:
    """The cells of every table's rows, heads among them."""
    lines = [line.strip() for line in prose(text).splitlines()]
    tables = [line for line in lines if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in _CELL.split(line)[1:-1]] for line in tables]


def names_in(text: str) -> set[str]:
    """Everything that stands between backticks."""
    return {code.strip("`") for code in _CODE.findall(text)}


def links(text: str) -> Iterator[str]:
    """Targets of links into the project: `errors.md`, `policies.md#limits`, `#modes`."""
    found = _LINK.findall(_CODE.sub("", prose(text)))
    return (target for target in found if not _ELSEWHERE.match(target))


def anchors(text: str) -> set[str]:
    """What links can name after `#`: headings in lower case, with hyphens for spaces and without signs."""
    headings = _HEADING.findall(prose(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def target_of(file: str, link: str) -> tuple[Path, str]:
    """Where a link that stands in a file leads: a path, and what follows `#`."""
    path, _, anchor = link.partition("#")
    start = ROOT / file
    return ((start.parent / path).resolve() if path else start), anchor
