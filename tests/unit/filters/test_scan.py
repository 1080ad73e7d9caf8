"""Facts about `gateway/filters/scan.py`."""

import base64
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters import scan
from gateway.filters.scan import LONGEST_BLOB, Scanner


def found(patterns: Sequence[str], *texts: str) -> list[int]:
    return Scanner(patterns).scan(texts)


def test_every_pattern_that_occurs_is_found() -> None:
    assert found(["one", "two", "three"], "two and one", "nothing") == [0, 1]


def test_a_text_without_any_is_clean() -> None:
    assert found(["one"], "two", "") == []


def test_no_text_at_all_is_clean() -> None:
    assert found(["one"]) == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"begin(?s:.*)end",
        r"begin[^x]*end",
        r"begin\W*end",
        r"begin\s*end",
        r"begin\pC*end",
        r"begin[\x00-\x{10FFFF}]*end",
        r"begin(?:\s|\S)+end",
        r"begin\n[^a]{1,5}\nend",
    ],
)
def test_no_pattern_begins_in_one_text_and_ends_in_another(pattern: str) -> None:
    assert found([pattern], "begin", "end") == []
    assert found(["begin.{0,9}end"], "begin -- end") == [0]


@pytest.mark.parametrize(
    ("pattern", "matches"), [("^two$", True), ("^two", True), ("wo$", True), ("^wo", False)]
)
def test_anchors_stand_at_the_ends_of_every_text(pattern: str, matches: bool) -> None:
    assert bool(found([pattern], "one", "two", "three")) is matches


def test_a_word_boundary_stands_at_the_ends_of_every_text() -> None:
    assert found([r"\btwo\b"], "one", "two", "three") == [0]


def test_letters_of_all_scripts_are_matched_as_letters() -> None:
    assert found([r"(?i)größe", r"秘.", r"^\pL+$"], "GRÖSSE Größe", "秘密") == [0, 1, 2]


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "data:text/plain;charset=utf-8;base64,"])
def test_long_base64_is_not_scanned(prefix: str) -> None:
    blob = prefix + "abcd" + base64.b64encode(bytes(LONGEST_BLOB)).decode()

    assert found(["abcd"], blob) == []


def test_short_base64_is_scanned() -> None:
    assert found(["abcd"], "data:image/png;base64,abcd") == [0]


@pytest.mark.parametrize("place", ["data:,", "data:image/png;base64,"])
@pytest.mark.parametrize("words", ["a secret", "a-secret!", "ä"])
def test_text_that_only_pretends_to_be_base64_is_scanned(place: str, words: str) -> None:
    padding = "A" * LONGEST_BLOB

    assert found([words], f"{place}{padding}{words}{padding}") == [0]


def test_long_prose_is_scanned() -> None:
    assert found(["needle"], "hay " * LONGEST_BLOB + "needle") == [0]


class Silent:
    """An RE2 set that has given up: it finds not even the pattern that always matches."""

    def Match(self, text: bytes) -> None:  # noqa: N802 - RE2's name
        return None


def test_when_the_engine_gives_up_everything_counts_as_found() -> None:
    scanner = Scanner(["one", "two"])
    scanner._sets = [(0, 2, Silent())]

    assert scanner.scan(["nothing"]) == [0, 1]


def test_patterns_that_are_too_large_together_are_scanned_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SET_MEMORY", 8 << 20)
    patterns = [rf"{letter}\pL{{50}}0" for letter in "abcdefgh"]

    scanner = Scanner(patterns)

    assert len(scanner._sets) > 1
    assert scanner.scan(["h" * 51 + "0", "c" * 51 + "0"]) == [2, 7]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(words, max_size=6),
    st.lists(st.sampled_from(["a", "b", "0", " ", "\n", "é"]), min_size=1, max_size=4),
)
def test_a_plain_word_is_found_exactly_where_it_occurs(texts: list[str], letters: list[str]) -> None:
    word = f"x{''.join(letters)}x"

    assert bool(found([f"\\Q{word}\\E"], *texts, word, *letters)) is True
    assert bool(found([f"\\Q{word}\\E"], *texts, *word)) is any(word in text for text in texts)
