"""What is asked for is read strictly: whatever is not understood is named, with the place where it stands."""

from typing import Any

import pytest
from multidict import MultiDict

from gateway.admin.asking import read_body, read_query
from gateway.admin.operations import OPERATIONS
from gateway.admin.problems import Problem
from gateway.admin.shapes import Body, DryRun, ImportedKey, NewKey, Nothing, Rotation
from tests.support.operators import Client, by, problem

QUERY = {operation.name: operation.query for operation in OPERATIONS}


def query_of(name: str, *pairs: tuple[str, str]) -> dict[str, Any]:
    return read_query(QUERY[name], MultiDict(pairs))


def test_parameters_are_read_as_what_they_are() -> None:
    assert query_of("keys", ("team", "search"), ("state", "live"), ("limit", "200")) == {
        "team": "search",
        "state": "live",
        "limit": 200,
    }


def test_an_empty_text_says_nothing() -> None:
    assert query_of("keys", ("team", ""), ("after", "")) == {}


@pytest.mark.parametrize(
    ("name", "pair", "field", "told"),
    [
        ("keys", ("teem", "search"), "teem", "There is no parameter `teem`; did you mean `team`?"),
        ("me", ("x", "y"), "x", "There is no parameter `x`."),
        ("teams", ("gwk_" + "s" * 99, ""), "gwk_" + "s" * 60, "There is no parameter `gwk_ssss"),
        ("keys", ("zzz", "1"), "zzz", "There are: team, state, after, limit."),
        ("keys", ("limit", "0"), "limit", "limit must be a whole number from 1 to 200."),
        ("keys", ("limit", "201"), "limit", "limit must be"),
        ("keys", ("limit", ""), "limit", "limit must be"),
        ("keys", ("limit", "1.0"), "limit", "limit must be"),
        ("keys", ("limit", "-1"), "limit", "limit must be"),
        ("keys", ("limit", "\u0663"), "limit", "limit must be"),
        ("keys", ("limit", "9" * 5000), "limit", "limit must be"),
        ("keys", ("state", "dead"), "state", "state must be one of `live`, `expired`"),
        ("keys", ("state", ""), "state", "state must be one of"),
        ("keys", ("team", "x" * 257), "team", "team is not spelled like one, or is too long."),
        ("keys", ("team", "a\x00"), "team", "team is not spelled"),
        ("keys", ("team", "a\udcff"), "team", "team is not spelled"),
        ("keys", ("after", "../../x"), "after", "after is not spelled"),
        ("verify_audit", ("head", "5:xyz"), "head", "head is not spelled"),
        ("limits", ("key", "web"), "team", "Say `team`."),
    ],
)
def test_a_wrong_parameter_is_named(name: str, pair: tuple[str, str], field: str, told: str) -> None:
    with pytest.raises(Problem) as refused:
        query_of(name, pair)
    assert (refused.value.status, refused.value.field) == (400, field)
    assert told in refused.value.detail


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(Problem, match="`team` may be given once") as refused:
        query_of("keys", ("team", "a"), ("team", "b"))
    assert refused.value.field == "team"


def test_no_body_is_an_empty_one() -> None:
    assert read_body(Rotation, b"") == read_body(Rotation, b" {} ") == Rotation()


@pytest.mark.parametrize(
    ("shape", "raw", "status", "field", "told"),
    [
        (NewKey, b"", 422, "team", "`team` is missing."),
        (NewKey, b'{"team": "a"}', 422, "name", "`name` is missing."),
        (NewKey, b'{"tean": "a"}', 422, "tean", "There is no member `tean`; did you mean `team`?"),
        (NewKey, b'{"team": 1, "name": "b"}', 422, "team", "Expected `str`, got `int`."),
        (
            NewKey,
            b'{"team": "a", "name": "b", "grant": {"model": []}}',
            422,
            "grant.model",
            "There is no member `model`; did you mean `models`?",
        ),
        (
            NewKey,
            b'{"team": "a", "name": "b", "grant": {"models": ["x", 2]}}',
            422,
            "grant.models[1]",
            "Expected `str`, got `int`.",
        ),
        (NewKey, b'{"team": "a\\n", "name": "b"}', 422, "team", "Expected `str` matching regex"),
        (NewKey, b'{"team": "a", "name": "b", "owner": "x\\u0000"}', 422, "owner", "Expected `str` matching"),
        (
            NewKey,
            b'{"team": "a", "name": "b", "expires_at": 1e3}',
            422,
            "expires_at",
            "Expected `int | null`",
        ),
        (NewKey, b'{"team": "a", "name": "b", "expires_at": -1}', 422, "expires_at", "Expected `int` >= 0."),
        (ImportedKey, b'{"team": "a", "name": "b", "sha256": "beef"}', 422, "sha256", "matching regex"),
        (Rotation, b'{"overlap_seconds": 2592001}', 422, "overlap_seconds", "Expected `int` <= 2592000."),
        (Nothing, b'{"force": true}', 422, "force", "There is no member `force`."),
        (DryRun, b'{"path": "v1"}', 422, "path", "Expected `str` matching regex"),
        (NewKey, b"[]", 422, "", "Expected `object`, got `array`."),
        (NewKey, b"nothing", 400, "", "The body is not JSON."),
        (NewKey, b'{"team": "\xff"}', 400, "", "The body is not JSON."),
        (
            DryRun,
            b'{"path": "/v1", "body": ' + b"[" * 9000 + b"]" * 9000 + b"}",
            400,
            "",
            "nested too deeply",
        ),
    ],
)
def test_a_wrong_body_is_told_by_its_place(
    shape: type[Body], raw: bytes, status: int, field: str, told: str
) -> None:
    with pytest.raises(Problem) as refused:
        read_body(shape, raw)
    assert (refused.value.status, refused.value.field) == (status, field)
    assert told in refused.value.detail


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_says_that_it_is_json(client: Client, content_type: str) -> None:
    headers = {**by("ops"), "content-type": content_type}
    answer = await client.post("/admin/keys", data=b'{"team": "search", "name": "web"}', headers=headers)
    assert (answer.status, (await problem(answer))["field"]) == (415, "content-type")


async def test_parameters_of_json_are_let_be(client: Client) -> None:
    headers = {**by("ops"), "content-type": "application/json; charset=utf-8"}
    answer = await client.post("/admin/keys", data=b'{"team": "search", "name": "web"}', headers=headers)
    assert answer.status == 201
