from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from gateway.simulator import app
from gateway.simulator.log import Completion
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator

STRICT = frozenset({"sk-good"})


async def test_a_leaked_header_is_answered_with_418(send: Any, simulator: Simulator) -> None:
    reply = await send("models", method="GET", headers={"Cookie": "a=b", "X-Forwarded-For": "10.0.0.1"})

    assert reply.status == 418
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    names = [complaint.partition(":")[0] for complaint in simulator.complaints]
    assert names == ["Cookie", "X-Forwarded-For"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bearer sk-good"}, 200, None),
        ({"Authorization": "Bearer sk-wrong-key-of-ours"}, 401, "invalid_api_key"),
        ({}, 401, None),
    ],
    ids=["good", "wrong", "missing"],
)
async def test_the_upstream_key_is_checked(headers: dict[str, str], status: int, code: str | None) -> None:
    async with running(Simulator(pace=Pace.instant(), api_keys=STRICT)) as url:
        key = headers.get("Authorization", "").removeprefix("Bearer ")
        async with AsyncOpenAI(base_url=url, api_key=key or "unused", max_retries=0) as sdk:
            omitted: Any = {} if key else {"Authorization": openai.omit}
            if status == 200:
                await sdk.models.list()
                return
            with pytest.raises(openai.AuthenticationError) as refused:
                await sdk.models.list(extra_headers=omitted)
            assert refused.value.code == code


async def test_the_log_holds_what_came_and_what_was_reported(
    send: Any, hello: dict[str, Any], simulator: Simulator
) -> None:
    reply = await send("chat/completions?a=%26", hello, headers={"X-Mine": "1"})
    (seen,) = simulator.requests

    assert (seen.method, seen.raw_path) == ("POST", "/v1/chat/completions?a=%26")
    assert seen.headers["x-mine"] == "1"
    assert b"Hello there" in seen.body
    assert (seen.status, seen.completion) == (200, Completion.FINISHED)
    assert seen.usage == reply.json["usage"]
    assert seen.told_tokens == seen.usage["completion_tokens"]


async def test_a_refused_request_is_in_the_log_without_usage(send: Any, simulator: Simulator) -> None:
    await send("nowhere", {})
    (seen,) = simulator.requests

    assert (seen.status, seen.usage, seen.completion) == (404, None, Completion.FINISHED)


async def test_an_oversized_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LARGEST_BODY", 100)
    async with (
        running(Simulator(pace=Pace.instant())) as url,
        AsyncOpenAI(base_url=url, api_key="sk-1", max_retries=0) as sdk,
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            await sdk.responses.create(input="x" * 200)
        assert refused.value.status_code == 413


async def test_a_body_that_is_no_json_is_refused(send: Any) -> None:
    reply = await send("chat/completions", data=b"{", headers={"content-type": "application/json"})

    assert reply.status == 400
    assert "could not parse the JSON body" in reply.json["error"]["message"]
