"""The rule of `include_usage`, on the wire itself: no SDK looks as closely as a gateway must."""

from typing import Any

import pytest

HI = [{"role": "user", "content": "Hi"}]
PATHS: dict[str, dict[str, Any]] = {"chat/completions": {"messages": HI}, "completions": {"prompt": "Hi"}}
both = pytest.mark.parametrize("path", PATHS)


def streamed(path: str, **options: Any) -> dict[str, Any]:
    extra = {"stream_options": options} if options else {}
    return {"model": "gpt-4o", "stream": True} | PATHS[path] | extra


@both
async def test_without_include_usage_no_chunk_has_a_usage_member(send: Any, path: str) -> None:
    *chunks, done = (await send(path, streamed(path))).events

    assert done == "[DONE]"
    assert not any("usage" in chunk for chunk in chunks)
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)


@both
async def test_with_include_usage_every_chunk_has_null_usage_except_one_more(send: Any, path: str) -> None:
    *chunks, last, done = (await send(path, streamed(path, include_usage=True))).events

    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0


@both
async def test_every_chunk_is_padded(send: Any, path: str) -> None:
    *chunks, _ = (await send(path, streamed(path, include_usage=True))).events

    assert len({len(chunk["obfuscation"]) for chunk in chunks}) > 3


@both
async def test_padding_can_be_declined(send: Any, path: str) -> None:
    *chunks, _ = (await send(path, streamed(path, include_obfuscation=False))).events

    assert not any("obfuscation" in chunk for chunk in chunks)


@both
async def test_all_chunks_share_one_id(send: Any, path: str) -> None:
    *chunks, _ = (await send(path, streamed(path, include_usage=True))).events

    assert len({(chunk["id"], chunk["created"], chunk["object"]) for chunk in chunks}) == 1


async def test_azure_begins_with_a_chunk_of_no_choices(send: Any, hello: dict[str, Any]) -> None:
    path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    first, *_ = (await send(path, hello | {"stream": True})).events

    assert first["choices"] == []
    assert "usage" not in first
