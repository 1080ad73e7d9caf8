"""Whatever arrives is answered with a code of the frozen list, in OpenAI's shape; nothing of it is echoed."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.core.errors import ERRORS, ErrorCode
from tests.support.house import House, house
from tests.support.wire import Wire, WireAnswer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
AS_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHAT), CHAT)
JSON = b"content-type: application/json\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
LONGEST_BODY = 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house of little patience."""
    bounds = {
        "JSON_BODY_BYTES": str(LONGEST_BODY),
        "FORM_BODY_BYTES": "300",
        "BODY_SECONDS": "0.2",
        "HEAD_SECONDS": "0.2",
    }
    environment = {f"GATEWAY_BOUNDS__{name}": value for name, value in bounds.items()}
    async with house(tmp_path_factory.mktemp("strict"), environment=environment) as opened:
        yield opened


def request(
    house_: House,
    *,
    line: bytes = b"POST /v1/chat/completions HTTP/1.1",
    fields: bytes = JSON,
    length: bytes | None = None,
    body: bytes = CHAT,
) -> bytes:
    """A good request, but for what a test says. `KEY` in its fields is the house's key."""
    sized = b"content-length: %d\r\n" % len(body) if length is None else length
    head = b"%b\r\nhost: gateway\r\nauthorization: Bearer KEY\r\n%b%b\r\n" % (line, fields, sized)
    return head.replace(b"KEY", house_.key.encode()) + body


async def told(house_: House, wire: Wire, code: ErrorCode) -> WireAnswer:
    """The next answer: an error of this code, in the frozen shape, which quotes nothing that is secret."""
    answer = await wire.answer()
    kind = ERRORS[code]
    assert (answer.status, answer.error["code"]) == (kind.status, code)
    assert answer.error.keys() == {"message", "type", "param", "code"}
    assert (answer.error["type"], answer.headers["content-type"]) == (kind.type, "application/json")
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["server"] == "gateway"
    assert house_.key not in f"{answer.fields}{answer.body!r}"
    house_.gateway.sink.flush()
    assert house_.key.encode() not in house_.log.getvalue()
    return answer


async def refused(house_: House, data: bytes, code: ErrorCode) -> WireAnswer:
    before = len(house_.simulator.requests)
    async with house_.wire() as wire:
        await wire.send(data)
        answer = await told(house_, wire, code)
    assert len(house_.simulator.requests) == before
    return answer


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", ErrorCode.INVALID_JSON, None),
        (b"not json", ErrorCode.INVALID_JSON, None),
        (b'{"model": "gpt-4o-mini"', ErrorCode.INVALID_JSON, None),
        (b'["model"]', ErrorCode.INVALID_JSON, None),
        (CHAT + CHAT, ErrorCode.INVALID_JSON, None),
        (CHAT[:-1] + b",}", ErrorCode.INVALID_JSON, None),
        (CHAT[:-1] + b',"x":NaN}', ErrorCode.INVALID_JSON, None),
        (CHAT[:-1] + b',"x":Infinity}', ErrorCode.INVALID_JSON, None),
        (CHAT[:-1] + b',"x":"\xff"}', ErrorCode.INVALID_JSON, None),
        (b"\xef\xbb\xbf" + CHAT, ErrorCode.INVALID_JSON, None),
        (CHAT.decode().encode("utf-16"), ErrorCode.INVALID_JSON, None),
        (CHAT[:-1] + b',"model":"o3"}', ErrorCode.DUPLICATE_JSON_KEY, "model"),
        (CHAT[:-1] + b',"m\\u006fdel":"o3"}', ErrorCode.DUPLICATE_JSON_KEY, "model"),
        (CHAT[:-1] + b',"metadata":{"a":[{"b":1,"b":1}]}}', ErrorCode.DUPLICATE_JSON_KEY, "b"),
        (CHAT[:-1] + b',"x":' + b"[" * 64 + b"]" * 64 + b"}", ErrorCode.JSON_TOO_DEEP, None),
        (CHAT[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}", ErrorCode.JSON_TOO_DEEP, None),
        (CHAT[:-1] + b',"x":1e999}', ErrorCode.INVALID_VALUE, "x"),
        (CHAT[:-1] + b',"max_tokens":99999999999999999999999999}', ErrorCode.INVALID_VALUE, "max_tokens"),
        (CHAT[:-1] + b',"max_tokens":-1}', ErrorCode.INVALID_VALUE, "max_tokens"),
        (CHAT[:-1] + b',"max_completion_tokens":1.5}', ErrorCode.INVALID_VALUE, "max_completion_tokens"),
        (CHAT[:-1] + b',"n":"2"}', ErrorCode.INVALID_VALUE, "n"),
        (CHAT[:-1] + b',"n":true}', ErrorCode.INVALID_VALUE, "n"),
        (CHAT[:-1] + b',"stream":"yes"}', ErrorCode.INVALID_VALUE, "stream"),
        (CHAT[:-1] + b',"stream":1}', ErrorCode.INVALID_VALUE, "stream"),
        (CHAT[:-1] + b',"stream_options":[]}', ErrorCode.INVALID_VALUE, "stream_options"),
        (b'{"messages":[]}', ErrorCode.INVALID_VALUE, "model"),
        (b'{"model":"","messages":[]}', ErrorCode.INVALID_VALUE, "model"),
        (b'{"model":["gpt-4o"],"messages":[]}', ErrorCode.INVALID_VALUE, "model"),
        (b'{"model":"gpt-99","messages":[]}', ErrorCode.MODEL_NOT_ALLOWED, "model"),
        (b'{"model":"GPT-4O","messages":[]}', ErrorCode.MODEL_NOT_ALLOWED, "model"),
        (b'{"model":"gpt-4o-mini ","messages":[]}', ErrorCode.MODEL_NOT_ALLOWED, "model"),
        (b'{"model":"\\ud800","messages":[]}', ErrorCode.INVALID_JSON, None),
        (b'{"model":"\\u0000","messages":[]}', ErrorCode.MODEL_NOT_ALLOWED, "model"),
    ],
)
async def test_a_bad_body_is_refused(strict: House, body: bytes, code: ErrorCode, param: str | None) -> None:
    answer = await refused(strict, request(strict, body=body), code)
    assert answer.error["param"] == param


BAD_FIELDS = {
    "no content type": (b"", ErrorCode.UNSUPPORTED_MEDIA_TYPE),
    "wrong content type": (b"content-type: text/plain\r\n", ErrorCode.UNSUPPORTED_MEDIA_TYPE),
    "form where JSON is taken": (
        b"content-type: multipart/form-data; boundary=x\r\n",
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ),
    "other charset": (
        b"content-type: application/json; charset=utf-16\r\n",
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ),
    "compressed": (JSON + b"content-encoding: gzip\r\n", ErrorCode.UNSUPPORTED_CONTENT_ENCODING),
    "unknown encoding": (JSON + b"content-encoding: wat\r\n", ErrorCode.UNSUPPORTED_CONTENT_ENCODING),
    "two content types": (JSON + JSON, ErrorCode.BAD_REQUEST),
    "two equal credentials": (JSON + b"authorization: Bearer KEY\r\n", ErrorCode.BAD_REQUEST),
    "two credentials": (JSON + b"Authorization: Bearer other\r\n", ErrorCode.BAD_REQUEST),
    "two kinds of credential": (JSON + b"api-key: other\r\n", ErrorCode.BAD_REQUEST),
    "two hosts": (JSON + b"host: other\r\n", ErrorCode.BAD_REQUEST),
    "strange expectation": (JSON + b"expect: 200-ok\r\n", ErrorCode.BAD_REQUEST),
    "no colon": (JSON + b"authorization Bearer KEY\r\n", ErrorCode.BAD_REQUEST),
    "blank before the colon": (JSON + b"x-key : KEY\r\n", ErrorCode.BAD_REQUEST),
    "NUL in a name": (JSON + b"x-\x00: KEY\r\n", ErrorCode.BAD_REQUEST),
    "control character in a value": (JSON + b"x-key: \x01KEY\r\n", ErrorCode.BAD_REQUEST),
    "bare line feed": (JSON + b"x-key: KEY\nx: y\r\n", ErrorCode.BAD_REQUEST),
    "folded line": (JSON + b"x-key: a\r\n KEY\r\n", ErrorCode.BAD_REQUEST),
    "long value": (JSON + b"x-key: KEY" + b"x" * 9000 + b"\r\n", ErrorCode.HEADERS_TOO_LARGE),
    "long name": (JSON + b"x" * 9000 + b": KEY\r\n", ErrorCode.HEADERS_TOO_LARGE),
    "110 fields": (
        JSON + b"".join(b"x-%d: KEY\r\n" % number for number in range(110)),
        ErrorCode.HEADERS_TOO_LARGE,
    ),
    "200 fields": (
        JSON + b"".join(b"x-%d: KEY\r\n" % number for number in range(200)),
        ErrorCode.HEADERS_TOO_LARGE,
    ),
}


@pytest.mark.parametrize(("fields", "code"), BAD_FIELDS.values(), ids=BAD_FIELDS)
async def test_a_bad_head_is_refused(strict: House, fields: bytes, code: ErrorCode) -> None:
    await refused(strict, request(strict, fields=fields), code)


@pytest.mark.parametrize(
    "line",
    [
        b"POST /v1/chat/completions HTTP/0.9",
        b"POST /v1/chat/completions HTTP/1.2",
        b"POST /v1/chat/completions HTTP/2.0",
        b"POST /v1/chat/completions HTTP/3.0",
        b"POST /v1/chat/completions HTCPCP/1.1",
        b"POST /v1/chat/completions",
        b"POST * HTTP/1.1",
        b"post /v1/chat/completions HTTP/1.1",
        b"POST /v1/chat /completions HTTP/1.1",
        b"POST /v1/chat\x00/completions HTTP/1.1",
        b"POST /v1/chat/compl\xc3\xa9tions HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_not_http_1_is_refused(strict: House, line: bytes) -> None:
    await refused(strict, request(strict, line=line), ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize(
    "path",
    [
        b"//v1/chat/completions",
        b"/v1//chat/completions",
        b"/v1/chat/completions/",
        b"/v1/chat%2Fcompletions",
        b"/v1/chat/%63ompletions",
        b"/v1/./chat/completions",
        b"/v1/x/../chat/completions",
        b"/v1/x/%2e%2e/chat/completions",
        b"/v1/models/..",
        b"/v1/models/%2e%2e",
        b"/v1/chat/completions;a=b",
        b"/v1/chat/completions#a",
        b"/V1/chat/completions",
        b"/chat/completions",
        b"http://gateway/v1/chat/completions",
    ],
)
async def test_an_odd_path_is_another_path(strict: House, path: bytes) -> None:
    await refused(strict, request(strict, line=b"POST %b HTTP/1.1" % path), ErrorCode.UNKNOWN_ENDPOINT)


async def test_a_path_that_is_too_long_is_refused(strict: House) -> None:
    line = b"POST /v1/%b HTTP/1.1" % (b"x" * 9000)
    await refused(strict, request(strict, line=line), ErrorCode.HEADERS_TOO_LARGE)


FRAMINGS = {
    "length and chunks": (CHUNKED, None, AS_CHUNKS),
    "length twice": (b"content-length: 3\r\n", None, CHAT),
    "equal lengths": (b"content-length: %d\r\n" % len(CHAT), None, CHAT),
    "lengths in one line": (b"", b"content-length: 3, 3\r\n", CHAT),
    "negative length": (b"", b"content-length: -1\r\n", CHAT),
    "length with a sign": (b"", b"content-length: +3\r\n", CHAT),
    "hexadecimal length": (b"", b"content-length: 0x3\r\n", CHAT),
    "endless length": (b"", b"content-length: 99999999999999999999999999\r\n", CHAT),
    "gzip in chunks": (b"transfer-encoding: gzip, chunked\r\n", b"", AS_CHUNKS),
    "gzip": (b"transfer-encoding: gzip\r\n", b"", AS_CHUNKS),
    "chunks in chunks": (b"transfer-encoding: chunked, chunked\r\n", b"", AS_CHUNKS),
    "chunks twice": (CHUNKED + CHUNKED, b"", AS_CHUNKS),
    "nearly chunked": (b"transfer-encoding: xchunked\r\n", b"", AS_CHUNKS),
    "chunked after a tab": (b"transfer-encoding: \x0bchunked\r\n", b"", AS_CHUNKS),
    "identity": (b"transfer-encoding: identity\r\n", None, CHAT),
    "size that is none": (CHUNKED, b"", b"zz\r\n{}\r\n0\r\n\r\n"),
    "size with a sign": (CHUNKED, b"", b"+2\r\n{}\r\n0\r\n\r\n"),
    "size with 0x": (CHUNKED, b"", b"0x2\r\n{}\r\n0\r\n\r\n"),
    "size that is wrong": (CHUNKED, b"", b"2\r\n{}XX0\r\n\r\n"),
    "lines that end in LF": (CHUNKED, b"", b"2\n{}\n0\n\n"),
}


@pytest.mark.parametrize(("fields", "length", "body"), FRAMINGS.values(), ids=FRAMINGS)
async def test_a_body_whose_end_two_readers_could_see_in_two_places_is_refused(
    strict: House, fields: bytes, length: bytes | None, body: bytes
) -> None:
    data = request(strict, fields=JSON + fields, length=length, body=body)
    await refused(strict, data, ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize("rest", [b"zz\r\n", b"2\r\n{}XX"])
async def test_chunks_that_go_wrong_on_the_way_are_refused(strict: House, rest: bytes) -> None:
    async with strict.wire() as wire:
        fields = JSON + CHUNKED + b"expect: 100-continue\r\n"
        await wire.send(request(strict, fields=fields, length=b"", body=b""))
        assert await wire.head() == (100, ())
        await wire.send(b"2\r\n{}\r\n" + rest)
        await told(strict, wire, ErrorCode.BAD_REQUEST)


async def test_chunks_in_http_1_0_are_refused(strict: House) -> None:
    line = b"POST /v1/chat/completions HTTP/1.0"
    data = request(strict, line=line, fields=JSON + CHUNKED, length=b"", body=AS_CHUNKS)
    await refused(strict, data, ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize(
    ("line", "fields", "length", "body"),
    [
        (b"POST /v1/chat/completions HTTP/1.1", b"", None, CHAT),
        (b"POST /v1/chat/completions HTTP/1.0", b"", None, CHAT),
        (b"POST /v1/chat/completions?a=b HTTP/1.1", b"", None, CHAT),
        (b"POST /v1/chat/completions HTTP/1.1", CHUNKED, b"", AS_CHUNKS),
        (b"POST /v1/chat/completions HTTP/1.1", b"expect: 100-continue\r\n", None, CHAT),
    ],
)
async def test_what_looks_odd_and_is_right_is_served(
    strict: House, line: bytes, fields: bytes, length: bytes | None, body: bytes
) -> None:
    async with strict.wire() as wire:
        await wire.send(request(strict, line=line, fields=JSON + fields, length=length, body=body))
        answer = await wire.answer()
        assert (answer if answer.status != 100 else await wire.answer()).status == 200


async def test_a_body_that_announces_too_much_is_refused_unread(strict: House) -> None:
    length = b"content-length: %d\r\n" % (LONGEST_BODY + 1)
    await refused(strict, request(strict, length=length, body=b""), ErrorCode.REQUEST_TOO_LARGE)


async def test_a_body_that_grows_too_large_is_refused(strict: House) -> None:
    body = b"4000\r\n%b\r\n" % (b" " * 0x4000) * 2
    data = request(strict, fields=JSON + CHUNKED, length=b"", body=body)
    await refused(strict, data, ErrorCode.REQUEST_TOO_LARGE)


async def test_a_form_that_is_too_large_is_refused(strict: House) -> None:
    fields = b"content-type: multipart/form-data; boundary=x\r\n"
    line = b"POST /v1/audio/transcriptions HTTP/1.1"
    data = request(strict, line=line, fields=fields, body=b"x" * 301)
    await refused(strict, data, ErrorCode.REQUEST_TOO_LARGE)


async def test_a_form_that_breaks_off_is_refused(strict: House) -> None:
    fields = b"content-type: multipart/form-data; boundary=x\r\n"
    line = b"POST /v1/audio/transcriptions HTTP/1.1"
    data = request(strict, line=line, fields=fields, body=b'--x\r\ncontent-disposition: form-data; name="a"')
    await refused(strict, data, ErrorCode.INVALID_MULTIPART)


@pytest.mark.parametrize("body", [b"", CHAT])
async def test_a_body_that_stalls_is_refused(strict: House, body: bytes) -> None:
    data = request(strict, length=b"content-length: 500\r\n", body=body)
    await refused(strict, data, ErrorCode.REQUEST_TIMEOUT)


async def test_a_form_that_stalls_is_refused(strict: House) -> None:
    fields = b"content-type: multipart/form-data; boundary=x\r\n"
    line = b"POST /v1/audio/transcriptions HTTP/1.1"
    data = request(strict, line=line, fields=fields, length=b"content-length: 100\r\n", body=b"--x\r\n")
    await refused(strict, data, ErrorCode.REQUEST_TIMEOUT)


async def test_a_head_that_stalls_loses_its_connection(strict: House) -> None:
    async with strict.wire() as wire:
        await wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n")
        assert await wire.ends() == b""


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_served(strict: House) -> None:
    before = len(strict.simulator.requests)
    async with strict.wire() as wire:
        fields = JSON + b"expect: 100-continue\r\n"
        await wire.send(request(strict, fields=fields, body=b"", length=b"content-length: 500\r\n"))
        assert await wire.head() == (100, ())
        await wire.send(CHAT)
    line = await strict.ended("client_left")
    assert (line["endpoint"], line["status"]) == ("chat_completions", None)
    assert len(strict.simulator.requests) == before


async def test_garbage_after_a_good_request_is_answered_as_such(strict: House) -> None:
    await refused(strict, request(strict) + b"GARBAGE\r\n\r\n", ErrorCode.BAD_REQUEST)


async def test_nothing_follows_on_a_connection_that_carried_garbage(strict: House) -> None:
    async with strict.wire() as wire:
        await wire.send(b"GARBAGE\r\n\r\n")
        await told(strict, wire, ErrorCode.BAD_REQUEST)
        assert await wire.ends() == b""


async def test_malformed_requests_are_counted_and_logged_without_their_bytes(strict: House) -> None:
    async with strict.wire() as wire:
        await wire.send(b"GARBAGE %b\r\n\r\n" % strict.key.encode())
        answer = await wire.answer()
    (line,) = [
        each for each in await strict.lines() if each.get("request_id") == answer.headers["x-request-id"]
    ]
    assert (line["event"], line["code"]) == ("malformed_request", "bad_request")
    assert "gateway_malformed_requests_total" in await strict.metrics()
