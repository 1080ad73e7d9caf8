"""The pages as such: links lead somewhere, no page is lost, blocks of code are well formed."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from tests.repo.pages import anchors, blocks, links, pages, prose, rows, target_of
from tests.repo.tree import ROOT, name_of


def broken(file: str, text: str) -> Iterator[str]:
    """One sentence for each link that leads nowhere."""
    for link in links(text):
        path, anchor = target_of(file, link)
        if not path.exists():
            yield f"{file}: there is no {link}"
        elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
            yield f"{file}: {link} names no heading there"


def test_every_link_leads_somewhere() -> None:
    assert [sentence for file, text in pages().items() for sentence in broken(file, text)] == []


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    every = pages()
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        file = waiting.pop()
        if file in every and file not in reached:
            reached.add(file)
            waiting += [
                name_of(path)
                for link in links(every[file])
                if (path := target_of(file, link)[0]).is_relative_to(ROOT)
            ]
    wanted = {name for name in every if name.startswith("docs/") or "/" not in name}
    assert sorted(wanted - reached) == []


def test_the_index_of_decisions_has_them_all_in_order_by_their_titles() -> None:
    texts = {
        name.removeprefix("docs/decisions/"): text for name, text in pages().items() if "/decisions/" in name
    }
    index = texts.pop("README.md")
    wanted = [
        [f"[{name[:4]}]({name})", text.partition("\n")[0].removeprefix(f"# {name[:4]}: ")]
        for name, text in sorted(texts.items())
    ]
    assert rows(index)[1:] == wanted
    assert [name[:4] for name in sorted(texts)] == [f"{number:04}" for number in range(1, len(texts) + 1)]


def test_every_page_says_whom_it_is_for() -> None:
    guides = {name: text for name, text in pages().items() if re.fullmatch(r"docs/[a-z]+\.md", name)}
    assert [
        name for name, text in guides.items() if not text.split("\n\n")[1].startswith("For whoever ")
    ] == []


def complaint(language: str, text: str) -> str:
    """What is wrong with a block of code; empty when nothing is."""
    if language == "console":
        lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        language, text = "sh", "\n".join(lines)
    try:
        match language:
            case "sh":
                checked = subprocess.run(
                    ["bash", "-n"], input=text, text=True, capture_output=True, check=False
                )
                return checked.stderr
            case "python":
                ast.parse(text)
            case "json":
                json.loads(text)
    except ValueError as error:
        return str(error)
    except SyntaxError as error:
        return str(error)
    return ""


BLOCKS: Final = [
    pytest.param(block.language, block.text, id=f"{file}-{number}")
    for file, text in pages().items()
    for number, block in enumerate(blocks(text, "sh", "console", "python", "json"), 1)
]


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_a_block_of_code_is_well_formed(language: str, text: str) -> None:
    assert complaint(language, text) == ""


def test_every_block_says_its_language() -> None:
    assert [file for file, text in pages().items() for block in blocks(text) if not block.language] == []


@pytest.mark.parametrize("link", ["nowhere.md", "errors.md#nowhere", "#nowhere"])
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert len(list(broken("docs/README.md", f"# Here\n\n[x]({link})"))) == 1


@pytest.mark.parametrize(
    ("language", "text"),
    [("sh", "echo 'x"), ("console", "$ if true\nanswer"), ("python", "for x in"), ("json", "{")],
)
def test_a_malformed_block_is_found(language: str, text: str) -> None:
    assert complaint(language, text)


def test_links_in_code_are_none() -> None:
    assert list(links("`[a](b)` and\n```text\n[c](d)\n```\n[e](f)")) == ["f"]
    assert prose("a\n```sh\nb\n```\nc") == "a\n\nc"
