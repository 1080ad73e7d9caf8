import openai
import pytest
from openai import AsyncOpenAI

from gateway.simulator.catalogue import check
from gateway.simulator.errors import Refusal


async def test_the_list_shows_somebodys_own_model_too(sdk: AsyncOpenAI) -> None:
    names = {model.id async for model in sdk.models.list()}

    assert {"gpt-4o", "ft:gpt-4.1-mini:simulated-org::Abc123"} <= names


@pytest.mark.parametrize("name", ["gpt-4o", "ft:gpt-4.1-mini:org::id", "sim-anything"])
async def test_a_model_is_retrieved_by_its_name(sdk: AsyncOpenAI, name: str) -> None:
    assert (await sdk.models.retrieve(name)).id == name


async def test_an_unknown_model_is_not_found(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await sdk.chat.completions.create(model="llama", messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    "name", ["o3", "text-embedding-3-small", "dall-e-3", "whisper-1", "tts-1", "omni-moderation-latest"]
)
def test_every_model_of_a_known_family_exists(name: str) -> None:
    check(name, azure=False)


@pytest.mark.parametrize("name", ["llama", "GPT-4o", "", "agpt-4"])
def test_no_other_model_exists(name: str) -> None:
    with pytest.raises(Refusal):
        check(name, azure=False)
