"""What a call is expected to use."""

from typing import Any

import pytest

from gateway.core.call import Call
from gateway.core.endpoint import Dialect, Endpoint
from gateway.limits.estimate import TYPICAL_OUTPUT, output_tokens


def call(dialect: Dialect = Dialect.CHAT, texts: tuple[str, ...] = (), **members: Any) -> Call:
    endpoint = Endpoint("chat_completions", "POST", "/v1/chat/completions", "chat", dialect=dialect)
    return Call(endpoint, "application/json", b"", members, texts)


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({}, TYPICAL_OUTPUT),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20}, 20),
        ({"max_output_tokens": 30}, 30),
        ({"max_tokens": 10, "max_completion_tokens": 5}, 5),
        ({"max_tokens": 100_000}, TYPICAL_OUTPUT),
        ({"max_tokens": None}, TYPICAL_OUTPUT),
        ({"max_tokens": "many"}, TYPICAL_OUTPUT),
        ({"max_tokens": -1}, TYPICAL_OUTPUT),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 2}, 2 * TYPICAL_OUTPUT),
        ({"n": 2, "best_of": 5, "max_tokens": 1}, 5),
        ({"n": 0, "max_tokens": 1}, 1),
    ],
)
def test_output_is_what_is_typical_within_what_is_allowed_for_each_choice(
    members: dict[str, Any], tokens: int
) -> None:
    assert output_tokens(call(**members)) == tokens


def test_what_is_typical_can_be_told() -> None:
    assert output_tokens(call(), typical_output=1000) == 1000


@pytest.mark.parametrize("dialect", [Dialect.PLAIN, Dialect.AUDIO, Dialect.IMAGES])
def test_what_does_not_answer_in_text_has_no_output(dialect: Dialect) -> None:
    assert output_tokens(call(dialect)) == 0


def test_what_shaping_changed_counts() -> None:
    assert output_tokens(call(max_tokens=100).changed({"max_tokens": 8})) == 8
