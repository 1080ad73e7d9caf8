import math
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

SMALL = "text-embedding-3-small"


@pytest.mark.parametrize(
    ("model", "dimensions", "length"),
    [(SMALL, openai.omit, 1536), (SMALL, 8, 8), ("text-embedding-3-large", openai.omit, 3072)],
)
async def test_a_vector_has_the_length_asked_for_and_norm_one(
    sdk: AsyncOpenAI, model: str, dimensions: Any, length: int
) -> None:
    answer = await sdk.embeddings.create(model=model, input="Hello", dimensions=dimensions)

    assert len(answer.data[0].embedding) == length
    assert math.isclose(math.hypot(*answer.data[0].embedding), 1, rel_tol=1e-5)


async def test_base64_and_floats_are_the_same_vector(sdk: AsyncOpenAI) -> None:
    # Left to itself the SDK asks for base64 and decodes it.
    decoded = await sdk.embeddings.create(model=SMALL, input="Hello", dimensions=16)
    floats = await sdk.embeddings.create(model=SMALL, input="Hello", dimensions=16, encoding_format="float")

    assert decoded.data[0].embedding == pytest.approx(floats.data[0].embedding)


async def test_each_text_gets_its_own_vector_and_all_are_counted(sdk: AsyncOpenAI) -> None:
    answer = await sdk.embeddings.create(model=SMALL, input=["one two", "three"], dimensions=4)

    assert [each.index for each in answer.data] == [0, 1]
    assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 3


async def test_too_many_texts_are_refused(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await sdk.embeddings.create(model=SMALL, input=["x"] * 2049)
