"""The OpenAPI document. That it is true is proven by schemathesis; here, that it is whole."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.admin.document import openapi
from gateway.admin.operations import OPERATIONS, Operation
from tests.repo.pages import page, rows
from tests.support.operators import Client, by

EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
DOCUMENT = openapi()


def of(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return told


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(each)


async def test_it_is_served_to_whoever_is_signed_in(client: Client) -> None:
    answer = await client.get("/admin/openapi.json", headers=by("search-lead"))
    assert await answer.json() == msgspec.to_builtins(DOCUMENT)


def test_it_holds_every_operation_and_no_other() -> None:
    told = {each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()}
    assert told == {operation.name for operation in OPERATIONS}


def test_every_shape_that_is_named_is_there() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(references(DOCUMENT)) <= known


@EVERY
def test_it_names_the_roles_of_an_operation(operation: Operation) -> None:
    assert set(of(operation)["x-roles"]) == {role.value for role in operation.roles}


@EVERY
def test_it_describes_every_parameter(operation: Operation) -> None:
    told = {(each["in"], each["name"]) for each in of(operation).get("parameters", [])}
    wanted = {("query", each.name) for each in operation.query}
    wanted |= {("path", name) for name in re.findall(r"{(\w+)}", operation.path)}
    assert told - {("header", "idempotency-key")} == wanted
    assert (("header", "idempotency-key") in told) == operation.changes


@EVERY
def test_it_tells_what_can_go_wrong_as_problem_details(operation: Operation) -> None:
    answers = of(operation)["responses"]
    wrong = {status for status in answers if status >= "400"}
    assert {"401", "403", "503"} <= wrong
    assert all("application/problem+json" in answers[status]["content"] for status in wrong)


def test_an_example_of_a_body_fits_its_shape() -> None:
    for operation in OPERATIONS:
        if operation.body is not None and operation.example is not None:
            assert msgspec.convert(dict(operation.example), operation.body)


def test_only_made_keys_have_a_secret() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    secretive = {
        name
        for name, schema in schemas.items()
        if {"secret", "secret_hash", "previous_hash", "token"} & schema.get("properties", {}).keys()
    }
    assert secretive == {"MadeKey"}


@EVERY
def test_every_operation_has_its_row_in_the_docs(operation: Operation) -> None:
    told = {row[0]: row for row in rows(page("operators-api.md"))}
    if operation.reads_query_itself:
        assert "`GET /v1/organization/…`" in told
        return
    roles = told[f"`{operation.method} {operation.path}`"][2]
    wanted = {role.value for role in operation.roles}
    assert roles == "all" if len(wanted) == 4 else {role.strip("` ") for role in roles.split(",")} == wanted
