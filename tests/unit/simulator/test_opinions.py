import pytest

from gateway.simulator.opinions import Opinions


def complaints(name: str, value: str, *, azure: bool = False, opinions: Opinions | None = None) -> list[str]:
    return list((opinions or Opinions()).complaints([(name, value)], azure=azure))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cookie", "a=b"),
        ("Connection", "close"),
        ("Connection", "keep-alive, X-Private"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic eA=="),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Trailer", "Expires"),
        ("Upgrade", "h2c"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Forwarded", "for=10.0.0.1"),
        ("api-key", "sk-1"),
        ("X-API-Key", "sk-1"),
        ("Authorization", "Bearer gwk_team_secret"),
        ("X-Anything", "see GWK_team_secret"),
        ("OpenAI-Organization", "org-1"),
        ("OpenAI-Project", "proj_1"),
    ],
)
def test_what_a_gateway_must_not_forward_is_named_without_its_value(name: str, value: str) -> None:
    (complaint,) = complaints(name, value)

    assert complaint.startswith(f"{name}: ")
    assert value not in complaint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "keep-alive"),
        ("Authorization", "Bearer sk-1"),
        ("OpenAI-Beta", "assistants=v2"),
        ("X-Stainless-Lang", "python"),
        ("X-Client-Request-Id", "abc"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_what_a_gateway_has_to_forward_is_welcome(name: str, value: str) -> None:
    assert complaints(name, value) == []


def test_azure_takes_its_key_in_a_header_of_its_own() -> None:
    assert complaints("api-key", "0123", azure=True) == []


def test_azure_does_not_take_the_gateways_key_either() -> None:
    assert complaints("api-key", "gwk_team_secret", azure=True) != []


@pytest.mark.parametrize(("value", "number"), [("org-1", 0), ("org-2", 1)])
def test_only_the_expected_organization_is_welcome(value: str, number: int) -> None:
    opinions = Opinions(organization="org-1")

    assert len(complaints("OpenAI-Organization", value, opinions=opinions)) == number
