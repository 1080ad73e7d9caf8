"""Words that may not stand in the project, or in one place only: of any file, and names in Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.repo.tree import ROOT, files, modules, name_of


class Words(NamedTuple):
    """Text that no file of the project holds."""

    why: str
    pattern: str


class Name(NamedTuple):
    """A name (or its dotted end) that Python below `within` uses only in files that begin with `only_in`."""

    why: str
    name: str
    within: str
    only_in: tuple[str, ...] = ()


WORDS: Final = [
    Words("a path of one machine means nothing on another", r"(?<![\w.~/})-])/(?:work|root|home|Users|tmp)/"),
    Words(
        "where packages come from is the machine's choice",
        r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com))",
    ),
    Words("nor is an index to be written down", r"--(?:extra-)?index-url\b"),
    Words("an ignored type error says which", r"#\s*type:\s*ignore(?!\[)"),
    Words("work left over is an issue, not a comment", r"\b(?:TODO|FIXME|XXX)\b"),
]

NAMES: Final = [
    Name("tasks are made in one file", "create_task", "gateway/", ("gateway/background.py",)),
    Name("tasks are made in one file", "ensure_future", "gateway/", ("gateway/background.py",)),
    Name("what is said is logged; only the command line prints", "print", "gateway/", ("gateway/cli/",)),
    Name("the loop never sleeps, nor do tests", "time.sleep", ""),
    Name("the environment is read in one file", "os.environ", "gateway/", ("gateway/settings/reading.py",)),
    Name("the environment is read in one file", "os.getenv", "gateway/", ("gateway/settings/reading.py",)),
    Name("no suite is skipped", "pytest.skip", "tests/"),
    Name("no suite is skipped", "pytest.importorskip", "tests/"),
    Name("no suite is skipped", "pytest.mark.skip", "tests/"),
    Name("no suite is skipped", "pytest.mark.skipif", "tests/"),
    Name("a wrong test is mended", "pytest.mark.xfail", "tests/"),
    Name("our own memory stores stand in, not mocks", "unittest.mock", "tests/"),
]

_BINARY: Final = {".png", ".ico", ".gif", ".woff2", ".gz", ".db"}
_THIS: Final = name_of(Path(__file__))


def words_in(text: str) -> Iterator[tuple[int, Words]]:
    """Line and rule for each word that may not stand there."""
    for rule in WORDS:
        for found in re.finditer(rule.pattern, text):
            yield text.count("\n", 0, found.start()) + 1, rule


def dotted(node: ast.expr) -> str:
    """`os.environ` for the attribute, `print` for the name; `x().y` is `.y`."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case _:
            return ""


def names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is used or imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute() | ast.Name():
                yield node.lineno, dotted(node)
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)


def names_out_of_place(file: str, tree: ast.Module) -> Iterator[str]:
    """One sentence for each name that stands where it may not."""
    rules = [
        rule for rule in NAMES if file.startswith(rule.within) and not file.startswith(rule.only_in or "\0")
    ]
    for line, used in names_in(tree):
        for rule in rules:
            if used == rule.name or used.endswith(f".{rule.name}"):
                yield f"{file}:{line} {used}: {rule.why}"


def test_no_file_holds_a_forbidden_word() -> None:
    texts = {name_of(path): path for path in files() if path.suffix not in _BINARY}
    assert [
        f"{file}:{line} {rule.why}"
        for file, path in texts.items()
        if file != _THIS
        for line, rule in words_in(path.read_text(encoding="utf-8"))
    ] == []


def test_names_stand_where_they_may() -> None:
    trees = modules(ROOT / "gateway") | modules(ROOT / "tests")
    assert [found for file, tree in trees.items() for found in names_out_of_place(file, tree)] == []


@pytest.mark.parametrize(
    "text",
    [
        "cd /home/someone/gateway",
        'open("/tmp/x")',
        "https://pypi.org/simple",
        "pip install --index-url x",
        "x = y  # type: ignore",
        "# TODO: later",
    ],
)
def test_a_forbidden_word_is_found(text: str) -> None:
    assert list(words_in(text))


@pytest.mark.parametrize(
    "text",
    ["docs/home/index.md", "x = y  # type: ignore[arg-type]", "GET /v1/work/", "{base}/tmp/", "a todo list"],
)
def test_a_harmless_word_is_let_be(text: str) -> None:
    assert list(words_in(text)) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("gateway/server/proxy.py", "asyncio.get_running_loop().create_task(work())"),
        ("gateway/server/proxy.py", "from asyncio import create_task"),
        ("gateway/server/proxy.py", "print(1)"),
        ("gateway/limits/redis/limiter.py", "from os import environ"),
        ("gateway/limits/redis/limiter.py", "os.environ['X']"),
        ("tests/unit/test_app.py", "time.sleep(1)"),
        ("tests/unit/test_app.py", "from unittest import mock"),
        ("tests/unit/test_app.py", "@pytest.mark.skipif(True)\ndef test(): pass"),
    ],
)
def test_a_name_out_of_place_is_found(file: str, source: str) -> None:
    assert list(names_out_of_place(file, ast.parse(source)))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("gateway/background.py", "loop.create_task(work())"),
        ("gateway/cli/main.py", "print(1)"),
        ("gateway/settings/reading.py", "os.environ['X']"),
        ("gateway/core/call.py", "self.fingerprint(1)"),
    ],
)
def test_a_name_in_its_place_is_let_be(file: str, source: str) -> None:
    assert list(names_out_of_place(file, ast.parse(source))) == []
