"""Facts about `gateway/wire/patch.py`."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.call import REMOVED, Call, Form
from gateway.core.endpoint import JSON, Endpoint
from gateway.wire.patch import encode_json, find_members, without_member

RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses")

NAMES = ["a", "model", "usage", 'q"', "é", "", "{", ":", "stream_options"]
AROUND = ["[{}]", '[{{"a":[{}]}},1]', '{{"model":{}}}']
SCALARS = ["0", "-0", "1.50e+2", "123456789012345678901234567890", "true", "null", '"}"', '"\\u003a,"', "[ ]"]

spaces = st.text(" \t\r\n", max_size=2)


class Member(NamedTuple):
    name: str
    raw: str
    """Its name, colon and value, as written."""


class Object(NamedTuple):
    members: list[Member]
    raw: bytes


def spell(name: str, escaped: bool) -> str:
    """The name as JSON, its first letter escaped or not."""
    text = json.dumps(name, ensure_ascii=False)
    return f'"\\u{ord(name[0]):04x}{text[2:]}' if escaped and name and name[0] != '"' else text


@st.composite
def json_objects(draw: st.DrawFn, *, unique: bool = True) -> Object:
    names = draw(st.lists(st.sampled_from(NAMES), unique=unique, max_size=6))
    members = []
    for name in names:
        value = draw(st.sampled_from(SCALARS))
        for around in draw(st.lists(st.sampled_from(AROUND), max_size=3)):
            value = around.format(value)
        before, after = draw(spaces), draw(spaces)
        members.append(Member(name, f"{spell(name, draw(st.booleans()))}{before}:{after}{value}"))
    written = ",".join(draw(spaces) + member.raw + draw(spaces) for member in members)
    text = f"{draw(spaces)}{{{written or draw(spaces)}}}{draw(spaces)}"
    return Object(members, text.encode())


texts = st.text('aé😀"\\\n:,{}', max_size=5)
values = st.none() | st.booleans() | st.integers() | texts | st.dictionaries(texts, st.integers(), max_size=2)
changes = st.dictionaries(st.sampled_from(NAMES), values | st.just(REMOVED), max_size=5)


def call(raw: bytes, **changes: Any) -> Call:
    return Call(RESPONSES, JSON, raw, json.loads(raw)).changed(changes)


def updated(members: dict[str, Any], changes: dict[str, Any]) -> list[tuple[str, Any]]:
    """In order; new members last."""
    merged = {**members, **changes}
    return [(name, value) for name, value in merged.items() if value is not REMOVED]


@settings(deadline=None)
@given(json_objects(), changes)
def test_the_patched_object_says_what_the_updated_dict_says_in_the_same_order(
    thing: Object, changes: dict[str, Any]
) -> None:
    patched = encode_json(call(thing.raw, **changes))
    expected = updated(json.loads(thing.raw), changes)
    assert json.dumps(list(json.loads(patched).items())) == json.dumps(expected)
    assert list(find_members(patched)) == [name for name, _ in expected]


@settings(deadline=None)
@given(json_objects(), changes)
def test_members_that_are_not_changed_keep_their_bytes(thing: Object, changes: dict[str, Any]) -> None:
    patched = encode_json(call(thing.raw, **changes))
    spans = find_members(patched)
    for name, raw in thing.members:
        if name not in changes:
            assert patched[spans[name].start : spans[name].end] == raw.encode()


@settings(deadline=None)
@given(json_objects())
def test_without_changes_the_very_bytes_go_on(thing: Object) -> None:
    assert encode_json(call(thing.raw)) is thing.raw


@settings(deadline=None)
@given(json_objects())
def test_changes_that_change_nothing_leave_the_very_bytes(thing: Object) -> None:
    same = {**json.loads(thing.raw), "absent": REMOVED}
    assert encode_json(call(thing.raw, **same)) is thing.raw


@settings(deadline=None)
@given(json_objects())
def test_each_member_is_found_where_it_is_written(thing: Object) -> None:
    spans = find_members(thing.raw)
    found = [(name, thing.raw[span.start : span.end].decode()) for name, span in spans.items()]
    assert found == thing.members
    for name, span in spans.items():
        assert json.loads(thing.raw[span.value : span.end]) == json.loads(thing.raw)[name]


@settings(deadline=None)
@given(json_objects(unique=False))
def test_an_object_is_refused_exactly_when_it_names_a_member_twice(thing: Object) -> None:
    names = [member.name for member in thing.members]
    if len(set(names)) == len(names):
        assert list(find_members(thing.raw)) == names
    else:
        with pytest.raises(ValueError, match="twice"):
            find_members(thing.raw)


@settings(deadline=None)
@given(json_objects(), st.sampled_from(NAMES))
def test_a_member_taken_out_leaves_all_others_as_they_were(thing: Object, name: str) -> None:
    rest = without_member(thing.raw, name)
    others = [member for member in thing.members if member.name != name]
    spans = find_members(rest)
    assert [Member(name, rest[at.start : at.end].decode()) for name, at in spans.items()] == others
    assert (rest is thing.raw) == (len(others) == len(thing.members))


@pytest.mark.parametrize(
    ("raw", "changes", "patched"),
    [
        ('{"a":1}', {"b": 2}, '{"a":1,"b":2}'),
        ("{}", {"b": 2, "c": "é"}, '{"b":2,"c":"é"}'),
        (" { } ", {"b": 2}, ' { "b":2} '),
        ('{"a":1 \n}\n', {"b": 2}, '{"a":1 \n,"b":2}\n'),
        ('{"a":1}', {"a": REMOVED, "b": 2}, '{"b":2}'),
        ('{"a":1,"b":2,"c":3}', {"a": REMOVED}, '{"b":2,"c":3}'),
        ('{"a":1, "b":2, "c":3}', {"b": REMOVED}, '{"a":1, "c":3}'),
        ('{"a":1,"b":2,"c":3}', {"c": REMOVED}, '{"a":1,"b":2}'),
        ('{"a":1,"b":2,"c":3}', {"a": REMOVED, "b": REMOVED}, '{"c":3}'),
        ('{"a":1,"b":2,"c":3}', {"b": REMOVED, "c": REMOVED}, '{"a":1}'),
        ('{"a":1,"b":2,"c":3}', {"a": REMOVED, "c": REMOVED}, '{"b":2}'),
        ('{ "a":1 , "b":2 }', {"a": REMOVED, "b": REMOVED}, "{  }"),
        ('{"mod\\u0065l": "x", "y": 1.50}', {"model": "z"}, '{"mod\\u0065l": "z", "y": 1.50}'),
        ('{"x":{"model":"in"},"model":"out"}', {"model": "new"}, '{"x":{"model":"in"},"model":"new"}'),
        ('{"x":"\\"model\\":1","model":"out"}', {"model": "new"}, '{"x":"\\"model\\":1","model":"new"}'),
        ('{"n":1}', {"n": True}, '{"n":true}'),
        ('{"o":{"include_usage":1}}', {"o": {"include_usage": True}}, '{"o":{"include_usage":true}}'),
        ('{"t":1}', {"t": 1.0}, '{"t":1.0}'),
        ('{"t":1e2}', {"t": 100.0}, '{"t":1e2}'),
        ('{"a":"}"}', {'k"': None}, '{"a":"}","k\\"":null}'),
        (
            '{"a":123456789012345678901234567890,"b":1}',
            {"b": 2},
            '{"a":123456789012345678901234567890,"b":2}',
        ),
    ],
)
def test_only_what_changes_is_written_anew(raw: str, changes: dict[str, Any], patched: str) -> None:
    assert encode_json(call(raw.encode(), **changes)).decode() == patched


def test_a_form_is_not_json() -> None:
    with pytest.raises(TypeError, match="form"):
        encode_json(Call(RESPONSES, JSON, Form.__new__(Form)))


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b'"a"', b"{", b'{"a"}', b'{"a":1}x', b'{"a":1,}', b'{"a":01}', b'{"a":1,"a":22}'],
)
def test_what_is_not_one_object_with_distinct_members_has_no_spans(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        find_members(raw)


def test_a_repeated_member_whose_nested_members_fit_the_gaps_is_noticed() -> None:
    with pytest.raises(ValueError, match="twice"):
        find_members(b'{"a":1,"b":22,"a":{"z":0,"kkkkkkk":9}}')


@pytest.mark.parametrize(
    ("raw", "rest"),
    [
        (b'{"a":1,"usage":null}', b'{"a":1}'),
        (b'{"usage":null,"a":1}', b'{"a":1}'),
        (b'{"usage":null}', b"{}"),
        (b'{"a":{"usage":null},"usage": null ,"b":2}', b'{"a":{"usage":null} ,"b":2}'),
        (b'{"a":1,"us\\u0061ge":null}', b'{"a":1}'),
        (b'{"a":"\xff","usage":null}', b'{"a":"\xff"}'),
    ],
)
def test_one_member_is_taken_out_with_one_comma(raw: bytes, rest: bytes) -> None:
    assert without_member(raw, "usage") == rest


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":{"usage":null}}',
        b'{"a":"\\"usage\\":null"}',
        b'{"a":"usage"}',
        b"[DONE] usage",
        b'["usage"]',
        b'{"usage":null',
        b'{"usage":1,"usage":2}',
        b'{"usage":' + b"[" * 100_000,
    ],
)
def test_bytes_without_that_member_come_back_as_they_are(raw: bytes) -> None:
    assert without_member(raw, "usage") is raw
