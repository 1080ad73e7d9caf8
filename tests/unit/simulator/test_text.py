import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.text import count, pictures, sentences, texts, tokens


@given(st.text())
def test_the_tokens_of_a_text_joined_are_that_text(text: str) -> None:
    assert "".join(tokens(text)) == text


@given(st.text(), st.integers(1, 200))
def test_pretended_prose_counts_as_many_tokens_as_asked_for(seed: str, length: int) -> None:
    prose = sentences(seed, length)

    assert len(prose) == length
    assert tokens("".join(prose)) == list(prose)


def test_the_same_seed_gives_the_same_prose() -> None:
    assert sentences("a", 20) == sentences("a", 20) != sentences("b", 20)


@pytest.mark.parametrize(
    ("text", "number"), [("", 0), ("Hello, world!", 4), ("internationally", 2), ("a  b", 3), ("日本語", 1)]
)
def test_a_token_is_up_to_eight_letters_or_four_signs(text: str, number: int) -> None:
    assert count(text) == number


@pytest.mark.parametrize(
    ("content", "said", "seen"),
    [
        ("hi", ["hi"], 0),
        (["a", "b"], ["a", "b"], 0),
        ([{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}], ["hi"], 1),
        (None, [], 0),
        (7, [], 0),
    ],
)
def test_content_of_any_shape_is_told_apart_into_texts_and_pictures(
    content: object, said: list[str], seen: int
) -> None:
    assert (texts(content), pictures(content)) == (said, seen)
