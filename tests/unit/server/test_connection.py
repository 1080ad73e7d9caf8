"""A client's connection: what is not HTTP is answered in our own words, and never quoted."""

import asyncio
import logging
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.errors import ErrorCode
from gateway.server.connection import certificate_of
from gateway.server.incoming import BodyBounds, ClientRequest
from gateway.wire.error_body import error_body
from tests.support.certificates import certificate
from tests.support.eventually import eventually
from tests.support.wire import connected
from tests.unit.server.edge import get, nothing_comes, post, serving, turn_over

SECRET = "gwk_abcdefghijkl_secretsecretsecret"


async def done(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="done")


class Busy:
    """A handler that takes its time."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.body = b""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.began.set()
        self.body = await request.read()
        await self.go_on.wait()
        return web.Response(text="done")


# What is not HTTP.

MALFORMED = {
    "a header with a NUL": f"GET /v1/models HTTP/1.1\r\nauthorization: Bearer {SECRET}\x00\r\n\r\n",
    "a header without a colon": f"GET /v1/models HTTP/1.1\r\nBearer {SECRET}\r\n\r\n",
    "a space before the colon": f"GET /v1/models HTTP/1.1\r\nauthorization : {SECRET}\r\n\r\n",
    "a folded header": f"GET /v1/models HTTP/1.1\r\nauthorization: Bearer\r\n {SECRET}\r\n\r\n",
    "a header without a name": f"GET /v1/models HTTP/1.1\r\n: {SECRET}\r\n\r\n",
    "a bare carriage return": f"GET /v1/models HTTP/1.1\r\nx: {SECRET}\ry: z\r\n\r\n",
    "another protocol": f"SSH-2.0-{SECRET}\r\n\r\n",
    "a secret for a method": f"{SECRET} / HTTP/1.1\r\n\r\n",
    "a secret for a version": f"GET / {SECRET}\r\n\r\n",
    "a secret that is no line": f"{SECRET}\r\n\r\n",
    "a length in words": f"POST / HTTP/1.1\r\ncontent-length: {SECRET}\r\n\r\n",
    "two lengths": f"POST / HTTP/1.1\r\nx: {SECRET}\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "a length and chunks": "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    + SECRET,
    "a broken chunk": f"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{SECRET}\r\n",
    "a secret in a broken path": f"GET /{SECRET}\x01 HTTP/1.1\r\n\r\n",
}
each_mess = pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)


@each_mess
async def test_what_is_not_http_is_a_bad_request(data: str) -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(data.encode("latin-1"))
        answer = await wire.answer()
        assert (answer.status, answer.error["code"]) == (400, "bad_request")
        assert set(answer.error) == {"message", "type", "param", "code"}


@each_mess
async def test_what_is_not_http_is_never_quoted(data: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(data.encode("latin-1"))
        said = await wire.ends()
        assert SECRET.encode() not in said
        assert SECRET not in caplog.text
        assert SECRET not in repr(edge.malformed)


@each_mess
async def test_what_is_not_http_ends_the_connection(data: str) -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(data.encode("latin-1") + get())
        assert (await wire.answer()).status == 400
        assert await wire.ends() == b""


async def test_what_is_not_http_is_told_to_whoever_counts_it() -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(b"SSH-2.0\r\n\r\n")
        answer = await wire.answer()
        assert [error.code for error in edge.malformed] == [ErrorCode.BAD_REQUEST]
        assert answer.headers["x-request-id"] == "req_1"
        assert answer.body == error_body(edge.malformed[0])


async def test_what_is_not_http_has_the_gateways_name_on_it() -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(b"SSH-2.0\r\n\r\n")
        headers = (await wire.answer()).headers
        assert (headers["server"], headers["content-type"]) == ("gateway", "application/json")


@pytest.mark.parametrize(
    "head",
    [
        get(f"x: {'y' * 9000}"),
        get(f"{'x' * 9000}: y"),
        get(path=f"/v1/models?{'x' * 9000}"),
        get(*[f"x-{number}: y" for number in range(130)]),
        get(*["x: y" for _ in range(130)]),
    ],
    ids=["a long value", "a long name", "a long path", "many headers", "one header many times"],
)
async def test_a_head_that_is_too_large_is_called_so(head: bytes) -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(head)
        answer = await wire.answer()
        assert (answer.status, answer.error["code"]) == (431, "headers_too_large")


async def test_a_flood_of_headers_is_cut_off() -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(b"GET / HTTP/1.1\r\n")
        for number in range(2000):
            await wire.send(b"x-%d: %s\r\n" % (number, b"y" * 1000))
        assert await eventually(lambda: [error.code for error in edge.malformed]) == [
            ErrorCode.HEADERS_TOO_LARGE
        ]


# Our own faults.


async def test_a_fault_of_our_own_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def faulty(_: web.BaseRequest) -> web.StreamResponse:
        raise ValueError(SECRET)

    caplog.set_level(logging.DEBUG)
    async with serving(faulty) as edge, connected(edge.address) as wire:
        await wire.send(get())
        answer = await wire.answer()
        assert await wire.ends() == b""
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert SECRET.encode() not in answer.body
    assert SECRET not in caplog.text


async def test_a_handler_that_runs_out_of_time_is_a_fault_of_our_own() -> None:
    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        raise TimeoutError

    async with serving(slow) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert (await wire.answer()).error["code"] == "internal_error"


async def test_an_answer_that_cannot_be_written_is_not_logged_by_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unwritable(web.Response):
        async def prepare(self, _: web.BaseRequest) -> None:
            raise ValueError(SECRET)

    async def faulty(_: web.BaseRequest) -> web.StreamResponse:
        return Unwritable()

    caplog.set_level(logging.DEBUG)
    async with serving(faulty) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""
    assert SECRET not in caplog.text


# The head's deadline.


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", get()[:-2]], ids=repr)
async def test_a_head_that_stalls_is_not_waited_for(start: bytes) -> None:
    async with serving(done, head_seconds=0.05) as edge, connected(edge.address) as wire:
        await wire.send(start)
        assert await wire.ends() == b""


async def test_who_connects_and_says_nothing_is_not_waited_for() -> None:
    async with serving(done, head_seconds=0.05) as edge, connected(edge.address) as wire:
        assert await wire.ends() == b""


async def test_a_head_that_drips_is_not_waited_for() -> None:
    async with serving(done, head_seconds=0.1) as edge, connected(edge.address) as wire:
        await wire.send(b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await wire.send(b"x: y\r\n")
                await asyncio.sleep(0.005)

        dripping = asyncio.create_task(drip())
        assert await wire.ends() == b""
        dripping.cancel()


async def test_a_second_head_that_stalls_is_not_waited_for() -> None:
    async with serving(done, head_seconds=0.05) as edge, connected(edge.address) as wire:
        await wire.send(get())
        await wire.answer()
        await wire.send(get()[:-2])
        assert await wire.ends() == b""


async def test_a_whole_head_stops_its_clock() -> None:
    busy = Busy()
    async with serving(busy, head_seconds=0.05) as edge, connected(edge.address) as wire:
        await wire.send(get()[:-2])
        await turn_over()
        await wire.send(get()[-2:])
        await busy.began.wait()
        await nothing_comes(wire)
        busy.go_on.set()
        assert (await wire.answer()).status == 200


async def test_a_body_is_not_the_heads_affair() -> None:
    busy = Busy()
    async with serving(busy, head_seconds=0.05) as edge, connected(edge.address) as wire:
        await wire.send(post(b"late")[:-4])
        await busy.began.wait()
        await nothing_comes(wire)
        busy.go_on.set()
        await wire.send(b"late")
        assert (await wire.answer()).status == 200
    assert busy.body == b"late"


async def test_a_client_that_leaves_in_its_head_leaves_nothing_behind() -> None:
    async with serving(done, head_seconds=0.05) as edge:
        async with connected(edge.address) as wire:
            await wire.send(get()[:-2])
        await eventually(lambda: not edge.server.connections)


# Requests one after the other.


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async with serving(echo) as edge, connected(edge.address) as wire:
        await wire.send(post(b"one") + post(b"two") + post(b"three"))
        assert [(await wire.answer()).body for _ in range(3)] == [b"one", b"two", b"three"]


async def test_a_body_that_nobody_read_is_no_request() -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(post(get(path="/smuggled")) + get())
        assert [(await wire.answer()).status for _ in range(2)] == [200, 200]
        await wire.send(get("connection: close"))
        assert (await wire.ends()).count(b"HTTP/1.1 200") == 1


# Idle connections at the stop.


async def test_a_connection_on_which_nothing_is_asked_is_ended() -> None:
    async with serving(done) as edge, connected(edge.address) as wire:
        await wire.send(get())
        await wire.answer()
        edge.server.close_idle()
        assert await wire.ends() == b""


async def test_a_request_that_is_being_answered_is_let_be() -> None:
    busy = Busy()
    async with serving(busy) as edge, connected(edge.address) as wire:
        await wire.send(get())
        await busy.began.wait()
        edge.server.close_idle()
        busy.go_on.set()
        assert (await wire.answer()).status == 200


async def test_a_request_that_is_still_arriving_is_let_be() -> None:
    busy = Busy()
    busy.go_on.set()
    async with serving(busy) as edge, connected(edge.address) as wire:
        await wire.send(post(b"arriving")[:-4])
        await busy.began.wait()
        edge.server.close_idle()
        await wire.send(b"ving")
        assert (await wire.answer()).status == 200
    assert busy.body == b"arriving"


# Who is at the other end. Certificates are shown in test_tls.py.


async def test_the_address_at_the_other_end_is_known() -> None:
    peers: list[str] = []

    async def whence(request: web.BaseRequest) -> web.StreamResponse:
        peers.append(ClientRequest(request, BodyBounds()).peer)
        return web.Response()

    async with serving(whence) as edge, connected(edge.address) as wire:
        await wire.send(get("x-forwarded-for: 192.0.2.1"))
        await wire.answer()
    assert peers == ["127.0.0.1"]


async def test_a_client_that_has_left_has_no_address() -> None:
    requests: list[ClientRequest] = []

    async def keep(request: web.BaseRequest) -> web.StreamResponse:
        requests.append(ClientRequest(request, BodyBounds()))
        return web.Response()

    async with serving(keep) as edge:
        async with connected(edge.address) as wire:
            await wire.send(get())
            await wire.answer()
        await eventually(lambda: not edge.server.connections)
    assert (requests[0].peer, requests[0].certificate) == ("", None)


@pytest.mark.parametrize("der", [b"", b"0\x03\x02\x01\x00"])
def test_a_certificate_that_cannot_be_read_is_none(der: bytes) -> None:
    assert certificate_of(der) is None


def test_a_certificate_may_have_no_uris(tmp_path: Path) -> None:
    pem = certificate(tmp_path).read_text()

    shown = certificate_of(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :]))

    assert shown is not None
    assert (shown.subject, shown.uris) == ("CN=localhost", ())
    assert shown.issued_at <= time.time()


def test_a_certificate_from_before_1970_is_as_old_as_a_revocation_can_tell(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=search-api")
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(1950, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )

    shown = certificate_of(signed.public_bytes(serialization.Encoding.DER))

    assert shown is not None
    assert shown.issued_at == 0
