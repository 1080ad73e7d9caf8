"""TLS at the clients' port, by real handshakes."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from gateway.server.incoming import BodyBounds, ClientRequest
from gateway.server.tls import ClientCertificates, ServerTls, server_context
from tests.support.certificates import Authority, certificate, clients_side, encrypted
from tests.unit.server.edge import connected_by_tls, get, serving

SPIFFE = "spiffe://example.org/ns/search/sa/indexer"
OPTIONAL: Final = "optional"
REQUIRED: Final = "required"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Path:
    """What the server shows."""
    return authority.issue("server")


async def whoever(request: web.BaseRequest) -> web.StreamResponse:
    """Answers with what the client showed."""
    incoming = ClientRequest(request, BodyBounds())
    shown = incoming.certificate
    assert incoming.certificate is shown
    return web.Response(text="nobody" if shown is None else f"{shown.subject} {list(shown.uris)}")


async def answer_to(context: ssl.SSLContext, trusts: Path, shows: Path | None = None) -> str:
    async with serving(whoever, tls=context) as edge, connected_by_tls(edge.address, trusts, shows) as wire:
        await wire.send(get() * 2)
        first, second = await wire.answer(), await wire.answer()
    assert first.body == second.body
    return first.body.decode()


async def test_clients_are_asked_for_nothing_unless_it_is_said(authority: Authority, server: Path) -> None:
    shows = authority.issue("client")

    assert await answer_to(server_context(cert_file=server), authority.file, shows) == "nobody"


@pytest.mark.parametrize("wanted", [OPTIONAL, REQUIRED])
async def test_the_certificate_that_a_client_shows_is_known(
    authority: Authority, server: Path, wanted: ClientCertificates
) -> None:
    shows = authority.issue("client", subject="CN=indexer,OU=search,O=Acme", uris=[SPIFFE])
    context = server_context(cert_file=server, client_ca_file=authority.file, client_certificates=wanted)

    assert await answer_to(context, authority.file, shows) == f"CN=indexer,OU=search,O=Acme ['{SPIFFE}']"


async def test_who_shows_none_is_nobody_where_that_is_allowed(authority: Authority, server: Path) -> None:
    context = server_context(cert_file=server, client_ca_file=authority.file, client_certificates=OPTIONAL)

    assert await answer_to(context, authority.file) == "nobody"


def of_another(authority: Authority, folder: Path) -> Path:
    return Authority(folder, "another").issue("stranger", uris=[SPIFFE])


def expired(authority: Authority, folder: Path) -> Path:
    return authority.issue("expired", uris=[SPIFFE], days=-1)


def of_itself(authority: Authority, folder: Path) -> Path:
    return certificate(folder)


@pytest.mark.parametrize("wanted", [OPTIONAL, REQUIRED])
@pytest.mark.parametrize("shown", [of_another, expired, of_itself])
async def test_a_certificate_that_nobody_trusted_vouches_for_is_not_let_in(
    authority: Authority,
    server: Path,
    tmp_path: Path,
    wanted: ClientCertificates,
    shown: Callable[[Authority, Path], Path],
) -> None:
    context = server_context(cert_file=server, client_ca_file=authority.file, client_certificates=wanted)

    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await answer_to(context, authority.file, shown(authority, tmp_path))


async def test_who_shows_none_is_not_let_in_where_one_is_required(authority: Authority, server: Path) -> None:
    context = server_context(cert_file=server, client_ca_file=authority.file, client_certificates=REQUIRED)

    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await answer_to(context, authority.file)


async def handshake(context: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    async with serving(whoever, tls=context) as edge:
        host, _, port = edge.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=client, server_hostname="localhost")
        agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
        writer.close()
        await writer.wait_closed()
        return agreed


async def test_http_1_1_is_agreed_on(authority: Authority, server: Path) -> None:
    client = clients_side(authority.file)
    client.set_alpn_protocols(["h2", "http/1.1"])

    agreed = await handshake(server_context(cert_file=server), client)

    assert agreed.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_tls_1_2_and_later_is_spoken(authority: Authority, server: Path, version: str) -> None:
    client = clients_side(authority.file)
    client.maximum_version = ssl.TLSVersion[version.replace(".", "_")]

    assert (await handshake(server_context(cert_file=server), client)).version() == version


def test_older_versions_are_not_spoken(server: Path) -> None:
    assert server_context(cert_file=server).minimum_version is ssl.TLSVersion.TLSv1_2


# Files that cannot be used.


async def test_a_file_that_is_not_there_is_named(authority: Authority, server: Path, tmp_path: Path) -> None:
    for files in (
        {"cert_file": tmp_path / "gone.pem"},
        {"cert_file": server, "key_file": tmp_path / "gone.pem"},
        {"cert_file": server, "client_ca_file": tmp_path / "gone.pem", "client_certificates": OPTIONAL},
    ):
        with pytest.raises(OSError, match=r"gone\.pem cannot be read: No such file or directory"):
            server_context(**files)


def without_pem(folder: Path, server: Path, authority: Authority) -> dict[str, Path]:
    (folder / "empty.pem").write_text("nothing")
    return {"cert_file": folder / "empty.pem"}


def without_key(folder: Path, server: Path, authority: Authority) -> dict[str, Path]:
    return {"cert_file": authority.file}


def of_another_key(folder: Path, server: Path, authority: Authority) -> dict[str, Path]:
    return {"cert_file": server, "key_file": authority.issue("other")}


def locked(folder: Path, server: Path, authority: Authority) -> dict[str, Path]:
    return {"cert_file": encrypted(server)}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (without_pem, r"empty\.pem cannot be used: what is wanted of it is not in it, as PEM"),
        (without_key, r"authority\.pem cannot be used: what is wanted of it is not in it, as PEM"),
        (of_another_key, "the key is another certificate's"),
        (locked, "the key is encrypted"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path,
    server: Path,
    authority: Authority,
    files: Callable[[Path, Path, Authority], dict[str, Path]],
    sentence: str,
) -> None:
    with pytest.raises(ValueError, match=sentence):
        server_context(**files(tmp_path, server, authority))


def test_an_authority_that_is_none_is_told(tmp_path: Path, server: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")

    with pytest.raises(ValueError, match=r"empty\.pem cannot be used: "):
        server_context(cert_file=server, client_ca_file=tmp_path / "empty.pem", client_certificates=REQUIRED)


def test_client_certificates_need_somebody_who_vouches_for_them(server: Path) -> None:
    with pytest.raises(ValueError, match="client certificates need a CA file"):
        server_context(cert_file=server, client_certificates=OPTIONAL)


# Certificates that are renewed.


@pytest.fixture
def tls(server: Path) -> ServerTls:
    return ServerTls(cert_file=server, key_file=server)


Shown = Callable[[ServerTls], Awaitable[bytes]]


@pytest.fixture
def shown(authority: Authority) -> Shown:
    """What a client sees that connects now."""

    async def see(tls: ServerTls) -> bytes:
        agreed = await handshake(tls.context, clients_side(authority.file))
        return agreed.getpeercert(binary_form=True) or b""

    return see


async def test_a_renewed_certificate_is_shown_after_a_reload(
    authority: Authority, tls: ServerTls, shown: Shown
) -> None:
    before = await shown(tls)
    authority.issue("server")
    assert await shown(tls) == before

    assert tls.reload()

    assert await shown(tls) != before


def test_files_that_are_the_same_are_let_be(tls: ServerTls) -> None:
    assert not tls.reload()


def copied(file: Path, to: Path) -> Path:
    to.write_bytes(file.read_bytes())
    return to


async def test_a_pair_that_is_renewed_by_half_changes_nothing(
    authority: Authority, server: Path, tmp_path: Path, shown: Shown
) -> None:
    key = copied(server, tmp_path / "key.pem")
    tls = ServerTls(cert_file=server, key_file=key)
    before = await shown(tls)
    authority.issue("server")

    with pytest.raises(ValueError, match="the key is another certificate's"):
        tls.reload()
    assert await shown(tls) == before

    copied(server, key)
    assert tls.reload()
    assert await shown(tls) != before


def test_a_certificate_that_is_gone_is_told(tls: ServerTls, server: Path) -> None:
    server.unlink()

    with pytest.raises(OSError, match="cannot be read"):
        tls.reload()


async def test_what_was_asked_of_clients_is_asked_after_a_reload(authority: Authority, server: Path) -> None:
    tls = ServerTls(cert_file=server, client_ca_file=authority.file, client_certificates=REQUIRED)
    authority.issue("server")
    tls.reload()

    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await answer_to(tls.context, authority.file)
