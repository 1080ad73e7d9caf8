"""What is not served: refused with a reason when OpenAI has it, unknown when nobody has."""

import re

import pytest

from gateway.core.endpoint import Endpoint
from gateway.wire.endpoints import endpoint_table
from tests.support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = [endpoint for endpoint in endpoint_table().endpoints if endpoint.refusal]


def operation(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def address(endpoint: Endpoint) -> str:
    """Its path after `/v1`, with something in each place of the template."""
    return re.sub(r"\{\w+\}", "abc-123", endpoint.path).removeprefix("/v1")


def method(endpoint: Endpoint) -> str:
    return "POST" if endpoint.method == "*" else endpoint.method


async def test_every_operation_that_is_not_served_is_refused_with_a_reason(home: House) -> None:
    assert len(REFUSED) > 200
    for endpoint in REFUSED:
        answer = await home.ask(method(endpoint), address(endpoint))
        assert (answer.status, answer.error["code"]) == (403, "endpoint_not_allowed"), operation(endpoint)
        assert str(endpoint.refusal) in answer.error["message"], operation(endpoint)


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("POST", "/files", "keep track of owners"),
        ("POST", "/batches", "keep track of owners"),
        ("GET", "/chat/completions", "keep track of owners"),
        ("GET", "/responses/resp_123", "keep track of owners"),
        ("DELETE", "/models/ft:gpt-4o:acme::abc", "keep track of owners"),
        ("GET", "/realtime", "could not be metered"),
        ("GET", "/organization/projects", "whole OpenAI organization"),
        ("POST", "/engines/davinci/completions", "shut it down"),
    ],
)
async def test_the_reason_says_why(home: House, method: str, path: str, reason: str) -> None:
    answer = await home.ask(method, path)
    assert (answer.status, reason in answer.error["message"]) == (403, True)


async def test_a_refused_operation_reaches_nobody_and_costs_nothing(home: House) -> None:
    before = len(home.simulator.requests)
    answer = await home.ask("POST", "/files", data=b"anything")
    assert (len(home.simulator.requests), await home.ledger(answer.request_id)) == (before, [])


@pytest.mark.parametrize(("method", "path"), [("POST", "/files"), ("GET", "/models"), ("GET", "/realtime")])
async def test_whoever_has_no_key_is_not_told_what_is_served(home: House, method: str, path: str) -> None:
    answer = await home.ask(method, path, headers={"authorization": ""})
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/", "/chat", "/chat/completion", "/v1/models", "/health"])
async def test_a_path_that_openai_does_not_have_is_unknown(home: House, path: str) -> None:
    answer = await home.ask("POST", path)
    assert (answer.status, answer.error["code"]) == (404, "unknown_endpoint")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/chat/completions", "GET, POST"),
        ("GET", "/embeddings", "POST"),
        ("POST", "/models", "GET"),
        ("PATCH", "/models/gpt-4o", "DELETE, GET"),
        ("OPTIONS", "/completions", "POST"),
        ("DELETE", "/files", "GET, POST"),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_named_with_those_it_has(
    home: House, method: str, path: str, allowed: str
) -> None:
    answer = await home.ask(method, path)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


async def test_an_operator_cannot_open_by_policy_what_cannot_be_owned(plain: House) -> None:
    answer = await plain.get("/files")
    assert (answer.status, answer.error["code"]) == (403, "endpoint_not_allowed")
