"""A call as it was asked, and as shaping changes it."""

import io
from typing import Any

import pytest

from gateway.core.call import REMOVED, Call, Form
from gateway.core.endpoint import JSON, MULTIPART
from gateway.wire.endpoints import CHAT_COMPLETIONS, SERVED

ENDPOINTS = {endpoint.name: endpoint for endpoint in SERVED}


def call(endpoint: str = "chat_completions", **members: Any) -> Call:
    return Call(ENDPOINTS[endpoint], JSON, b"{}", members)


def test_a_member_has_the_clients_value() -> None:
    assert call(n=2).get("n") == 2


def test_a_missing_member_has_the_default() -> None:
    assert call().get("n", 1) == 1


def test_a_change_goes_before_the_clients_value() -> None:
    assert call(n=2).changed({"n": 1}).get("n") == 1


def test_a_removed_member_has_the_default() -> None:
    assert call(n=2).changed({"n": REMOVED}).get("n", 7) == 7


def test_a_change_leaves_the_call_it_was_made_from_as_it_was() -> None:
    asked = call(n=2)
    asked.changed({"n": 1})
    assert asked.get("n") == 2


def test_a_later_change_keeps_the_earlier_ones() -> None:
    changed = call().changed({"n": 1}).changed({"user": "search"})
    assert changed.changes == {"n": 1, "user": "search"}


def test_the_model_is_the_shaped_one() -> None:
    assert call(model="fast").changed({"model": "gpt-4o-mini"}).model == "gpt-4o-mini"


def test_a_model_that_was_not_named_is_the_endpoints_default() -> None:
    assert call("images_generations").model == "dall-e-2"


def test_a_model_that_is_no_text_is_none() -> None:
    assert call(model=7).model is None


@pytest.mark.parametrize("spelling", [True, "true", "True", "1"])
def test_a_stream_is_asked_for_in_json_or_in_a_form(spelling: Any) -> None:
    assert call(stream=spelling).stream


@pytest.mark.parametrize("spelling", [False, None, "false", "False", "0", "", [True], {}])
def test_anything_else_asks_for_no_stream(spelling: Any) -> None:
    assert not call(stream=spelling).stream


def test_speech_asks_for_events_by_its_format() -> None:
    assert call("audio_speech", stream_format="sse").stream


def test_the_format_of_speech_means_nothing_elsewhere() -> None:
    assert not call("chat_completions", stream_format="sse").stream


def test_what_was_said_does_not_show_in_the_repr() -> None:
    said = Call(
        CHAT_COMPLETIONS, JSON, b'"a secret"', {"user": "a secret"}, ("a secret",), {"user": "a secret"}
    )
    assert "a secret" not in repr(said)


def test_a_form_does_not_show_its_bytes() -> None:
    form = Form(io.BytesIO(b"a secret"), 8, b"edge", 8)
    assert "secret" not in repr(Call(ENDPOINTS["images_edits"], MULTIPART, form))


def test_a_form_is_closed_twice_without_harm() -> None:
    form = Form(io.BytesIO(b""), 0, b"edge", 0)
    form.close()
    form.close()
    assert form.spool.closed
