"""Facts about `gateway/policies/document.py`."""

import pytest

from gateway.wire.document import DEEPEST, read_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("on", "on"),
        ("no", "no"),
        ("true", True),
        ("False", "False"),
        ("~", None),
        ("null", None),
        ("200_000", 200_000),
        ("-3", -3),
        ("2.50", 2.5),
        ("0o17", "0o17"),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("12:30:00", "12:30:00"),
        ("2027-01-14", "2027-01-14"),
        ('"5"', "5"),
        ("'true'", "true"),
        ("1" * 19, "1" * 19),
        ("[a, {b: 1}]", ["a", {"b": 1}]),
    ],
)
def test_a_plain_scalar_means_what_it_looks_like(text: str, value: object) -> None:
    assert read_document(f"key: {text}".encode()).value == {"key": value}


def test_every_key_and_item_knows_its_line() -> None:
    document = read_document(b"a:\n  b:\n    - c\n    - d\n")

    assert document.lines == {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1): 4}


def test_an_empty_file_has_no_value_and_no_mistake() -> None:
    document = read_document(b"# nothing but a comment\n")

    assert (document.value, document.mistakes) == (None, [])


def test_a_byte_order_mark_is_skipped() -> None:
    assert read_document(b"\xef\xbb\xbfa: 1").value == {"a": 1}


def test_of_two_equal_keys_the_first_counts_and_the_second_is_a_mistake() -> None:
    document = read_document(b"a: 1\nb: {c: 1, c: 2}\na: {x: 1, x: 2}\n")

    assert document.value == {"a": 1, "b": {"c": 1}}
    assert [(mistake.line, mistake.path) for mistake in document.mistakes] == [
        (2, ("b", "c")),
        (3, ("a",)),
        (3, ("a", "", "x")),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"a: &x 1\nb: *x", 2, "anchors and aliases"),
        (b"&x [*x]", 1, "anchors and aliases"),
        (b"a: !!python/object/apply:os.system [ls]", 1, "tags"),
        (b"a: 1\n--- \nb: 2", 2, "a second document"),
        (b"a: 1\n? [b]\n: 2", 2, "a key must be a word"),
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        (b"a: \x07", 0, "control characters"),
        (b"a: [1\nb: 2", 2, "not YAML"),
        (b"\t", 1, "not YAML"),
    ],
)
def test_what_a_person_could_misread_is_a_mistake(text: bytes, line: int, message: str) -> None:
    mistake = read_document(text).mistakes[0]

    assert mistake.line == line
    assert message in mistake.message


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_a_file_of_brackets_is_refused_without_overflowing_any_stack(opening: bytes) -> None:
    assert read_document(opening * 100_000).mistakes


def test_nesting_is_read_down_to_the_bound() -> None:
    def nested(depth: int) -> bytes:
        return b"[" * depth + b"]" * depth

    assert not read_document(nested(DEEPEST + 1)).mistakes
    assert "nested too deeply" in read_document(nested(DEEPEST + 2)).mistakes[0].message


def test_a_mistake_is_placed_at_the_steps_that_stand_in_the_file() -> None:
    document = read_document(b"a:\n  b: 1\n")

    mistake = document.mistake(("a", "(a tag of pydantic)", "b", "missing"), "wrong")

    assert (mistake.line, mistake.path) == (2, ("a", "b"))
