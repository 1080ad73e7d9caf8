"""Facts about `gateway/wire/tokens.py`. The counts for cl100k_base are those in OpenAI's cookbook."""

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.tokens import MEDIA_TOKENS, Tokenizer, at_most, roughly

TOKENIZER = Tokenizer()
PICTURE = base64.b64encode(random.Random(1).randbytes(1_000_000)).decode()
PROSE = "It is a truth universally acknowledged, that a single man in possession of a good fortune… 漢字 "


@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        ("", 0, 0),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 8, 9),
    ],
)
def test_text_is_counted_in_the_models_own_vocabulary(text: str, o200k: int, cl100k: int) -> None:
    assert TOKENIZER.count(text, "o200k_base") == o200k
    assert TOKENIZER.count(text, "cl100k_base") == cl100k


@settings(deadline=None)
@given(st.text("aé漢😀 \n1,.", max_size=40))
def test_no_text_has_more_tokens_than_the_bound(text: str) -> None:
    assert TOKENIZER.count(text, "o200k_base") <= at_most([text])
    assert TOKENIZER.count(text, "no such encoding") <= at_most([text])


def test_the_total_is_the_sum_of_the_texts() -> None:
    texts = ["tiktoken is great!", "", "2 + 2 = 4"]
    assert TOKENIZER.total(texts, "o200k_base") == 13


@settings(deadline=None)
@given(st.lists(st.text("aé漢😀 \n1,.", max_size=40), max_size=5))
def test_no_texts_have_more_tokens_than_the_most(texts: list[str]) -> None:
    assert TOKENIZER.most(texts, "o200k_base") == TOKENIZER.total(texts, "o200k_base")
    assert TOKENIZER.most(texts, "no such encoding") == at_most(texts)


def test_for_the_most_what_looks_like_media_is_text() -> None:
    text = "deadbeef" * 1000
    assert TOKENIZER.most([text], "o200k_base") > TOKENIZER.count(text, "o200k_base") == MEDIA_TOKENS


def test_the_most_of_what_takes_too_long_to_count_is_its_bytes() -> None:
    short = Tokenizer(exact=1000)
    assert short.most(["é" * 1000], "o200k_base") == 2000
    assert short.most(["é"] * 100, "o200k_base") == 200
    assert short.most(["word " * 190], "o200k_base") < 200


def test_a_vocabulary_can_be_loaded_ahead_of_time() -> None:
    assert Tokenizer().load("o200k_base")


def test_an_unknown_encoding_is_said_to_be_unknown() -> None:
    assert not Tokenizer().load("no such encoding")


@pytest.mark.parametrize("text", [PROSE * 10, "漢字仮名交じり文" * 10, "def f(x):\n    return x + 1\n" * 10])
def test_in_an_unknown_encoding_text_is_estimated_rather_too_high(text: str) -> None:
    estimate, counted = TOKENIZER.count(text, "no such encoding"), TOKENIZER.count(text, "o200k_base")
    assert 0.8 * counted <= estimate <= 2 * counted


@pytest.mark.parametrize("pieces", [1, 300])
def test_input_that_is_too_long_to_count_is_sampled(pieces: int) -> None:
    texts = [PROSE * (3000 // pieces)] * pieces
    exact = Tokenizer(exact=10**9).total(texts, "o200k_base")
    sampled = Tokenizer(exact=20_000).total(texts, "o200k_base")
    assert sampled == pytest.approx(exact, rel=0.05)
    assert sampled != exact


def test_a_sample_sees_all_parts_of_a_long_text() -> None:
    text = "hello " * 30_000 + "漢字" * 45_000
    exact = Tokenizer(exact=10**9).count(text, "o200k_base")
    assert Tokenizer(exact=20_000).count(text, "o200k_base") == pytest.approx(exact, rel=0.05)


def test_very_many_short_texts_are_sampled_too() -> None:
    assert Tokenizer(exact=20_000).total(["a"] * 10_000, "o200k_base") < 10_000


@pytest.mark.parametrize("picture", [PICTURE, f"data:image/png;base64,{PICTURE}"])
@pytest.mark.parametrize("encoding", ["o200k_base", "no such encoding"])
def test_media_in_base64_has_a_flat_count(picture: str, encoding: str) -> None:
    assert TOKENIZER.total(["hello", picture], encoding) == TOKENIZER.count("hello", encoding) + MEDIA_TOKENS
    assert roughly(["hell", picture]) == 1 + MEDIA_TOKENS


@pytest.mark.parametrize(
    "text", ["data: " + PROSE * 100, PICTURE[:5000] + PROSE * 100, PROSE * 100 + PICTURE, PICTURE[:4000]]
)
def test_text_that_only_looks_like_media_at_one_end_is_text(text: str) -> None:
    assert TOKENIZER.count(text, "o200k_base") > MEDIA_TOKENS
    assert roughly([text]) == (len(text) + 3) // 4


def test_the_bound_is_the_number_of_bytes() -> None:
    assert at_most(["abc", "é", "漢", "😀", ""]) == 3 + 2 + 3 + 4


def test_roughly_four_characters_are_a_token() -> None:
    assert roughly(["", "a", "abcd", "abcde"]) == 0 + 1 + 1 + 2
