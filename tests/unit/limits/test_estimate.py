"""What a call is expected to use, and the most it can."""

import io
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.call import Call, Form
from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.policy import Model
from gateway.core.principal import Principal
from gateway.limits.estimate import (
    REASONING_PER_SECOND,
    TYPICAL_OUTPUT,
    TYPICAL_REASONING,
    WEIGHT,
    TypicalOutputs,
    cap_of,
    expected_output,
    most_input,
    most_output,
    most_read,
    unseen_reasoning,
)
from gateway.wire.parse import parse_json
from gateway.wire.tokens import Tokenizer

MODEL = Model("gpt-4o", "openai", "gpt-4o")
SHORT = Model("gpt-4o", "openai", "gpt-4o", context_window=8192, max_output=100)
PRINCIPAL = Principal(subject="bot", team="search", key_id="k1", key_name="web")
TOKENIZER = Tokenizer()
SAYS = [{"role": "user", "content": "Say hello to everybody here"}]


def call(dialect: Dialect = Dialect.CHAT, family: str = "chat", **members: Any) -> Call:
    endpoint = Endpoint(f"{family}_completions", "POST", f"/v1/{family}", family, dialect=dialect)
    return Call(endpoint, "application/json", msgspec.json.encode(members), members, ())


def responses(**members: Any) -> Call:
    return call(Dialect.RESPONSES, "responses", **members)


# The expected.


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({}, TYPICAL_OUTPUT),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "max_completion_tokens": 50}, 50),
        ({"max_output_tokens": 30}, TYPICAL_OUTPUT),
        ({"max_tokens": 100_000}, TYPICAL_OUTPUT),
        ({"max_tokens": None}, TYPICAL_OUTPUT),
        ({"max_tokens": "many"}, TYPICAL_OUTPUT),
        ({"max_tokens": -1}, TYPICAL_OUTPUT),
        ({"max_tokens": 0}, 0),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 2}, 2 * TYPICAL_OUTPUT),
        ({"n": 2, "best_of": 5, "max_tokens": 1}, 5),
        ({"n": 0, "max_tokens": 1}, 1),
        ({"n": "2", "max_tokens": 1}, 1),
        ({"prompt": "Hello", "max_tokens": 1}, 1),
        ({"prompt": [1, 2, 3], "max_tokens": 1}, 1),
        ({"prompt": [], "max_tokens": 1}, 1),
        ({"prompt": ["a", "b", "c"], "max_tokens": 2, "n": 4}, 24),
        ({"prompt": [[1, 2], [3]]}, 2 * TYPICAL_OUTPUT),
    ],
)
def test_output_is_what_is_typical_within_what_is_allowed_for_each_choice(
    members: dict[str, Any], tokens: int
) -> None:
    assert expected_output(call(**members), MODEL, TYPICAL_OUTPUT) == tokens


@pytest.mark.parametrize("members", [{}, {"max_tokens": 5000}, {"max_tokens": None, "n": 1}])
def test_a_model_gives_no_more_than_it_can(members: dict[str, Any]) -> None:
    assert expected_output(call(**members), SHORT, TYPICAL_OUTPUT) == 100


def test_what_is_typical_can_be_told() -> None:
    assert expected_output(call(), MODEL, 1000) == 1000


@pytest.mark.parametrize("dialect", [Dialect.PLAIN, Dialect.AUDIO, Dialect.IMAGES])
def test_what_does_not_answer_in_text_has_no_output(dialect: Dialect) -> None:
    assert expected_output(call(dialect, max_tokens=5), SHORT, TYPICAL_OUTPUT) == 0
    assert most_output(call(dialect, max_tokens=5), SHORT) == 0


def test_what_shaping_changed_counts() -> None:
    shaped = call(max_tokens=100).changed({"max_tokens": 8})
    assert (expected_output(shaped, MODEL, TYPICAL_OUTPUT), most_output(shaped, MODEL)) == (8, 8)


# What is learnt.


def learnt(*tokens: int, outputs: TypicalOutputs | None = None, **members: Any) -> int:
    outputs = outputs or TypicalOutputs()
    for each in tokens:
        outputs.learn(PRINCIPAL, MODEL, call(**members), each)
    return outputs.of(PRINCIPAL, MODEL, call(**members))


def test_before_anything_is_learnt_an_answer_is_typical() -> None:
    assert learnt() == TYPICAL_OUTPUT


def test_an_answer_counts_by_its_weight() -> None:
    assert learnt(1056) == TYPICAL_OUTPUT + 800 * WEIGHT


def test_a_habit_is_learnt_within_some_twenty_answers() -> None:
    assert 3600 < learnt(*[4000] * 20) < 4000
    assert 10 < learnt(*[10] * 20) < 30


def test_one_odd_answer_moves_little() -> None:
    usual = [300] * 50
    assert learnt(*usual, 2300) == learnt(*usual) + 2000 * WEIGHT


def test_what_is_learnt_is_what_one_choice_has() -> None:
    assert learnt(*[400] * 100, n=4) == pytest.approx(100, abs=1)


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_the_mean_stays_among_what_was_seen(tokens: list[int]) -> None:
    assert min([TYPICAL_OUTPUT, *tokens]) <= learnt(*tokens) <= max([TYPICAL_OUTPUT, *tokens])


@pytest.mark.parametrize(
    ("principal", "model", "asked"),
    [
        (Principal(subject="bot", team="other", key_id="k1", key_name="web"), MODEL, call()),
        (Principal(subject="bot", team="search", key_id="k2", key_name="web"), MODEL, call()),
        (PRINCIPAL, Model("gpt-5", "openai", "gpt-4o"), call()),
        (PRINCIPAL, MODEL, responses()),
    ],
    ids=["team", "key", "model", "endpoint"],
)
def test_nobody_learns_from_others(principal: Principal, model: Model, asked: Call) -> None:
    outputs = TypicalOutputs()
    outputs.learn(PRINCIPAL, MODEL, call(), 5000)
    assert outputs.of(principal, model, asked) == TYPICAL_OUTPUT


def test_the_habit_that_was_unused_the_longest_is_forgotten() -> None:
    outputs = TypicalOutputs(most=2)
    models = [Model(name, "openai", name) for name in "abc"]
    for model in models[:2]:
        outputs.learn(PRINCIPAL, model, call(), 5000)
    outputs.of(PRINCIPAL, models[0], call())
    outputs.learn(PRINCIPAL, models[2], call(), 5000)
    known = [outputs.of(PRINCIPAL, model, call()) > TYPICAL_OUTPUT for model in models]
    assert known == [True, False, True]


# The reasoning that nobody sees.

OTHER = Principal(subject="bot", team="other", key_id="k2", key_name="web")


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        (call(), 0),
        (call(reasoning_effort="low"), TYPICAL_REASONING),
        (call(reasoning_effort="low", n=3), 3 * TYPICAL_REASONING),
        (call(reasoning_effort="none"), 0),
        (call(reasoning_effort=None), 0),
        (responses(reasoning={"effort": "high"}), TYPICAL_REASONING),
        (responses(reasoning={"summary": "auto"}), TYPICAL_REASONING),
        (responses(reasoning={"effort": "none"}), 0),
        (responses(reasoning=None), 0),
        (call(Dialect.PLAIN, "embeddings", reasoning_effort="low"), 0),
    ],
)
def test_before_anything_is_learnt_who_asks_for_reasoning_gets_it(asked: Call, tokens: int) -> None:
    assert TypicalOutputs().reasoning_of(PRINCIPAL, MODEL, asked) == tokens


def test_the_reasoning_of_whole_answers_is_learnt() -> None:
    outputs = TypicalOutputs()
    for _ in range(3):
        outputs.learn(PRINCIPAL, MODEL, call(n=2), 500, 200)
    assert outputs.reasoning_of(PRINCIPAL, MODEL, call()) == 100
    assert outputs.reasoning_of(PRINCIPAL, MODEL, call(n=2)) == 200


def test_a_call_that_switches_reasoning_off_has_none() -> None:
    outputs = TypicalOutputs()
    outputs.learn(PRINCIPAL, MODEL, call(), 500, 200)
    assert outputs.reasoning_of(PRINCIPAL, MODEL, call(reasoning_effort="none")) == 0


def test_who_has_no_habit_is_supposed_to_be_like_the_others() -> None:
    outputs = TypicalOutputs()
    outputs.learn(PRINCIPAL, MODEL, call(), 500, 200)
    outputs.learn(PRINCIPAL, MODEL, call(), 500, 0)
    assert outputs.reasoning_of(OTHER, MODEL, call()) == 175
    outputs.learn(OTHER, MODEL, call(), 500, 10)
    assert outputs.reasoning_of(OTHER, MODEL, call()) == 10


def test_a_model_that_does_not_reason_is_known_not_to() -> None:
    outputs = TypicalOutputs()
    outputs.learn(PRINCIPAL, MODEL, call(), 500, 0)
    assert outputs.reasoning_of(PRINCIPAL, MODEL, call(reasoning_effort="high")) == 0


def test_what_was_not_told_of_reasoning_is_not_learnt() -> None:
    outputs = TypicalOutputs()
    outputs.learn(PRINCIPAL, MODEL, call(), 500)
    assert outputs.reasoning_of(PRINCIPAL, MODEL, call(reasoning_effort="high")) == TYPICAL_REASONING


@pytest.mark.parametrize(
    ("facts", "tokens"),
    [
        ({}, 100),
        ({"passed": 200}, 56),
        ({"passed": 300}, 0),
        ({"most": 60}, 50),
        ({"most": 5}, 0),
        ({"passed": 0}, 100),
        ({"passed": 0, "seconds": 0.5}, REASONING_PER_SECOND // 2),
        ({"passed": 0, "seconds": 0.0}, 0),
        ({"seconds": 0.0}, 100),
    ],
    ids=repr,
)
def test_unseen_reasoning_is_the_typical_within_time_reserve_and_allowance(
    facts: dict[str, Any], tokens: int
) -> None:
    usual = {"passed": 10, "seconds": 60.0, "reserved": 256, "most": None}
    assert unseen_reasoning(100, **{**usual, **facts}) == tokens


@given(*[st.integers(0, 10**6)] * 4, st.floats(0, 10**6))
def test_unseen_reasoning_is_never_more_than_typical_reserved_and_allowed(
    typical: int, passed: int, reserved: int, most: int, seconds: float
) -> None:
    unseen = unseen_reasoning(typical, passed=passed, seconds=seconds, reserved=reserved, most=most)
    assert 0 <= unseen <= typical
    assert passed + unseen <= max(passed, min(reserved, most))


# The most.


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        (call(), 8292),
        (call(tools=[{"type": "function"}]), 8292),
        (call(tools=[{"type": "web_search"}]), None),
        (call(web_search_options={}), None),
        (call(family="completions", prompt=["a", "b"]), 2 * 8292),
        (call(family="completions", prompt=[1, 2]), 8292),
        (call(Dialect.PLAIN, "embeddings", input=["a", "b", "c"]), 3 * 8292),
        (call(Dialect.PLAIN, "embeddings", input=[1, 2, 3]), 8292),
        (call(Dialect.PLAIN, "embeddings", input=[]), 8292),
        (responses(input=[{"role": "user"}, {"role": "user"}]), 8292),
    ],
)
def test_no_provider_can_have_read_more_than_the_model_holds_for_each_input(
    asked: Call, tokens: int | None
) -> None:
    assert most_read(asked, SHORT) == tokens
    assert most_read(asked, MODEL) is None


@pytest.mark.parametrize(
    ("asked", "model", "tokens"),
    [
        (call(), MODEL, None),
        (call(max_tokens=10), MODEL, 10),
        (call(max_tokens=10, max_completion_tokens=50), MODEL, 50),
        (call(max_tokens=10, n=3), MODEL, 30),
        (call(n=3), SHORT, 300),
        (call(max_tokens=5000), SHORT, 100),
        (call(max_output_tokens=1), SHORT, 100),
        (call(family="completions", max_completion_tokens=1), SHORT, 100),
        (call(family="completions", max_tokens=1, best_of=4), SHORT, 4),
        (responses(max_tokens=1), SHORT, 100),
        (responses(max_output_tokens=1), SHORT, 1),
    ],
)
def test_the_most_is_what_the_endpoints_own_cap_and_the_model_allow(
    asked: Call, model: Model, tokens: int | None
) -> None:
    assert most_output(asked, model) == tokens


@pytest.mark.parametrize(
    ("asked", "cap"),
    [
        (call(), "max_completion_tokens"),
        (call(family="completions"), "max_tokens"),
        (responses(), "max_output_tokens"),
        (call(Dialect.PLAIN, "embeddings"), "max_tokens"),
    ],
)
def test_who_has_no_bound_is_told_how_to_give_one(asked: Call, cap: str) -> None:
    assert cap_of(asked) == cap


def test_input_is_counted_with_all_that_frames_it() -> None:
    most = most_input(call(messages=SAYS), MODEL, TOKENIZER)
    assert most is not None
    said = TOKENIZER.count(SAYS[0]["content"], MODEL.encoding)
    assert said + 4 + 3 <= most <= said + 25  # OpenAI: four tokens frame a message, three the answer


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=5))
def test_no_input_has_more_tokens_than_the_most(texts: list[str]) -> None:
    body = msgspec.json.encode({"messages": [{"role": "user", "content": text} for text in texts]})
    asked = parse_json(call().endpoint, "application/json", body)
    framed = 3 + sum(4 + TOKENIZER.count(text, MODEL.encoding) for text in texts)
    assert max(framed, TOKENIZER.total(asked.texts, MODEL.encoding)) <= (
        most_input(asked, MODEL, TOKENIZER) or 0
    )


def test_input_that_shaping_adds_is_counted() -> None:
    asked = responses(input="Hello")
    shaped = asked.changed({"instructions": "Be brief, and never rude."})
    more, most = most_input(shaped, MODEL, TOKENIZER), most_input(asked, MODEL, TOKENIZER)
    assert more is not None
    assert most is not None
    assert more - most >= TOKENIZER.count("Be brief, and never rude.", MODEL.encoding)


@pytest.mark.parametrize(
    "members",
    [
        {"input": "Hello"},
        {"input": [1, 2, 3]},
        {"input": [[1, 2], [3]]},
        {"input": ["a", "b"]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}]},
        {"input": [{"type": "reasoning", "encrypted_content": "gAAAA"}]},
        {"messages": [{"role": "assistant", "content": None, "audio": None}]},
        {"messages": SAYS, "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}]},
        {"messages": SAYS, "tools": None, "web_search_options": None},
        {"input": "Hello", "previous_response_id": None, "prompt": None},
        {"prompt": "Hello"},
        {"messages": "junk"},
        {"messages": [["junk"], 5, None]},
    ],
)
def test_text_is_counted_where_it_stands(members: dict[str, Any]) -> None:
    asked = call(**members)
    assert most_input(asked, SHORT, TOKENIZER) == TOKENIZER.count(asked.body.decode(), SHORT.encoding)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "members",
    [
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": ["junk"]}]}]},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"input": [{"type": "input_image", "image_url": "https://a"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"type": "reasoning", "id": "rs_1"}]},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]},
        {"input": "Hello", "previous_response_id": "resp_1"},
        {"input": "Hello", "conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
    ],
)
def test_what_is_no_text_or_stands_elsewhere_is_at_most_what_the_window_holds(
    members: dict[str, Any],
) -> None:
    assert most_input(call(**members), SHORT, TOKENIZER) == 8192
    assert most_input(call(**members), MODEL, TOKENIZER) is None


def test_a_form_is_at_most_what_the_window_holds() -> None:
    endpoint = Endpoint("images_edits", "POST", "/v1/images/edits", "images", dialect=Dialect.IMAGES)
    asked = Call(endpoint, "multipart/form-data", Form(io.BytesIO(), 0, b"b", 0))
    assert most_input(asked, SHORT, TOKENIZER) == 8192


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function"}, {"type": "file_search"}]},
        {"tools": [{}]},
        {"tools": ["junk"]},
        {"web_search_options": {}},
    ],
)
def test_what_the_providers_tools_add_nobody_knows(members: dict[str, Any]) -> None:
    assert most_input(call(messages=SAYS, **members), SHORT, TOKENIZER) is None
