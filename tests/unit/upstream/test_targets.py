"""Where an operation is found at an upstream, and how we say who we are."""

import pytest
from pydantic import SecretStr

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.upstream.targets import Target, Targets, UpstreamKind

OPENAI = Target(name="openai", base_url="https://api.openai.com/v1", api_key=SecretStr("sk-1"))
AZURE = Target(
    name="azure",
    base_url="https://eu.openai.azure.com",
    api_key=SecretStr("az-1"),
    kind=UpstreamKind.AZURE,
    api_version="2024-10-21",
)
LOCAL = Target(name="local", base_url="http://llama:8000", api_key=None)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (OPENAI, "/v1/chat/completions"),
        (AZURE, "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"),
        (LOCAL, "/chat/completions"),
    ],
)
def test_each_kind_spells_a_path_in_its_own_way(target: Target, path: str) -> None:
    assert target.path("/chat/completions", "", "gpt") == path


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("/embeddings", "/openai/deployments/gpt/embeddings?api-version=2024-10-21"),
        ("/images/edits", "/openai/deployments/gpt/images/edits?api-version=2024-10-21"),
        ("/audio/transcriptions", "/openai/deployments/gpt/audio/transcriptions?api-version=2024-10-21"),
        ("/responses", "/openai/v1/responses"),
        ("/moderations", "/openai/v1/moderations"),
    ],
)
def test_azure_has_deployment_and_version_in_some_paths_only(operation: str, path: str) -> None:
    assert AZURE.path(operation, "", "gpt") == path


def test_a_deployment_cannot_leave_its_place_in_the_path() -> None:
    path = AZURE.path("/embeddings", "", "../a/b?c#d")
    assert path.startswith("/openai/deployments/..%2Fa%2Fb%3Fc%23d/embeddings?")


def test_the_clients_query_is_passed_on() -> None:
    assert OPENAI.path("/responses", "beta=true", "gpt") == "/v1/responses?beta=true"


@pytest.mark.parametrize(
    ("operation", "query"), [("/embeddings", "?api-version=2024-10-21"), ("/responses", "")]
)
def test_a_client_cannot_choose_azures_version(operation: str, query: str) -> None:
    path = AZURE.path(operation, "api-version=evil&x=1", "gpt")
    assert path.endswith(f"{operation}{query}")


@pytest.mark.parametrize(
    ("target", "credential"),
    [(OPENAI, ("authorization", "Bearer sk-1")), (AZURE, ("api-key", "az-1")), (LOCAL, None)],
)
def test_each_kind_wants_its_key_in_its_own_header(
    target: Target, credential: tuple[str, str] | None
) -> None:
    assert target.credential() == credential


@pytest.mark.parametrize("target", [OPENAI, AZURE])
def test_a_target_does_not_show_its_key(target: Target) -> None:
    assert "-1'" not in repr(target)


def test_a_target_is_found_by_its_name() -> None:
    assert Targets({"openai": OPENAI, "azure": AZURE}).find("azure") is AZURE


def test_an_upstream_that_is_not_set_up_cannot_be_reached() -> None:
    with pytest.raises(UpstreamFailed) as failed:
        Targets({}).find("openai")
    assert failed.value.code is ErrorCode.UPSTREAM_UNREACHABLE
