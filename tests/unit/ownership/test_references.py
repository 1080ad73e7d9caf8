"""Facts about `gateway/ownership/references.py`."""

import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Call, Form
from gateway.core.decision import Mode
from gateway.core.endpoint import JSON, MULTIPART, Dialect, Endpoint
from gateway.core.errors import ErrorCode
from gateway.ownership.references import MOST_DENIED, Reference, check_references, references
from gateway.wire.parse import parse_json

RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses", dialect=Dialect.RESPONSES)
CHAT = Endpoint("chat_completions", "POST", "/v1/chat/completions", "chat", dialect=Dialect.CHAT)
IMAGES = Endpoint("images_generations", "POST", "/v1/images/generations", "images", dialect=Dialect.IMAGES)


def asking(endpoint: Endpoint = RESPONSES, **members: Any) -> Call:
    return parse_json(endpoint, JSON, msgspec.json.encode({"model": "gpt-4o", **members}))


def user(*content: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


NAMED: dict[str, dict[str, Any]] = {
    "previous_response_id": {"previous_response_id": "x"},
    "conversation": {"conversation": "x"},
    "conversation.id": {"conversation": {"id": "x"}},
    "prompt.id": {"prompt": {"id": "x", "version": "2"}},
    "prompt.variables.paper.file_id": {
        "prompt": {"variables": {"paper": {"type": "input_file", "file_id": "x"}}}
    },
    "input.0.content.0.file_id": {"input": user({"type": "input_file", "file_id": "x"})},
    "input.0.content.1.file_id": {
        "input": user({"type": "input_text", "text": "see"}, {"type": "input_image", "file_id": "x"})
    },
    "input.0.id": {"input": [{"type": "item_reference", "id": "x"}]},
    "input.1.id": {"input": [{"role": "user", "content": "hi"}, {"id": "x"}]},
    "input.2.id": {"input": ["a", "b", {"id": "x", "type": None}]},
    "input.3.id": {"input": ["a", "b", "c", {"id": "x", "type": "item_reference", "content": "pretence"}]},
    "input.0.output.0.file_id": {
        "input": [
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_file", "file_id": "x"}],
            }
        ]
    },
    "tools.0.vector_store_ids.0": {"tools": [{"type": "file_search", "vector_store_ids": ["x"]}]},
    "tools.0.container": {"tools": [{"type": "code_interpreter", "container": "x"}]},
    "tools.0.container.file_ids.1": {
        "tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["", "x"]}}]
    },
    "tools.0.environment.container_id": {
        "tools": [{"type": "shell", "environment": {"type": "container_reference", "container_id": "x"}}]
    },
    "tools.0.environment.skills.0.skill_id": {
        "tools": [
            {"type": "shell", "environment": {"skills": [{"type": "skill_reference", "skill_id": "x"}]}}
        ]
    },
    "tools.0.input_image_mask.file_id": {
        "tools": [{"type": "image_generation", "input_image_mask": {"file_id": "x"}}]
    },
    "tools.0.tunnel_id": {"tools": [{"type": "mcp", "tunnel_id": "x"}]},
    "messages.0.content.0.file.file_id": {"messages": user({"type": "file", "file": {"file_id": "x"}})},
    "messages.0.audio.id": {"messages": [{"role": "assistant", "audio": {"id": "x"}}]},
    "audio.voice.id": {"audio": {"format": "wav", "voice": {"id": "x"}}},
    "voice.id": {"voice": {"id": "x"}},
    "images.0.file_id": {"images": [{"file_id": "x"}]},
    "mask.file_id": {"mask": {"file_id": "x"}},
    "assistant_id": {"assistant_id": "x"},
    "training_file": {"training_file": "x"},
    "items.0.id": {"items": [{"id": "x"}]},
    "anything.new.0.deep.file_id": {"anything": {"new": [{"deep": {"file_id": "x"}}]}},
    "nested.0.0.file_id": {"nested": [[{"file_id": "x"}]]},
}

REPLAYED_BY_ID: dict[str, dict[str, Any]] = {
    "reasoning without its content": {"type": "reasoning", "summary": []},
    "reasoning with an empty content": {"type": "reasoning", "encrypted_content": None, "content": []},
    "a picture without its bytes": {"type": "image_generation_call", "status": "completed"},
}

REPLAYED: dict[str, dict[str, Any]] = {
    "a message": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
    "a message without a type": {"role": "assistant", "content": "hi"},
    "a function call": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    "reasoning with its content": {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
    "open reasoning": {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
    "a picture with its bytes": {"type": "image_generation_call", "result": "iVBO"},
    "a web search": {"type": "web_search_call", "status": "completed"},
}

HARMLESS: dict[str, dict[str, Any]] = {
    "plain chat": {"messages": [{"role": "user", "content": "What is a file_id?"}]},
    "text that is a name": {"messages": [{"role": "user", "content": "previous_response_id"}]},
    "tool calls of a chat": {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f"}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "{}"},
        ]
    },
    "parameters of a tool": {
        "tools": [
            {
                "type": "function",
                "name": "get",
                "parameters": {
                    "type": "object",
                    "properties": {"file_id": {"type": "string"}, "container": {"default": "x"}},
                    "required": ["file_id"],
                    "examples": [{"file_id": "abc", "conversation": "x"}],
                },
            }
        ]
    },
    "a schema of answers": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": {"examples": [{"file_id": "x"}], "default": {"container": "y"}},
            },
        }
    },
    "metadata": {"metadata": {"file_id": "x", "conversation": "y", "container": "z"}},
    "headers of an MCP server": {"tools": [{"type": "mcp", "headers": {"container": "x"}}]},
    "nulls and empties": {
        "previous_response_id": None,
        "conversation": None,
        "prompt": {"id": ""},
        "tools": [{"container": {"type": "auto"}, "file_ids": [], "vector_store_ids": None}],
    },
    "wrong types": {
        "file_id": 5,
        "file_ids": [5, None],
        "conversation": ["x"],
        "audio": {"id": {}},
        "input": [{"id": 5}],
    },
    "a voice by name": {"voice": "alloy", "audio": {"voice": "alloy", "format": "wav"}},
    "a prompt that is text": {"prompt": "a cat"},
    "an odd type": {"input": [{"id": "x", "type": ["item_reference"], "content": "hi"}]},
}


@pytest.mark.parametrize("path", NAMED)
def test_an_object_that_is_named_is_found_at_its_path(path: str) -> None:
    assert references(asking(**NAMED[path])) == [Reference(path, "x")]


@pytest.mark.parametrize("item", REPLAYED_BY_ID)
def test_replayed_output_that_the_provider_would_look_up_is_a_reference(item: str) -> None:
    assert references(asking(input=[{"id": "x", **REPLAYED_BY_ID[item]}])) == [Reference("input.0.id", "x")]


@pytest.mark.parametrize("item", REPLAYED)
def test_replayed_output_that_brings_its_content_is_no_reference(item: str) -> None:
    assert references(asking(input=[{"id": "x", **REPLAYED[item]}])) == []


@pytest.mark.parametrize("what", HARMLESS)
def test_what_only_looks_like_a_reference_is_none(what: str) -> None:
    assert references(asking(**HARMLESS[what])) == []


@pytest.mark.parametrize("path", NAMED)
def test_an_object_is_found_in_a_long_body_too(path: str) -> None:
    assert references(asking(padding="x" * 100_000, **NAMED[path])) == [Reference(path, "x")]


def test_a_name_that_is_spelled_with_escapes_is_found() -> None:
    call = parse_json(CHAT, JSON, b'{"model":"m","file\\u005fid":"x"}')

    assert references(call) == [Reference("file_id", "x")]


def test_fields_of_forms_are_looked_at() -> None:
    form = Form(io.BytesIO(), size=0, boundary=b"x", end=0)
    call = Call(IMAGES, MULTIPART, form, {"file_id": "x"}, ("file_id", "x"))

    assert references(call) == [Reference("file_id", "x")]


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN, Mode.ENFORCE])
def test_a_reference_is_denied_in_the_policys_mode(mode: Mode) -> None:
    deny = check_references(asking(previous_response_id="resp_secret"), mode)[0]

    assert (deny.code, deny.rule, deny.mode, deny.param) == (
        ErrorCode.NOT_FOUND,
        "objects",
        mode,
        "previous_response_id",
    )
    assert "resp_secret" not in deny.reason


def test_while_objects_are_off_references_pass() -> None:
    assert check_references(asking(previous_response_id="resp_1"), Mode.OFF) == []


def test_a_request_without_references_passes() -> None:
    assert check_references(asking(input="hello"), Mode.ENFORCE) == []


def test_of_many_references_only_some_are_told() -> None:
    many = asking(tools=[{"vector_store_ids": [f"vs_{n}" for n in range(1000)]}])

    assert len(check_references(many, Mode.WARN)) == MOST_DENIED


def test_a_name_of_a_megabyte_is_not_repeated() -> None:
    deny = check_references(asking(**{"n" * 1_000_000: {"file_id": "x"}}), Mode.ENFORCE)[0]

    assert len(deny.reason) < 400
    assert len(deny.param or "") < 200


@pytest.mark.parametrize("value", [True, 1, "true", "yes", {}])
@pytest.mark.parametrize("mode", Mode)
def test_background_responses_are_refused_in_every_mode(value: Any, mode: Mode) -> None:
    denies = check_references(asking(background=value), mode)

    assert [(deny.code, deny.mode, deny.param) for deny in denies] == [
        (ErrorCode.ENDPOINT_NOT_ALLOWED, Mode.ENFORCE, "background")
    ]


@pytest.mark.parametrize("value", [False, None])
def test_a_response_in_the_foreground_passes(value: Any) -> None:
    assert check_references(asking(background=value), Mode.ENFORCE) == []


def test_the_background_of_a_picture_is_something_else() -> None:
    assert check_references(asking(IMAGES, background="transparent"), Mode.ENFORCE) == []


names = st.sampled_from(
    ["file_id", "file_ids", "id", "input", "content", "audio", "container", "type", "metadata"]
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["", "x", "item_reference"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(names, values, max_size=4))
def test_no_body_whatever_its_shape_is_too_much(members: dict[str, Any]) -> None:
    call = asking(**members)

    for path, named in references(call):
        value: Any = call.members
        for step in path.split("."):
            value = value[int(step) if isinstance(value, list) else step]
        assert value == named
