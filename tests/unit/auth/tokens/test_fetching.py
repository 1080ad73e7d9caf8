"""Documents are fetched by https and nothing else, in bounds, from a server with a real certificate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from gateway.auth.tokens.fetching import LARGEST, Fetcher, NotFetched, discovered
from tests.support.certificates import certificate, servers_side
from tests.support.eventually import eventually
from tests.support.issuer import StandingIssuer, standing_issuer


@pytest.fixture
async def standing(tmp_path: Path) -> AsyncIterator[StandingIssuer]:
    async with standing_issuer(tmp_path) as issuer:
        yield issuer


@asynccontextmanager
async def answering(folder: Path, answer: web.Response) -> AsyncIterator[tuple[str, Path]]:
    """A server's address and certificate; it answers everything like that."""

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        return answer

    ca_file = certificate(folder)
    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=servers_side(ca_file)).start()
        yield f"https://localhost:{runner.addresses[0][1]}", ca_file
    finally:
        await runner.cleanup()


async def fetched(standing: StandingIssuer, url: str, **changes: object) -> bytes:
    return await Fetcher().fetch(standing.believed(**changes), url)


async def test_a_document_is_what_the_server_says(standing: StandingIssuer) -> None:
    assert await fetched(standing, f"{standing.url}/keys") == standing.key_set


async def test_what_is_discovered_is_the_issuers_own_word(standing: StandingIssuer) -> None:
    found = await discovered(Fetcher().fetch, standing.believed())
    assert found == {"issuer": standing.url, "jwks_uri": f"{standing.url}/keys"}


async def test_a_server_whose_certificate_is_not_trusted_is_not_listened_to(standing: StandingIssuer) -> None:
    with pytest.raises(NotFetched, match="cannot be reached: ClientConnectorCertificateError"):
        await fetched(standing, f"{standing.url}/keys", ca_file=None)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/keys",
        "file:///etc/passwd",
        "localhost",
        "",
        "https://",
        "https://u:p@localhost/",
        "https:x",
    ],
)
async def test_an_address_that_is_not_https_is_not_asked(standing: StandingIssuer, url: str) -> None:
    with pytest.raises(NotFetched):
        await fetched(standing, url)


async def test_an_address_with_credentials_is_not_asked(standing: StandingIssuer) -> None:
    with pytest.raises(NotFetched, match="does not begin with https"):
        await fetched(standing, f"{standing.url}/keys".replace("localhost", "user:password@localhost"))
    assert standing.fetches == 0


async def test_a_server_without_tls_is_not_asked(standing: StandingIssuer) -> None:
    asked = []

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(body=standing.key_set)

    async with RawTestServer(take) as server:
        with pytest.raises(NotFetched, match="does not begin with https"):
            await fetched(standing, str(server.make_url("/keys")))
    assert asked == []


async def test_a_refusal_is_told_by_its_status(standing: StandingIssuer) -> None:
    standing.away = True
    with pytest.raises(NotFetched, match="status 503"):
        await fetched(standing, f"{standing.url}/keys")


async def test_a_redirect_is_not_followed(standing: StandingIssuer, tmp_path: Path) -> None:
    away = web.Response(status=302, headers={"Location": f"{standing.url}/keys"})
    async with answering(tmp_path, away) as (url, ca_file):
        with pytest.raises(NotFetched, match="status 302"):
            await fetched(standing, url, ca_file=ca_file)
    assert standing.fetches == 0


@pytest.mark.parametrize(("size", "fits"), [(LARGEST, True), (LARGEST + 1, False)])
async def test_a_document_has_a_bound(
    standing: StandingIssuer, tmp_path: Path, size: int, fits: bool
) -> None:
    async with answering(tmp_path, web.Response(body=b"x" * size)) as (url, ca_file):
        if fits:
            assert len(await fetched(standing, url, ca_file=ca_file)) == size
            return
        with pytest.raises(NotFetched, match="more than"):
            await fetched(standing, url, ca_file=ca_file)


async def test_a_server_that_does_not_answer_is_given_up(standing: StandingIssuer) -> None:
    standing.hold.clear()
    with pytest.raises(NotFetched, match="in time"):
        await Fetcher(deadline=0.05).fetch(standing.believed(), f"{standing.url}/keys")


async def test_a_missing_certificate_is_told(standing: StandingIssuer, tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="FileNotFoundError"):
        await fetched(standing, f"{standing.url}/keys", ca_file=tmp_path / "none.pem")


class TestTheTokenFile:
    @pytest.fixture
    def token_file(self, tmp_path: Path) -> Path:
        file = tmp_path / "token"
        file.write_text("first\n")
        return file

    async def test_its_token_is_sent_as_it_is_at_that_moment(
        self, standing: StandingIssuer, token_file: Path
    ) -> None:
        fetcher, issuer, url = Fetcher(), standing.believed(token_file=token_file), f"{standing.url}/keys"
        await fetcher.fetch(issuer, url)
        await asyncio.to_thread(token_file.write_text, "second\n")
        await fetcher.fetch(issuer, url)
        assert standing.authorizations == ["Bearer first", "Bearer second"]

    async def test_it_is_sent_to_no_address_that_a_document_names(
        self, standing: StandingIssuer, token_file: Path
    ) -> None:
        elsewhere = standing.believed(token_file=token_file)
        object.__setattr__(elsewhere, "url", "https://elsewhere.example")
        await Fetcher().fetch(elsewhere, f"{standing.url}/keys")
        assert standing.authorizations == [None]

    async def test_it_is_sent_where_identity_yaml_says_that_the_keys_are(
        self, standing: StandingIssuer, token_file: Path
    ) -> None:
        keys = f"{standing.url}/keys"
        standing.url = "https://elsewhere.example"
        await fetched(standing, keys, token_file=token_file, jwks_url=keys)
        assert standing.authorizations == ["Bearer first"]


async def test_a_fetch_can_be_left(standing: StandingIssuer) -> None:
    standing.hold.clear()
    fetch = asyncio.ensure_future(fetched(standing, f"{standing.url}/keys"))
    await eventually(lambda: standing.fetches)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch


async def test_the_environments_proxies_mean_nothing(
    standing: StandingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert await fetched(standing, f"{standing.url}/keys") == standing.key_set
