"""Facts about `gateway/wire/parse.py`."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.call import Call
from gateway.core.endpoint import JSON, Endpoint, ModelRule
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.parse import parse_json

CHAT = Endpoint("chat_completions", "POST", "/v1/chat/completions", "chat", model=ModelRule.REQUIRED)
RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses", model=ModelRule.OPTIONAL)

CHARACTERS = [
    *(
        "a",
        "b",
        ":",
        "\\u003a",
        "\\u003A",
        "\\u003c",
        "\\\\u003a",
        "\\\\",
        '\\"',
        "\\n",
        "\\/",
        "é",
        "\\u00E9",
    ),
    *("😀", "\\ud83d\\ude00", "{", "}", "[", "]", ",", " ", '":'.replace('"', '\\"'), "\x7f", "\\u0000"),
]
"""Ways to write a character inside a JSON string, the colon above all."""
SCALARS = [
    "0",
    "-0",
    "1.0",
    "1e2",
    "1E+2",
    "-0.5e-7",
    "123456789012345678901234567890",
    "true",
    "false",
    "null",
]

spaces = st.text(" \t\r\n", max_size=2)
strings = st.lists(st.sampled_from(CHARACTERS), max_size=6).map(lambda written: f'"{"".join(written)}"')


def bracketed(content: st.SearchStrategy[str], brackets: str) -> st.SearchStrategy[str]:
    return st.lists(content, max_size=4).map(lambda each: brackets[0] + ",".join(each) + brackets[1])


def spaced(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    between = [strategy for part in parts for strategy in (part, spaces)]
    return st.tuples(spaces, *between).map("".join)


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return bracketed(spaced(strings, st.just(":"), values), "{}")


values = st.recursive(
    strings | st.sampled_from(SCALARS),
    lambda inner: bracketed(spaced(inner), "[]") | objects(inner),
    max_leaves=12,
)
documents = st.one_of(spaced(objects(values)), objects(values))


class Repeated(Exception):
    """The oracle saw a name twice."""


def all_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Repeated
    return dict(pairs)


def strings_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for each in value.values() for text in strings_of(each))]
    return [text for each in value for text in strings_of(each)] if isinstance(value, list) else []


def parse(body: str | bytes, endpoint: Endpoint = RESPONSES, **options: Any) -> Call:
    return parse_json(endpoint, JSON, body.encode() if isinstance(body, str) else body, **options)


def refusal(body: str | bytes, endpoint: Endpoint = RESPONSES, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(body, endpoint, **options)
    return caught.value


@settings(deadline=None)
@given(documents)
def test_a_name_is_refused_as_repeated_exactly_when_an_object_has_it_twice(text: str) -> None:
    try:
        expected = json.loads(text, object_pairs_hook=all_pairs)
    except Repeated:
        assert refusal(text).code is ErrorCode.DUPLICATE_JSON_KEY
    else:
        call = parse(text)
        assert call.members == expected
        assert sorted(call.texts) == sorted(strings_of(expected))
        assert call.body == text.encode()


@settings(deadline=None)
@given(st.binary(max_size=30) | st.text('{}[]":,\\u0a1-.eE truefalsn', max_size=30).map(str.encode))
def test_what_the_standard_library_refuses_is_refused(body: bytes) -> None:
    try:
        valid = type(json.loads(body.decode(), parse_constant=int)) is dict
    except ValueError:
        valid = False
    if not valid:
        assert refusal(body).code in (
            ErrorCode.INVALID_JSON,
            ErrorCode.INVALID_VALUE,
            ErrorCode.JSON_TOO_DEEP,
        )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark (byte 0)"),
        (b'{"a":"\xff"}', "UTF-8 (byte 6)"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8 (byte 6)"),
        (b'{"\xc0\x80":1}', "UTF-8 (byte 2)"),
        ('{"a":1}'.encode("utf-16"), "UTF-8 (byte 0)"),
        (b'{"a":1} x', "trailing characters (near byte 9)"),
        (b'{"a":1}{"a":1}', "trailing characters (near byte 8)"),
        (b'{"a":1', "ends too early (byte 6)"),
        (b'{"a":NaN}', "(near byte 5)"),
        (b'{"a":-Infinity}', "(near byte 6)"),
        (b'{"a":01}', "(near byte 6)"),
        (b'{"a":+1}', "(near byte 5)"),
        (b'{"a":1,}', "(near byte 7)"),
        (b"{'a':1}", "(near byte 1)"),
        (b'{"a":"\x00"}', "(near byte 6)"),
        (b'{"a":"\\x41"}', "(near byte 8)"),
        (b'{"a":"\\udc00"}', "surrogate"),
        (b'{"a":/**/1}', "(near byte 5)"),
        (b"[1]", "one JSON object"),
        (b'"text"', "one JSON object"),
        (b"null", "one JSON object"),
    ],
)
def test_what_is_not_one_strict_json_object_is_refused_with_a_sentence_that_says_where(
    body: bytes, said: str
) -> None:
    error = refusal(body)
    assert error.code is ErrorCode.INVALID_JSON
    assert said in error.message


def test_a_refusal_quotes_nothing_of_the_body() -> None:
    assert "hunter2" not in refusal(b'{"password":"hunter2" "x"}').message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"a":1,"a":2}', "a"),
        (b'{"a":1,"a":1}', "a"),
        (b'{"a":1,"\\u0061":2}', "a"),
        (b'{"x":[{"y":{"model":1,"b":"}","model":2}}]}', "model"),
        (b'{"a":1,"b":"\\u003a","a":2}', "a"),
        (b'{"a":":","b":"\\\\u003a","a":"::"}', "a"),
        (b'{"":1,"":2}', ""),
        (b'{"' + b"k" * 65 + b'":1,"' + b"k" * 65 + b'":1}', None),
    ],
)
def test_a_repeated_name_is_named_when_it_is_short(body: bytes, param: str | None) -> None:
    error = refusal(body)
    assert (error.code, error.param) == (ErrorCode.DUPLICATE_JSON_KEY, param)


def test_a_repeated_name_far_into_the_body_is_refused_without_being_named() -> None:
    error = refusal(b'{"x":[' + b"{}," * 60_000 + b'{"a":1,"a":2}]}')
    assert (error.code, error.param) == (ErrorCode.DUPLICATE_JSON_KEY, None)


@pytest.mark.parametrize(
    "text", ["\\u003a", "\\u003A", "\\\\u003a", "\\\\\\u003a", "\\u003c", "u003a", "\\n:"]
)
def test_colons_may_be_written_in_any_way(text: str) -> None:
    assert parse(f'{{"{text}": "{text}"}}').members == json.loads(f'{{"{text}": "{text}"}}')


def test_the_same_name_in_different_objects_is_no_repetition() -> None:
    assert parse('{"a":{"a":[{"a":1},{"a":2}]}}').members["a"]["a"] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("around", ["[{}]", '{{"a":{}}}'])
def test_nesting_is_counted_from_the_outermost_object(around: str) -> None:
    value = "1"
    for _ in range(63):
        value = around.format(value)
    assert parse(f'{{"a":{value}}}').members
    assert refusal(f'{{"a":[{value}]}}').code is ErrorCode.JSON_TOO_DEEP


def test_the_depth_bound_is_the_callers() -> None:
    assert parse('{"a":[1]}', max_depth=2).members
    assert "more than 2 levels" in refusal('{"a":[[1]]}', max_depth=2).message


@pytest.mark.parametrize("unit", [b"[", b'{"a":', b'[{"a":'])
def test_absurd_nesting_is_refused_as_too_deep(unit: bytes) -> None:
    body = b'{"a":' + unit * (10 * 1024 * 1024 // len(unit))
    assert refusal(body).code is ErrorCode.JSON_TOO_DEEP


@pytest.mark.parametrize("body", ["{}", '{"model":null}', '{"model":""}'])
def test_a_missing_model_is_refused_where_it_is_required(body: str) -> None:
    error = refusal(body, CHAT)
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, "model")
    assert error.message == "you must provide a model parameter"


@pytest.mark.parametrize("body", ["{}", '{"model":null}'])
def test_a_missing_model_is_allowed_where_it_is_optional(body: str) -> None:
    assert parse(body).model is None


@pytest.mark.parametrize("name", ["n", "max_tokens", "max_completion_tokens", "max_output_tokens"])
@pytest.mark.parametrize("value", ["true", "1.0", '"1"', "[1]", "-1", "2147483648", "9" * 30, "1e3"])
def test_a_count_that_is_no_sane_whole_number_is_refused(name: str, value: str) -> None:
    error = refusal(f'{{"{name}":{value}}}')
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, name)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("model", "5"),
        ("model", '["gpt-4o"]'),
        ("model", "false"),
        ("stream", "1"),
        ("stream", '"true"'),
        ("stream_options", "[]"),
        ("stream_options", "true"),
    ],
)
def test_a_member_of_the_wrong_type_is_refused_by_name(member: str, value: str) -> None:
    error = refusal(f'{{"{member}":{value}}}')
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, member)


@pytest.mark.parametrize(
    "members",
    [
        {"n": 0, "max_tokens": 2**31 - 1},
        {"n": None, "stream": None, "stream_options": None, "max_output_tokens": None},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"unknown": {"n": "nine"}},
    ],
)
def test_members_of_the_right_types_pass(members: dict[str, Any]) -> None:
    assert parse(json.dumps(members)).members == members


@pytest.mark.parametrize("number", ["1e999", "-1e400", "9" * 5000])
@pytest.mark.parametrize(("around", "param"), [("{}", "b"), ('[{{"c":{}}}]', "b")])
def test_a_number_out_of_range_is_refused_with_the_member_that_holds_it(
    number: str, around: str, param: str
) -> None:
    error = refusal(f'{{"a":1,"b":{around.format(number)},"c":2}}')
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, param)


def test_a_number_out_of_range_in_a_malformed_body_is_refused_too() -> None:
    assert refusal(b'{"a":1e999,').code in (ErrorCode.INVALID_VALUE, ErrorCode.INVALID_JSON)


def test_texts_hold_every_string_with_names_of_members() -> None:
    call = parse('{"input":[{"role":"user","content":["hi",{"x":null}]}],"n":1}')
    assert set(call.texts) == {"input", "role", "user", "content", "hi", "x", "n"}


def test_the_call_carries_the_very_bytes_that_came() -> None:
    body = b'{ "model" : "m" }'
    call = parse(body)
    assert call.body is body
    assert (call.content_type, call.endpoint, call.model) == (JSON, RESPONSES, "m")


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_clients_write_is_read(separators: tuple[str, str], ascii_only: bool) -> None:
    members = {
        "model": "m",
        "input": "a: b\n«é» 😀",
        "temperature": 0.1,
        "tools": [{"a": {"b": [1, 2.5e-8]}}],
    }
    text = json.dumps(members, separators=separators, ensure_ascii=ascii_only)
    assert parse(text).members == members


def test_large_base64_passes_undecoded() -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 470_000
    assert picture in parse(json.dumps({"input": [{"image_url": picture}]})).texts
