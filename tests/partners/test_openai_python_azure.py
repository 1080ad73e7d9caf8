"""The plain OpenAI client in front, Azure OpenAI behind: apps name models, and never learn of deployments."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.partners.conftest import beside
from tests.support.house import UPSTREAM_KEY, House, house

POLICIES = Path(__file__).parent / "policies" / "azure"
HELLO: Any = [{"role": "user", "content": "Hello there"}]


@asynccontextmanager
async def azure_house(folder: Path, resource: Simulator) -> AsyncIterator[House]:
    """A house whose models are all deployments of this Azure resource."""
    async with running(resource, host="localhost") as url:
        upstream = {"KIND": "azure", "BASE_URL": url.removesuffix("/v1"), "API_KEY": UPSTREAM_KEY}
        environment = {f"GATEWAY_UPSTREAMS__AZURE_EU__{name}": value for name, value in upstream.items()}
        async with house(folder, policies=POLICIES, environment=environment) as opened:
            yield opened


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, resource: Simulator) -> Iterator[House]:
    with beside(azure_house(tmp_path_factory.mktemp("azure"), resource)) as opened:
        yield opened
    assert resource.complaints == []


@pytest.fixture(scope="module")
def resource() -> Simulator:
    """Azure OpenAI, which takes the key in `api-key` alone."""
    return Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=Pace.instant())


def test_a_chat_is_answered_by_its_deployment(client: OpenAI, resource: Simulator) -> None:
    assert client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).choices[0].message.content

    deployment = "/openai/deployments/sim-chat%20eu%2F1/chat/completions"
    assert resource.requests[-1].raw_path == f"{deployment}?api-version=2024-10-21"


def test_a_query_of_the_clients_own_chooses_no_other_version(client: OpenAI, resource: Simulator) -> None:
    client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, extra_query={"api-version": "1999-12-31"}
    )

    assert resource.requests[-1].raw_path.endswith("?api-version=2024-10-21")


def test_a_stream_is_whole_and_shows_no_usage(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    preface, *chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))

    assert not preface.choices  # Azure's own: what it thinks of the prompt
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    )
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_the_stream_helper_copes_with_the_preface(client: OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o-mini", messages=HELLO) as stream:
        assert stream.get_final_completion().choices[0].message.content


def test_a_response_names_its_deployment_in_the_body(client: OpenAI, resource: Simulator) -> None:
    assert client.responses.create(model="gpt-4o-mini", input="Hello").output_text

    seen = resource.requests[-1]
    assert seen.raw_path == "/openai/v1/responses"
    assert json.loads(seen.body)["model"] == "sim-chat eu/1"


def test_embeddings_are_answered(client: OpenAI) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input="river", dimensions=8)

    assert len(answer.data[0].embedding) == 8


def test_a_picture_is_generated(client: OpenAI) -> None:
    assert client.images.generate(model="gpt-image-1", prompt="harbour").data


def test_speech_is_made(client: OpenAI) -> None:
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="The river.").content


def test_a_transcript_is_written(client: OpenAI, resource: Simulator) -> None:
    answer = client.audio.transcriptions.create(model="whisper-1", file=("talk.wav", b"RIFF" + bytes(900)))

    assert answer.text
    assert resource.requests[-1].raw_path.startswith(
        "/openai/deployments/whisper-eu/audio/transcriptions?api-version="
    )


def test_a_deployment_that_does_not_exist_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="forgotten", messages=HELLO)

    assert caught.value.code == "DeploymentNotFound"
