from base64 import b64decode
from typing import Any

import pytest
from openai import AsyncOpenAI

PNG = b"\x89PNG\r\n\x1a\n"


async def test_modern_models_give_inline_images_with_usage(sdk: AsyncOpenAI) -> None:
    answer = await sdk.images.generate(model="gpt-image-1.5", prompt="a red cat", n=2, quality="low")

    assert answer.data is not None
    assert [b64decode(image.b64_json or "")[:8] for image in answer.data] == [PNG, PNG]
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 2 * 272)


@pytest.mark.parametrize(("form", "given"), [("url", "url"), ("b64_json", "b64_json")])
async def test_dall_e_reports_no_usage(sdk: AsyncOpenAI, form: Any, given: str) -> None:
    answer = await sdk.images.generate(model="dall-e-3", prompt="a cat", response_format=form)

    assert answer.data is not None
    assert getattr(answer.data[0], given)
    assert answer.usage is None


async def test_images_are_streamed_part_by_part(sdk: AsyncOpenAI) -> None:
    stream = await sdk.images.generate(model="gpt-image-1.5", prompt="a cat", stream=True, partial_images=2)
    events = [event async for event in stream]

    assert [event.type.removeprefix("image_generation.") for event in events] == [
        "partial_image",
        "partial_image",
        "completed",
    ]
    assert events[-1].type == "image_generation.completed"
    assert events[-1].usage.output_tokens == 1056


async def test_an_edit_counts_the_images_it_was_given(sdk: AsyncOpenAI) -> None:
    files = [("a.png", PNG), ("b.png", PNG)]
    answer = await sdk.images.edit(model="gpt-image-1.5", image=files, prompt="a hat")

    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 2 * 194


async def test_an_edit_is_streamed_under_its_own_name(sdk: AsyncOpenAI) -> None:
    stream = await sdk.images.edit(model="gpt-image-1.5", image=("a.png", PNG), prompt="a hat", stream=True)

    assert [event.type async for event in stream] == ["image_edit.completed"]


async def test_an_edit_may_come_as_json(send: Any) -> None:
    body = {"model": "gpt-image-1.5", "prompt": "a hat", "images": [{"image_url": "data:,"}]}

    assert (await send("images/edits", body)).json["usage"]["input_tokens_details"]["image_tokens"] == 194


async def test_variations_are_made(sdk: AsyncOpenAI) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer = await sdk.images.create_variation(image=("a.png", PNG), n=3)

    assert len(answer.data or []) == 3
