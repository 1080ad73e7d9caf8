"""Edits, which OpenAI has shut down, as chat completions and back."""

import json
from typing import Any

import pytest

from gateway.core.call import REMOVED, Call
from gateway.core.endpoint import JSON
from gateway.core.errors import ErrorCode, Refused, UpstreamFailed
from gateway.wire.endpoints import CHAT_COMPLETIONS, EDITS
from gateway.wire.legacy_edits import from_chat, to_chat
from gateway.wire.parse import parse_json

EDIT = {"model": "m-1", "input": "Wha day is it?", "instruction": "Fix the spelling."}


def edit(**members: Any) -> Call:
    return parse_json(EDITS, JSON, json.dumps({**EDIT, **members}).encode())


def without(*names: str) -> Call:
    kept = {name: value for name, value in EDIT.items() if name not in names}
    return parse_json(EDITS, JSON, json.dumps(kept).encode())


def test_an_edit_becomes_a_chat_completion() -> None:
    call = to_chat(edit(n=2, temperature=0.5, top_p=0.9), CHAT_COMPLETIONS)
    expected = {
        "model": "m-1",
        "n": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "messages": [
            {"role": "system", "content": "Fix the spelling."},
            {"role": "user", "content": "Wha day is it?"},
        ],
    }
    assert isinstance(call.body, bytes)
    assert json.loads(call.body) == call.members == expected
    assert call.endpoint is CHAT_COMPLETIONS
    assert call.content_type == JSON
    assert call.model == "m-1"


def test_all_texts_of_an_edit_are_there_to_be_reviewed() -> None:
    texts = to_chat(edit(user="u-1"), CHAT_COMPLETIONS).texts
    assert {"Fix the spelling.", "Wha day is it?", "u-1"} <= set(texts)


def test_unknown_members_go_along() -> None:
    members = to_chat(edit(seed=1, surprise={"a": [1]}, stream=False), CHAT_COMPLETIONS).members
    assert members["seed"] == 1
    assert members["surprise"] == {"a": [1]}
    assert "stream" not in members


@pytest.mark.parametrize("call", [without("input"), edit(input=None), edit(input="")])
def test_an_edit_without_input_makes_text_from_nothing(call: Call) -> None:
    assert to_chat(call, CHAT_COMPLETIONS).members["messages"][1] == {"role": "user", "content": ""}


def test_what_shaping_changed_is_what_is_asked() -> None:
    call = edit(n=9, top_p=1).changed({"n": 1, "top_p": REMOVED, "user": "u-1"})
    members = to_chat(call, CHAT_COMPLETIONS).members
    assert (members["n"], members["user"]) == (1, "u-1")
    assert "top_p" not in members


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (without("instruction"), "instruction"),
        (edit(instruction=None), "instruction"),
        (edit(instruction=["x"]), "instruction"),
        (edit(input=["x"]), "input"),
        (edit(stream=True), "stream"),
        (edit(messages=[{"role": "user", "content": "x"}]), "messages"),
    ],
)
def test_a_wrong_edit_is_refused(call: Call, param: str) -> None:
    with pytest.raises(Refused) as refused:
        to_chat(call, CHAT_COMPLETIONS)
    assert (refused.value.code, refused.value.param) == (ErrorCode.INVALID_VALUE, param)


def test_a_chat_completion_becomes_an_edit() -> None:
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_589_478_378,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "What day is it?"},
                "finish_reason": "stop",
            },
            {"index": 1, "message": {"role": "assistant", "content": None, "refusal": "No."}},
        ],
        "usage": {
            "prompt_tokens": 25,
            "completion_tokens": 32,
            "total_tokens": 57,
            "prompt_tokens_details": {},
        },
    }
    assert json.loads(from_chat(json.dumps(completion).encode())) == {
        "object": "edit",
        "created": 1_589_478_378,
        "choices": [{"text": "What day is it?", "index": 0}, {"text": "", "index": 1}],
        "usage": {"prompt_tokens": 25, "completion_tokens": 32, "total_tokens": 57},
    }


@pytest.mark.parametrize("body", [b'{"choices":[]}', b'{"choices":[],"usage":null}'])
def test_an_edit_has_no_usage_when_the_completion_has_none(body: bytes) -> None:
    assert json.loads(from_chat(body)) == {"object": "edit", "created": 0, "choices": []}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b"\xff", b'{"choices":[{}]}', b'{"choices":' + b"[" * 99999]
)
def test_what_is_no_chat_completion_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        from_chat(body)
    assert failed.value.code is ErrorCode.UPSTREAM_ERROR
