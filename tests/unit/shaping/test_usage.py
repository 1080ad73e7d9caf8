"""Facts about `gateway/shaping/usage.py`."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.call import Call
from gateway.core.endpoint import Dialect, Endpoint
from gateway.shaping.usage import ask_for_usage, asked_for_usage
from gateway.wire.patch import encode_json

RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses", dialect=Dialect.RESPONSES)


@pytest.mark.parametrize(
    ("members", "options"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {}}, {"include_usage": True}),
        ({"stream_options": {"include_usage": False}}, {"include_usage": True}),
        ({"stream_options": {"include_usage": 1}}, {"include_usage": True}),
        ({"stream_options": {"include_usage": None, "x": [1]}}, {"include_usage": True, "x": [1]}),
        (
            {"stream_options": {"include_obfuscation": False}},
            {"include_obfuscation": False, "include_usage": True},
        ),
    ],
)
def test_every_chat_stream_asks_for_usage_and_keeps_its_other_options(
    chat: Callable[..., Call], members: dict[str, Any], options: dict[str, Any]
) -> None:
    call = ask_for_usage(chat(stream=True, **members))

    assert repr(call.get("stream_options")) == repr(options)
    assert not asked_for_usage(call)


def test_a_client_that_asks_by_itself_is_left_alone(chat: Callable[..., Call]) -> None:
    call = chat(stream=True, stream_options={"include_usage": True})

    assert ask_for_usage(call) is call
    assert asked_for_usage(call)


def test_only_that_member_of_the_body_is_written_anew(chat: Callable[..., Call]) -> None:
    call = chat(stream=True, n=1)

    assert encode_json(ask_for_usage(call)) == call.body[:-1] + b',"stream_options":{"include_usage":true}}'


def test_what_does_not_stream_is_left_alone(chat: Callable[..., Call]) -> None:
    call = chat(stream=False)

    assert ask_for_usage(call) is call


def test_other_dialects_tell_their_usage_unasked(chat: Callable[..., Call]) -> None:
    call = chat(RESPONSES, stream=True)

    assert ask_for_usage(call) is call


def test_asking_twice_changes_nothing_more(chat: Callable[..., Call]) -> None:
    call = ask_for_usage(chat(stream=True))

    assert ask_for_usage(call) is call
