"""The official Python SDK through the gateway: vectors, moderation, pictures, sound, the list of models."""

import base64
import io
import json
from typing import Any

import pytest
from openai import OpenAI

from tests.support.house import House

EMBEDDER = "text-embedding-3-small"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SPOKEN = b"RIFF" + bytes(range(256)) * 180
"""Not quite three seconds of sound, by the simulator's reckoning."""

old = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
"""The SDK warns of what OpenAI is about to remove; the gateway serves it while it is there."""


def test_an_embedding_is_the_same_by_default_and_as_floats(client: OpenAI) -> None:
    packed = client.embeddings.create(model=EMBEDDER, input="river", dimensions=8)
    floats = client.embeddings.create(model=EMBEDDER, input="river", dimensions=8, encoding_format="float")

    assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert packed.usage.prompt_tokens == floats.usage.prompt_tokens > 0


def test_embeddings_are_sent_packed_unless_asked_otherwise(client: OpenAI, home: House) -> None:
    client.embeddings.create(model=EMBEDDER, input=["river", "stone"])

    assert json.loads(home.simulator.requests[-1].body)["encoding_format"] == "base64"


@pytest.mark.parametrize("given", [["river", "stone"], [[1, 2, 3], [4, 5]]])
def test_several_inputs_give_several_embeddings(client: OpenAI, given: Any) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input=given)

    assert [one.index for one in answer.data] == [0, 1]


def test_a_moderation_judges_each_text(client: OpenAI) -> None:
    answer = client.moderations.create(model="omni-moderation-latest", input=["violence", "garden"])

    assert [result.flagged for result in answer.results] == [True, False]
    assert answer.results[0].categories.violence


def test_a_moderation_needs_no_model(client: OpenAI) -> None:
    assert client.moderations.create(input="garden").model == "omni-moderation-latest"


def test_a_picture_is_generated(client: OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-1", prompt="a quiet harbour", n=2)

    assert answer.data
    assert [base64.b64decode(one.b64_json or "")[:4] for one in answer.data] == [b"\x89PNG"] * 2
    assert answer.usage
    assert answer.usage.output_tokens > 0


def test_a_picture_is_generated_at_an_address(client: OpenAI) -> None:
    answer = client.images.generate(model="dall-e-3", prompt="a quiet harbour")

    assert answer.data
    assert (answer.data[0].url or "").startswith("https://")


def test_a_picture_comes_in_stages(client: OpenAI) -> None:
    stream = client.images.generate(
        model="gpt-image-1", prompt="a quiet harbour", stream=True, partial_images=2
    )

    events = list(stream)
    partial = "image_generation.partial_image"
    assert [event.type for event in events] == [partial, partial, "image_generation.completed"]
    assert events[-1].type == "image_generation.completed"
    assert events[-1].usage.output_tokens > 0


def test_pictures_are_edited(client: OpenAI, home: House) -> None:
    answer = client.images.edit(
        model="gpt-image-1",
        prompt="at night",
        image=[("one.png", PNG, "image/png"), ("two.png", PNG, "image/png")],
        mask=("mask.png", PNG, "image/png"),
    )

    assert answer.data
    assert home.simulator.requests[-1].body.count(PNG) == 3


def test_a_picture_is_edited_in_stages(client: OpenAI) -> None:
    stream = client.images.edit(
        model="gpt-image-1", prompt="at night", image=("one.png", PNG), stream=True, partial_images=1
    )

    assert [event.type for event in stream] == ["image_edit.partial_image", "image_edit.completed"]


@old
def test_a_picture_is_varied(client: OpenAI) -> None:
    answer = client.images.create_variation(image=("one.png", PNG), n=2, response_format="b64_json")

    assert answer.data
    assert [base64.b64decode(one.b64_json or "")[:4] for one in answer.data] == [b"\x89PNG"] * 2


def test_speech_is_the_same_at_once_and_as_it_is_made(client: OpenAI) -> None:
    at_once = client.audio.speech.create(model="tts-1", voice="alloy", input="The river is quiet.")
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="The river is quiet."
    ) as made:
        assert made.headers["content-type"] == "audio/mpeg"
        assert b"".join(made.iter_bytes()) == at_once.content != b""


def test_speech_comes_as_events(client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input="The river is quiet.", stream_format="sse"
    ) as made:
        events = [json.loads(line.removeprefix("data: ")) for line in made.iter_lines() if line]

    assert events[-1]["type"] == "speech.audio.done"
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}


def test_a_transcript_is_written(client: OpenAI, home: House) -> None:
    transcript = client.audio.transcriptions.create(
        model="whisper-1", file=io.BytesIO(SPOKEN), prompt="Names: Åse."
    )

    assert transcript.text
    assert SPOKEN in home.simulator.requests[-1].body
    assert "Names: Åse.".encode() in home.simulator.requests[-1].body


def test_a_transcript_tells_of_its_segments(client: OpenAI) -> None:
    transcript = client.audio.transcriptions.create(
        model="whisper-1",
        file=("talk.wav", SPOKEN),
        response_format="verbose_json",
        timestamp_granularities=["segment"],
    )

    assert transcript.duration == 3
    assert transcript.segments
    assert transcript.segments[0].text == transcript.text


@pytest.mark.parametrize(("form", "begins"), [("text", ""), ("srt", "1\n00:00:00,000"), ("vtt", "WEBVTT")])
def test_a_transcript_can_be_plain(client: OpenAI, form: Any, begins: str) -> None:
    transcript = client.audio.transcriptions.create(
        model="whisper-1", file=("talk.wav", SPOKEN), response_format=form
    )

    assert isinstance(transcript, str)
    assert transcript.startswith(begins)


def test_a_transcript_comes_word_by_word(client: OpenAI) -> None:
    events = list(
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("talk.wav", SPOKEN), stream=True)
    )

    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    last = events[-1]
    assert last.type == "transcript.text.done"
    assert last.text == "".join(deltas)


@old
def test_a_translation_is_written(client: OpenAI) -> None:
    assert client.audio.translations.create(model="whisper-1", file=("talk.wav", SPOKEN)).text


def test_the_models_are_the_teams_own(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]

    assert {"gpt-4o-mini", "gpt-6-luna", EMBEDDER} <= set(names)
    assert "ft:gpt-4.1-mini:simulated-org::Abc123" not in names  # somebody's own, upstream


def test_a_model_is_described(client: OpenAI) -> None:
    model = client.models.retrieve("gpt-6-luna")

    assert (model.id, model.object) == ("gpt-6-luna", "model")
