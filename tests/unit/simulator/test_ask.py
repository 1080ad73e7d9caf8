from typing import Any

import pytest

from gateway.simulator.ask import Ask, read_body
from gateway.simulator.errors import Refusal


def ask(**body: Any) -> Ask:
    return Ask(model="gpt-4o", body=body, created=0)


@pytest.mark.parametrize("value", [3, "3"], ids=["json", "form"])
def test_numbers_are_read_from_json_and_forms_alike(value: object) -> None:
    assert ask(n=value).integer("n", 1, most=10) == 3


@pytest.mark.parametrize("value", [0, 11, -1, 1.5, "x", True, [], "1" * 5])
def test_a_number_out_of_bounds_is_refused(value: object) -> None:
    with pytest.raises(Refusal):
        ask(n=value).integer("n", 1, most=10)


@pytest.mark.parametrize(
    ("value", "texts"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], ["1 2"]), ([[1, 2], [3]], ["1 2", "3"])],
)
def test_an_input_is_one_text_or_several(value: object, texts: list[str]) -> None:
    assert ask(input=value).strings("input") == texts


@pytest.mark.parametrize("value", [None, "", {}, [None], [""], [{}]])
def test_an_input_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(Refusal):
        ask(input=value).strings("input")


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}},
        {"type": "json_schema", "name": "x", "schema": {"type": "null"}},
    ],
)
def test_both_spellings_of_a_format_mean_the_same_schema(form: dict[str, Any]) -> None:
    assert ask().schema(form) == {"type": "null"}


@pytest.mark.parametrize("choice", [{"function": {"name": "f"}}, {"name": "f"}, "f"])
def test_a_choice_of_tool_is_understood_in_every_spelling(choice: object) -> None:
    assert ask(tool_choice=choice).tool_choice() == "f"


def test_a_function_is_understood_nested_or_flat() -> None:
    inner = {"name": "f", "parameters": {"type": "object"}}
    nested, flat = {"type": "function", "function": inner}, {"type": "function", **inner}

    assert ask(tools=[nested]).functions() == ask(tools=[flat]).functions() == {"f": {"type": "object"}}


@pytest.mark.parametrize("value", [1, "x", [1], True])
def test_a_value_where_an_object_belongs_is_refused(value: object) -> None:
    with pytest.raises(Refusal):
        ask(tool_choice={"function": value}).tool_choice()


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":NaN}'])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        read_body(body, "application/json")


def test_an_empty_body_has_no_members() -> None:
    assert read_body(b"", "application/json") == ({}, ())


@pytest.mark.parametrize(
    "body", [{"metadata": {"simulate": "cut"}}, {"simulate": "cut"}], ids=["json", "form"]
)
def test_a_fault_is_asked_for_in_metadata_or_in_a_form_field(body: dict[str, Any]) -> None:
    assert ask(**body).fault() == "cut"


@pytest.mark.parametrize(
    ("asked", "tier"),
    [
        ("flex", "flex"),
        ("priority", "priority"),
        ("default", "default"),
        ("auto", "default"),
        (None, "default"),
    ],
)
def test_the_tier_that_answers_is_the_one_that_was_asked_for(asked: str | None, tier: str) -> None:
    assert Ask(model="gpt-4o", body={"service_tier": asked}, created=0).tier == tier
