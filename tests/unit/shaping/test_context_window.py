"""Facts about `gateway/shaping/context_window.py`."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.call import Call, Form
from gateway.core.decision import Mode
from gateway.core.endpoint import MULTIPART, Endpoint
from gateway.core.errors import ErrorCode
from gateway.core.policy import Model, ShapingKind, ShapingRule
from gateway.shaping.context_window import guard
from gateway.wire.tokens import Tokenizer

RULE = ShapingRule("fits", ShapingKind.CONTEXT_WINDOW, Mode.WARN)

Chat = Callable[..., Call]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_input_that_is_longer_than_the_window_is_refused(chat: Chat, model: Model, tokenizer: Any) -> None:
    deny = guard(RULE, chat(messages=said("word " * 200)), model, tokenizer)

    assert deny is not None
    assert (deny.code, deny.mode, deny.rule, deny.param) == (
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        Mode.WARN,
        "shaping.fits",
        "messages",
    )
    assert "maximum context length is 100 tokens" in deny.reason


def test_input_that_fits_passes(chat: Chat, model: Model, tokenizer: Any) -> None:
    assert guard(RULE, chat(messages=said("word " * 50)), model, tokenizer) is None
    assert len(tokenizer.asked) == 1


def test_a_body_with_fewer_bytes_than_the_window_has_tokens_is_not_counted(
    chat: Chat, model: Model, tokenizer: Any
) -> None:
    assert guard(RULE, chat(messages=said("hi")), replace(model, context_window=1000), tokenizer) is None
    assert tokenizer.asked == []


def test_texts_with_fewer_bytes_than_the_window_has_tokens_are_not_counted(
    chat: Chat, model: Model, tokenizer: Any
) -> None:
    call = chat(messages=said("hi"), numbers=[0.123456789] * 100)

    assert guard(RULE, call, model, tokenizer) is None
    assert tokenizer.asked == []


def test_a_count_that_is_over_by_less_than_the_margin_is_left_to_the_upstream(
    chat: Chat, model: Model, tokenizer: Any
) -> None:
    texts = len(chat(messages=said("")).texts) - 1

    assert guard(RULE, chat(messages=said("a-long-word " * (102 - texts))), model, tokenizer) is None
    assert guard(RULE, chat(messages=said("a-long-word " * (103 - texts))), model, tokenizer) is not None


def test_a_model_without_a_window_takes_anything(chat: Chat, model: Model, tokenizer: Any) -> None:
    assert (
        guard(RULE, chat(messages=said("word " * 999)), replace(model, context_window=None), tokenizer)
        is None
    )


@pytest.mark.parametrize("member", ["input", "prompt"])
def test_of_several_inputs_each_has_the_window_to_itself(
    chat: Chat, model: Model, tokenizer: Any, member: str
) -> None:
    fitting = chat(**{member: ["word " * 60] * 10})
    one_too_long = chat(**{member: ["word", "word " * 200]})

    assert guard(RULE, fitting, model, tokenizer) is None
    deny = guard(RULE, one_too_long, model, tokenizer)
    assert deny is not None
    assert deny.param == member


def test_inputs_that_are_tokens_already_are_counted_as_such(chat: Chat, model: Model, tokenizer: Any) -> None:
    assert guard(RULE, chat(input=[[7] * 90] * 10), model, tokenizer) is None
    assert guard(RULE, chat(input=[[7] * 90, [7] * 150]), model, tokenizer) is not None
    assert tokenizer.asked == []


def test_pictures_are_not_counted_as_text(chat: Chat, model: Model) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 50_000
    content = [{"type": "image_url", "image_url": {"url": picture}}]

    call = chat(messages=[{"role": "user", "content": content}])

    assert guard(RULE, call, replace(model, context_window=2000), Tokenizer()) is None


def test_files_of_a_form_are_not_counted_as_text(model: Model, tokenizer: Any) -> None:
    form = Form(io.BytesIO(), size=10_000_000, boundary=b"x", end=0)
    edits = Endpoint("images_edits", "POST", "/v1/images/edits", "images")

    call = Call(edits, MULTIPART, form, {"prompt": "a cat"}, ("prompt", "a cat"))

    assert guard(RULE, call, model, tokenizer) is None
