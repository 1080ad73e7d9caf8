from typing import Any

import pytest

from gateway.simulator.pretend import Wish, speak, usage_of

WEATHER = {"get_weather": {"properties": {"city": {"type": "string"}}}}


def wish(**changes: Any) -> Wish:
    return Wish(**{"model": "gpt-4o", "contents": ["Hello"], "asks": "Hello"} | changes)


def test_the_same_wish_gets_the_same_answer() -> None:
    assert speak(wish()) == speak(wish())


@pytest.mark.parametrize("changes", [{"model": "gpt-4.1"}, {"contents": ["Hullo"]}])
def test_another_wish_gets_another_answer(changes: dict[str, Any]) -> None:
    assert speak(wish(**changes)) != speak(wish())


def test_each_choice_differs() -> None:
    assert speak(wish(), 0).text != speak(wish(), 1).text


def test_too_few_tokens_end_an_answer_for_length() -> None:
    said = speak(wish(most_tokens=5))

    assert (len(said.tokens), said.finish) == (5, "length")


@pytest.mark.parametrize(
    ("changes", "called"),
    [
        ({"asks": "What is the weather in Oslo?"}, "get_weather"),
        ({"tool_choice": "required"}, "get_weather"),
        ({"tool_choice": "get_weather"}, "get_weather"),
        ({"asks": "weather", "tool_choice": "none"}, None),
        ({"asks": "Hello"}, None),
        ({"asks": ""}, None),
    ],
)
def test_a_function_is_called_when_forced_or_when_the_prompt_asks(
    changes: dict[str, Any], called: str | None
) -> None:
    assert speak(wish(tools=WEATHER, **changes)).call == called


@pytest.mark.parametrize(("model", "hidden"), [("o3", 16), ("gpt-5.4", 16), ("gpt-4o", 0)])
def test_reasoning_models_report_hidden_tokens(model: str, hidden: int) -> None:
    said = speak(wish(model=model))

    assert said.reasoning_tokens == hidden
    assert said.completion_tokens == hidden + len(said.tokens)


def test_reasoning_eats_up_a_small_allowance() -> None:
    said = speak(wish(model="o3", most_tokens=10))

    assert (said.text, said.reasoning_tokens, said.finish) == ("", 10, "length")


def test_prompts_count_three_tokens_a_message_and_three_more() -> None:
    assert wish(contents=["Hello there", "Hi"]).prompt_tokens == 3 + (3 + 2) + (3 + 1)


def test_a_picture_counts_85_tokens() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}

    assert wish(contents=[[picture]]).prompt_tokens - wish(contents=[[]]).prompt_tokens == 85


@pytest.mark.parametrize(("words", "cached"), [(1000, 0), (2000, 1024)])
def test_of_a_long_prompt_1024_tokens_come_from_the_cache(words: int, cached: int) -> None:
    assert usage_of(wish(contents=[" word" * words]), []).cached_tokens == cached
