from typing import Any

import pytest
from openai import AsyncAzureOpenAI

from gateway.simulator.endpoints import locate
from gateway.simulator.errors import Refusal


def refusal(method: str, path: str) -> tuple[int, Any]:
    with pytest.raises(Refusal) as refused:
        locate(method, path)
    answer = refused.value.answer
    return answer.status, answer.parts[0].data["error"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    "path", ["/v1/chat/completion", "/chat/completions", "/", "//[x", "/openai/v2/models"]
)
def test_an_unknown_path_is_an_invalid_url(path: str) -> None:
    status, error = refusal("POST", path)

    assert (status, error["message"], error["code"]) == (404, f"Invalid URL (POST {path})", None)


def test_the_wrong_method_is_refused() -> None:
    assert refusal("GET", "/v1/chat/completions")[0] == 405


@pytest.mark.parametrize("path", ["/v1/models/ft:a:b::c", "/v1/models/ft%3Aa%3Ab%3A%3Ac"])
def test_a_model_in_the_path_may_be_percent_encoded(path: str) -> None:
    assert locate("GET", path).model == "ft:a:b::c"


@pytest.mark.parametrize("tail", ["chat/completions", "completions", "embeddings", "audio/speech"])
def test_azure_names_the_model_by_its_deployment(tail: str) -> None:
    place = locate("POST", f"/openai/deployments/gpt-4o/{tail}?api-version=2024-10-21")

    assert (place.model, place.azure) == ("gpt-4o", True)


def test_azure_without_api_version_finds_nothing() -> None:
    status, error = refusal("POST", "/openai/deployments/gpt-4o/chat/completions")

    assert (status, error) == (404, {"code": "404", "message": "Resource not found"})


def test_azures_newer_address_needs_no_api_version() -> None:
    assert locate("POST", "/openai/v1/responses").azure


async def test_azures_own_client_is_answered(url: str) -> None:
    async with AsyncAzureOpenAI(
        azure_endpoint=url.removesuffix("/v1"), api_key="azure-key", api_version="2024-10-21", max_retries=0
    ) as client:
        answer = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
        )

    assert answer.model == "gpt-4o"


async def test_an_unknown_deployment_is_refused_in_azures_words(send: Any, hello: dict[str, Any]) -> None:
    reply = await send("/openai/deployments/mine/chat/completions?api-version=2024-10-21", hello)

    assert (reply.status, reply.json["error"]["code"]) == (404, "DeploymentNotFound")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"model": "gpt-4o"}, "messages"),
        ("embeddings", {"model": "text-embedding-3-small"}, "input"),
        ("images/generations", {}, "prompt"),
        ("audio/speech", {"model": "tts-1", "input": "Hi"}, "voice"),
        ("audio/transcriptions", {"model": "whisper-1"}, "file"),
    ],
)
async def test_a_missing_member_is_named(send: Any, path: str, body: dict[str, Any], param: str) -> None:
    reply = await send(path, body)

    assert reply.status == 400
    assert reply.json["error"]["param"] == param
    assert reply.json["error"]["code"] == "missing_required_parameter"


async def test_a_missing_model_is_refused(send: Any, hello: dict[str, Any]) -> None:
    reply = await send("chat/completions", hello | {"model": None})

    assert (reply.status, reply.json["error"]["message"]) == (400, "you must provide a model parameter")
