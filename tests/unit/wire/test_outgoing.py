"""What leaves for the upstream."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import cast

import pytest

from gateway.core.call import Call, Form
from gateway.core.endpoint import JSON, Endpoint
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.endpoints import CHAT_COMPLETIONS, SERVED
from gateway.wire.multipart import FormReader, parse_form
from gateway.wire.outgoing import encode
from gateway.wire.parse import parse_json

BODY = b'{ "model": "gpt-4o",\n "top_p": 1.0e0, "unknown": [1, 2.50] }'
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nID3\r\n--b--\r\n'
)
TRANSCRIPTIONS: Endpoint = next(each for each in SERVED if each.name == "audio_transcriptions")


@pytest.fixture
def json() -> Call:
    return parse_json(CHAT_COMPLETIONS, JSON, BODY)


@pytest.fixture
def form() -> Iterator[Call]:
    with FormReader(content_type="multipart/form-data; boundary=b") as reader:
        reader.feed(FORM)
        call = parse_form(TRANSCRIPTIONS, reader)
    with closing(cast(Form, call.body)):
        yield call


async def sent(body: bytes | AsyncIterator[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join([portion async for portion in body])


def test_a_body_that_nobody_changed_is_the_clients_own(json: Call) -> None:
    body, size = encode(json)
    assert body() is json.body
    assert size == len(BODY)


def test_a_changed_member_is_changed_and_nothing_else(json: Call) -> None:
    body, size = encode(json.changed({"model": "gpt-4o-2024"}))
    assert body() == BODY.replace(b"gpt-4o", b"gpt-4o-2024")
    assert size == len(BODY) + len("-2024")


async def test_a_form_that_nobody_changed_is_the_clients_own(form: Call) -> None:
    body, size = encode(form)
    assert await sent(body()) == FORM
    assert size == len(FORM)


@pytest.mark.parametrize("model", ["w", "whisper-1-2024", "schön"])
async def test_a_changed_form_has_the_size_that_is_told(form: Call, model: str) -> None:
    body, size = encode(form.changed({"model": model, "language": "de"}))
    data = await sent(body())
    assert len(data) == size
    assert model.encode() in data


@pytest.mark.parametrize("kind", ["json", "form"])
async def test_every_attempt_can_have_the_body_anew(kind: str, request: pytest.FixtureRequest) -> None:
    call: Call = request.getfixturevalue(kind)
    body, _ = encode(call.changed({"model": "another"}))
    assert await sent(body()) == await sent(body())


async def test_an_attempt_that_was_given_up_does_not_spoil_the_next(form: Call) -> None:
    body, size = encode(form)
    given_up = body()
    assert not isinstance(given_up, bytes)
    await anext(given_up)
    assert len(await sent(body())) == size


def test_what_cannot_be_written_into_a_form_is_refused_before_it_is_sent(form: Call) -> None:
    with pytest.raises(Refused) as refused:
        encode(form.changed({"model": "--b"}))
    assert refused.value.code is ErrorCode.INVALID_MULTIPART
