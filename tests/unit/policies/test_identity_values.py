"""Facts about `gateway/policies/identity_values.py`. The messages are in tests/golden/policies/identity."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.policies.identity_values import (
    Algorithm,
    ClaimSteps,
    ClaimValue,
    File,
    HeaderName,
    HttpsUrl,
    IssuerUrl,
    KeyLife,
    Leeway,
    NetworkText,
    SpiffeId,
    Subject,
    TokenLife,
)


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("spelling", "steps"),
    [
        ("sub", ["sub"]),
        ("realm_access.roles", ["realm_access", "roles"]),
        (["kubernetes.io", "namespace"], ["kubernetes.io", "namespace"]),
        (["https://example.com/team"], ["https://example.com/team"]),
    ],
)
def test_a_claim_is_found_by_dots_or_by_a_list_of_names(spelling: Any, steps: list[str]) -> None:
    assert read(ClaimSteps, spelling) == steps


@pytest.mark.parametrize(("value", "text"), [("x", "x"), (True, "true"), (False, "false"), ("5", "5")])
def test_a_claims_value_is_spelled_as_json_has_it(value: Any, text: str) -> None:
    assert read(ClaimValue, value) == text


@pytest.mark.parametrize(
    ("kind", "text", "seconds"),
    [
        (Leeway, "0s", 0.0),
        (Leeway, "30s", 30.0),
        (Leeway, "5m", 300.0),
        (TokenLife, "60s", 60.0),
        (TokenLife, "1h", 3600.0),
        (TokenLife, "30d", 2_592_000.0),
        (KeyLife, "15m", 900.0),
        (KeyLife, "1d", 86_400.0),
    ],
)
def test_a_span_of_time_has_its_unit(kind: Any, text: str, seconds: float) -> None:
    assert read(kind, text) == seconds


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((ClaimSteps, value) for value in ("", ".", "a.", "a..b", [], [""], 5, ["a"] * 9, "a/b", None)),
        *((ClaimValue, value) for value in (5, 1.5, None, ["x"], "x" * 1001)),
        *((Leeway, value) for value in (30, "30", "30 s", "-1s", "1.5m", "1w", "6m", "1m30s", "٣s")),
        *((TokenLife, value) for value in ("0s", "59s", "31d")),
        *((KeyLife, value) for value in ("59s", "25h", "")),
    ],
)
def test_what_is_no_such_word_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        read(kind, value)


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com",
        "https://login.example.com/",
        "https://login.example.com:8443/realms/a",
        "https://127.0.0.1:8443",
        "https://[::1]:8443/a",
    ],
)
def test_an_issuer_is_believed_by_https(url: str) -> None:
    assert read(IssuerUrl, url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com",
        "http://localhost",
        "HTTPS://login.example.com",
        "ftp://login.example.com",
        "login.example.com",
        "https://",
        "https:///path",
        "https://me@login.example.com",
        "https://login.example.com/#a",
        "https://login.example.com/a b",
        "https://login.example.com\\@evil.example",
        "https://lögin.example.com",
        "https://[::1",
        "https://login.example.com\n",
        "",
    ],
)
def test_nobody_is_believed_by_any_other_url(url: str) -> None:
    with pytest.raises(ValidationError):
        read(IssuerUrl, url)
    with pytest.raises(ValidationError):
        read(HttpsUrl, url)


def test_keys_may_be_asked_for_with_a_query() -> None:
    assert (
        read(HttpsUrl, "https://login.example.com/keys?appid=1") == "https://login.example.com/keys?appid=1"
    )


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES384", "EdDSA"])
def test_an_algorithm_is_asymmetric(algorithm: str) -> None:
    assert read(Algorithm, algorithm) == algorithm


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "hs512", "RS1", "rs256", "", "ES256K"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    with pytest.raises(ValidationError):
        read(Algorithm, algorithm)


@pytest.mark.parametrize("path", ["ca.crt", "./ca.crt", "../ca.crt", "~/ca.crt", "", "/a\n", 5])
def test_a_file_has_an_absolute_path(path: Any) -> None:
    with pytest.raises((ValidationError, TypeError)):
        read(File, path)


@pytest.mark.parametrize(
    ("text", "told"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.7", "10.0.0.7/32"), ("2001:db8::/32", "2001:db8::/32")],
)
def test_a_network_is_read_as_people_write_it(text: str, told: str) -> None:
    assert str(read(NetworkText, text)) == told


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.7/8", "proxy", "", 10, None, "10.0.0.0/33"])
def test_a_network_that_is_none_or_everybodys_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError):
        read(NetworkText, text)


@pytest.mark.parametrize("name", ["X-Forwarded-User", "x-auth-request-email", "X-Team"])
def test_a_header_that_says_who_asks_is_known_by_its_small_letters(name: str) -> None:
    assert read(HeaderName, name) == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Proxy-Authorization", "api-key", "X-Api-Key", "Cookie"),
        *("Host", "Content-Length", "Transfer-Encoding", "Connection", "TE", "Upgrade", "Expect"),
        *("X-Forwarded-For", "Forwarded", "X-Real-IP", "User-Agent"),
        *("", "x user", "x_user", "x-user:", "-x", "ü", "x" * 65),
    ],
)
def test_a_header_that_means_something_else_cannot_say_who_asks(name: str) -> None:
    with pytest.raises(ValidationError):
        read(HeaderName, name)


@pytest.mark.parametrize("text", ["spiffe://example.org/a", "spiffe://a.b-c_d/ns/search/sa/indexer.1"])
def test_a_spiffe_id_is_taken_letter_by_letter(text: str) -> None:
    assert read(SpiffeId, text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("spiffe://example.org", "spiffe://example.org/", "spiffe://Example.org/a", "spiffe:///a"),
        *("https://example.org/a", "spiffe://example.org/a/", "spiffe://example.org//a", "spiffe://a/b?c"),
        *("spiffe://example.org/" + "a" * 2048, "spiffe://me@example.org/a", "spiffe://example.org:80/a"),
    ],
)
def test_what_is_no_spiffe_id_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(SpiffeId, text)


def test_a_subject_is_spelled_in_one_way() -> None:
    assert read(Subject, "CN=\\61pi,O=Acme\\, Inc.") == "CN=api,O=Acme\\, Inc."


@pytest.mark.parametrize("text", ["", "api", "CN=", "CN=a, O=b", "emailAddress=a@example.com"])
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Subject, text)
