import asyncio
import gzip
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from gateway.simulator.faults import FAULTS, Fault
from gateway.simulator.log import Completion
from gateway.simulator.simulator import Simulator

HELLO: Any = [{"role": "user", "content": "Hello there"}]
BROKEN = aiohttp.ClientPayloadError


def faulty(hello: dict[str, Any], fault: str, **more: Any) -> dict[str, Any]:
    return hello | {"metadata": {"simulate": fault}} | more


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("429", 429, "application/json"),
        ("500", 500, "application/json"),
        ("503_html", 503, "text/html; charset=utf-8"),
        ("401", 401, "application/json"),
        ("redirect", 307, "application/json"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_stands_in_for_the_answer(
    send: Any, hello: dict[str, Any], fault: str, status: int, kind: str, stream: bool
) -> None:
    reply = await send("chat/completions", faulty(hello, fault, stream=stream))

    assert (reply.status, reply.headers["content-type"]) == (status, kind)


async def test_a_rate_limit_tells_how_long_to_wait(send: Any, hello: dict[str, Any]) -> None:
    reply = await send("chat/completions", faulty(hello, "429:2.5"))

    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("3", "2500")
    assert reply.json["error"]["code"] == "rate_limit_exceeded"
    assert "try again in 2.5s" in reply.json["error"]["message"]


async def test_a_redirect_leads_elsewhere(send: Any, hello: dict[str, Any]) -> None:
    assert "elsewhere" in (await send("chat/completions", faulty(hello, "redirect"))).headers["location"]


@pytest.mark.parametrize("fault", ["cut", "cut_body"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_answer_looks_cut(
    send: Any, hello: dict[str, Any], simulator: Simulator, fault: str, stream: bool
) -> None:
    with pytest.raises(BROKEN):
        await send("chat/completions", faulty(hello, fault, stream=stream))
    assert simulator.requests[0].completion is Completion.CUT


@pytest.mark.parametrize("number", [0, 1, 5])
async def test_a_stream_is_cut_after_so_many_events(http: Any, hello: dict[str, Any], number: int) -> None:
    async with http.post("chat/completions", json=faulty(hello, f"cut:{number}", stream=True)) as answer:
        events = [await answer.content.readuntil(b"\n\n") for _ in range(number)]
        with pytest.raises(BROKEN):
            await answer.content.readuntil(b"\n\n")

    assert len(events) == number


async def test_a_cut_never_spares_the_end(send: Any, hello: dict[str, Any]) -> None:
    with pytest.raises(BROKEN):
        await send("chat/completions", faulty(hello, "cut:1000", stream=True))


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_silence_lasts_until_the_client_leaves(
    http: Any, hello: dict[str, Any], simulator: Simulator, fault: str
) -> None:
    async def ask() -> None:
        async with http.post("chat/completions", json=faulty(hello, fault, stream=True)) as answer:
            await answer.read()

    asking = asyncio.create_task(ask())
    seen = await simulator.arrival()
    asking.cancel()
    await asyncio.wait_for(seen.ended.wait(), 5)

    assert seen.completion is Completion.CLIENT_LEFT
    assert seen.usage is None


async def test_a_stalled_stream_has_begun(http: Any, hello: dict[str, Any], simulator: Simulator) -> None:
    async with http.post("chat/completions", json=faulty(hello, "stall:3", stream=True)) as answer:
        events = [await answer.content.readuntil(b"\n\n") for _ in range(3)]

    assert len(events) == 3
    assert simulator.requests[0].told_tokens == 2


CHAT = ("chat/completions", {"model": "gpt-4o", "messages": HELLO})
RESPONSES = ("responses", {"model": "gpt-4o", "input": "Hello"})
IMAGES = ("images/generations", {"model": "gpt-image-1.5", "prompt": "Hello", "partial_images": 3})


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        (CHAT, b'data: {"error":{"message":"The server had an error'),
        (RESPONSES, b'event: error\ndata: {"type":"error","code":"server_error","message":"The server'),
        (IMAGES, b'event: error\ndata: {"type":"error","error":{"message":"The server had an error'),
    ],
    ids=["chat", "responses", "images"],
)
async def test_an_error_in_a_stream_speaks_the_endpoints_dialect(
    send: Any, endpoint: Any, start: bytes
) -> None:
    path, body = endpoint
    reply = await send(path, faulty(body, "error_in_stream", stream=True))
    *events, error, _ = reply.body.split(b"\n\n")

    assert (reply.status, len(events)) == (200, 2)
    assert error.startswith(start)


async def test_the_sdk_raises_an_error_in_a_chat_stream(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, metadata={"simulate": "error_in_stream"}
    )
    with pytest.raises(openai.APIError, match="had an error"):
        _ = [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        CHAT,
        ("chat/completions", CHAT[1] | {"stream": True, "stream_options": {"include_usage": True}}),
        RESPONSES,
        ("responses", RESPONSES[1] | {"stream": True}),
        ("embeddings", {"model": "text-embedding-3-small", "input": "Hi", "dimensions": 2}),
    ],
)
async def test_usage_can_be_missing_everywhere(send: Any, simulator: Simulator, path: str, body: Any) -> None:
    reply = await send(path, faulty(body, "missing_usage"))

    assert reply.status == 200
    assert b"_tokens_details" not in reply.body
    assert b"total_tokens" not in reply.body
    assert b'"choices":[]' not in reply.body
    assert simulator.requests[0].usage is None


@pytest.mark.parametrize(("endpoint", "end"), [(CHAT, b"[DONE]"), (RESPONSES, b"response.completed")])
async def test_a_stream_can_end_without_its_last_event(send: Any, endpoint: Any, end: bytes) -> None:
    path, body = endpoint

    assert end in (await send(path, body | {"stream": True})).body
    assert end not in (await send(path, faulty(body, "no_done", stream=True))).body


async def test_a_line_can_be_huge(send: Any, hello: dict[str, Any]) -> None:
    reply = await send("chat/completions", faulty(hello, "huge_line", stream=True))

    assert max(map(len, reply.body.splitlines())) > 1 << 20
    assert reply.events[-1] == "[DONE]"


async def test_lines_can_end_in_crlf(send: Any, hello: dict[str, Any]) -> None:
    reply = await send("chat/completions", faulty(hello, "crlf", stream=True))

    assert reply.body.count(b"\n") == reply.body.count(b"\r\n") > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_can_be_compressed_unasked(send: Any, hello: dict[str, Any], stream: bool) -> None:
    plain = await send("chat/completions", hello | {"stream": stream})
    reply = await send(
        "chat/completions", faulty(hello, "gzip", stream=stream), headers={"Accept-Encoding": "identity"}
    )

    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body).count(b"choices") == plain.body.count(b"choices")


@pytest.mark.parametrize("fault", ["split", "slow_drip", "crlf", "huge_line", "no_done", "gzip"])
async def test_the_sdk_bears_harmless_faults(sdk: AsyncOpenAI, fault: str) -> None:
    async def text(**fault: Any) -> str:
        stream = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, **fault)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert await text(metadata={"simulate": fault}) == await text()


async def test_a_form_asks_for_a_fault_in_a_field(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.RateLimitError):
        await sdk.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", b"x"), extra_body={"simulate": "429"}
        )


@pytest.mark.parametrize("fault", ["earthquake", "cut:many", "cut:inf"])
async def test_an_unknown_fault_is_refused(send: Any, hello: dict[str, Any], fault: str) -> None:
    reply = await send("chat/completions", faulty(hello, fault))

    assert (reply.status, reply.json["error"]["param"]) == (400, "metadata.simulate")


async def test_a_test_orders_faults_for_the_next_requests(
    send: Any, hello: dict[str, Any], simulator: Simulator
) -> None:
    simulator.faults.next(Fault("429", 1), times=2)
    simulator.faults.next(Fault("500"))

    assert [(await send("chat/completions", hello)).status for _ in range(4)] == [429, 429, 500, 200]


def test_a_fault_that_does_not_exist_cannot_be_ordered() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        Fault("earthquake")


def test_every_fault_says_what_it_means() -> None:
    assert all(effect.meaning for effect in FAULTS.values())
