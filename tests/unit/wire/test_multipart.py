"""Facts about `gateway/wire/multipart.py`."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from typing import Any

import aiohttp
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.call import REMOVED, Call
from gateway.core.endpoint import MULTIPART, Endpoint, ModelRule
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.multipart import FormReader, encode_form, parse_form

TRANSCRIPTIONS = Endpoint(
    "audio_transcriptions", "POST", "/v1/audio/transcriptions", "audio", model=ModelRule.REQUIRED
)
EDITS = Endpoint("images_edits", "POST", "/v1/images/edits", "images", model=ModelRule.OPTIONAL)

CONTENT_TYPE = "multipart/form-data; boundary=BoUnD"

AUDIO = bytes(range(256)) * 3 + b"\r\n--BoUn\r\n-\r\n\r\n"
"""A file full of what nearly is a delimiter."""


def text(name: str, value: str | bytes, *headers: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *headers, "", ""]
    return "\r\n".join(lines).encode() + (value.encode() if isinstance(value, str) else value)


def file(name: str, content: bytes, filename: str = "a.mp3") -> bytes:
    header = (
        f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: audio/mpeg'
    )
    return header.encode() + b"\r\n\r\n" + content


def body(*parts: bytes) -> bytes:
    return b"".join(b"--BoUnD\r\n" + part + b"\r\n" for part in parts) + b"--BoUnD--\r\n"


def read(
    portions: bytes | Iterable[bytes],
    endpoint: Endpoint = EDITS,
    content_type: str = CONTENT_TYPE,
    **bounds: int,
) -> Call:
    with FormReader(content_type=content_type, **bounds) as reader:
        for portion in [portions] if isinstance(portions, bytes) else portions:
            reader.feed(portion)
        return parse_form(endpoint, reader)


def parse(*arguments: Any, **bounds: int) -> Call:
    """As `read`, with the spool closed and its bytes kept in memory, so that no test has to close it."""
    call = read(*arguments, **bounds)
    form: Any = call.body
    form.spool.seek(0)
    kept = BytesIO(form.spool.read())
    form.close()
    return replace(call, body=replace(form, spool=kept))


def refusal(
    portions: bytes, endpoint: Endpoint = EDITS, content_type: str = CONTENT_TYPE, **bounds: int
) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(portions, endpoint, content_type, **bounds)
    return caught.value


def sent(call: Call) -> bytes:
    """What goes upstream; the size that was promised is checked on the way."""
    size, chunks = encode_form(call)
    whole = b"".join(chunks)
    assert len(whole) == size
    return whole


def told(call: Call) -> tuple[Any, ...]:
    form: Any = call.body
    return call.members, call.texts, form.files, form.fields, form.size, form.end, sent(call)


WHOLE = body(
    text("model", "whisper-1"),
    file("file", AUDIO),
    text("include[]", "logprobs"),
    text("empty", ""),
    text("prompt", "a\r\n-- b\r\n--Bo"),
)


def test_a_form_is_read_into_members_texts_and_files() -> None:
    call = parse(WHOLE, TRANSCRIPTIONS)
    assert call.members == {
        "model": "whisper-1",
        "include[]": ["logprobs"],
        "empty": "",
        "prompt": "a\r\n-- b\r\n--Bo",
    }
    assert {"model", "whisper-1", "file", "a.mp3", "include[]", "logprobs"} <= set(call.texts)
    assert call.body.files == (("file", len(AUDIO)),)  # type: ignore[union-attr]
    assert (call.model, call.content_type) == ("whisper-1", CONTENT_TYPE)


def test_without_changes_the_very_bytes_are_sent() -> None:
    assert sent(parse(WHOLE)) == WHOLE


def test_a_form_fed_byte_by_byte_is_the_same_form() -> None:
    assert told(parse(bytes([byte]) for byte in WHOLE)) == told(parse(WHOLE))


@settings(deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=8))
def test_a_form_split_anywhere_is_the_same_form(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    assert told(parse(WHOLE[start:end] for start, end in pairwise(edges))) == told(parse(WHOLE))


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 3))
def test_a_form_cut_anywhere_is_refused(length: int) -> None:
    assert refusal(WHOLE[:length]).code is ErrorCode.INVALID_MULTIPART


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["x", "y[]", "file"]), st.binary(max_size=20)), max_size=5))
def test_contents_of_files_are_measured_whatever_they_are(files: list[tuple[str, bytes]]) -> None:
    raw = body(*(file(name, content) for name, content in files))
    call = parse(raw)
    assert call.body.files == tuple((name, len(content)) for name, content in files)  # type: ignore[union-attr]
    assert sent(call) == raw


@pytest.mark.parametrize(
    "raw", [WHOLE.removesuffix(b"\r\n"), b"\r\n" + WHOLE, b"--BoUnD--", b"--BoUnD--\r\n"]
)
def test_an_empty_line_before_or_after_the_form_may_be_there(raw: bytes) -> None:
    assert sent(parse(raw)) == raw


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "ends before"),
        (WHOLE.removesuffix(b"--\r\n"), "ends before"),
        (WHOLE.removesuffix(b"\n"), "ends before"),
        (b"preamble\r\n" + WHOLE, "begin with the boundary"),
        (b"\r\n\r\n" + WHOLE, "begin with the boundary"),
        (WHOLE + b"epilogue", "goes on"),
        (WHOLE + b"\r\n", "goes on"),
        (WHOLE + WHOLE, "goes on"),
        (b"--BoUnDx\r\n", "followed by neither"),
        (b"--BoUnD \r\n" + text("a", "b") + b"\r\n--BoUnD--", "followed by neither"),
        (b"--BoUnD\n" + text("a", "b") + b"\r\n--BoUnD--", "followed by neither"),
        (body(text("a", "x\r\n--BoUnDx")), "followed by neither"),
        (body(file("a", b"x\n--BoUnD\r\n")), "inside a part"),
        (body(file("a", b"x--BoUnD")), "inside a part"),
        (body(text("a", "--BoUnD")), "inside a part"),
        (b"--BoUnD\r\n" + text("a", "") + b"--BoUnD--\r\n", "inside a part"),
        (body(text("a", "b", "X-A: --BoUnD")), "inside a part's header"),
        (body(text("a", "b", "X-A: " + "x" * 9000)), "longer than 8192"),
        (b"--BoUnD\r\n" + b"x" * 9000, "longer than 8192"),
        (body(*[text("a[]", "b")] * 129), "more than 128 parts"),
        (body(text("a", b"\xff")), "UTF-8"),
        (body(text("a\x00", "b")), "malformed"),
        (body(text("a", "b", "X-A: x\ny")), "malformed"),
        (body(text("a", "b", "X-A: x\ry")), "malformed"),
        (body(text("a", "b", " folded")), "malformed"),
        (body(text("a", "b", "X A: x")), "malformed"),
        (body(text("a", "b", "Content-Disposition: form-data")), "malformed"),
        (body(b"X-A: b\r\n\r\nx"), "needs the header"),
        (body(b"\r\nx\r\n\r\n"), "malformed"),
        (body(b"Content-Disposition: attachment; name=a\r\n\r\nx"), "needs the header"),
        (body(b'Content-Disposition: form-data; filename="a"\r\n\r\nx'), "needs the header"),
        (body(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\nx'), "parameters"),
        (body(b"Content-Disposition: form-data; name*=utf-8''model\r\n\r\nx"), "parameters"),
        (body(b'Content-Disposition: form-data; name="a"; filename*0="b"\r\n\r\nx'), "parameters"),
        (body(b'Content-Disposition: form-data; name="a\r\n\r\nx'), "parameters"),
        (body(b'Content-Disposition: form-data; name="a" b\r\n\r\nx'), "parameters"),
        (body(b'Content-Disposition: form-data; name="a\\"b"\r\n\r\nx'), "backslash"),
        (body(b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'), "not UTF-8"),
        (body(text("a", "eA==", "Content-Transfer-Encoding: base64")), "Transfer-Encoding"),
        (body(text("a", "b", "Content-Encoding: gzip")), "compressed"),
        (body(text("a", "b", "Content-Type: multipart/mixed; boundary=x")), "form itself"),
        (body(text("a", "b", "Content-Type: text/plain; charset=utf-16")), "UTF-8"),
        (body(text("_charset_", "iso-8859-1")), "UTF-8"),
        (body(text("a", "b", "Content-Length: 2")), "Content-Length"),
        (body(text("a", "b", "Content-Length: one")), "Content-Length"),
    ],
)
def test_a_form_that_could_be_read_in_two_ways_is_refused(raw: bytes, said: str) -> None:
    error = refusal(raw)
    assert error.code is ErrorCode.INVALID_MULTIPART
    assert said in error.message


@pytest.mark.parametrize(
    "parts",
    [
        [text("model", "a"), text("model", "b")],
        [text("model", "a"), text("model", "a")],
        [text("model", "a"), text("model[]", "b")],
        [text("model[0]", "a")],
        [text("model", "a"), file("model", b"b")],
        [file("model", b"b"), text("model", "a")],
    ],
)
def test_a_second_spelling_of_the_model_is_refused(parts: Sequence[bytes]) -> None:
    error = refusal(body(*parts))
    assert (error.code, error.param) == (ErrorCode.INVALID_MULTIPART, "model")


@pytest.mark.parametrize(
    "name", ["prompt", "n", "stream", "size", "response_format", "language", "temperature"]
)
def test_a_second_value_of_a_single_field_is_refused(name: str) -> None:
    assert refusal(body(text(name, "1"), text(name, "1"))).param == name


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a; Boundary=a",
        "multipart/form-data; boundary*=utf-8''a",
        "multipart/form-data; boundary=a; boundary*0=b",
        'multipart/form-data; boundary="a',
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=a b",
        "multipart/mixed; boundary=a",
        "application/json; boundary=a",
        "",
    ],
)
def test_a_content_type_without_one_valid_boundary_is_refused(content_type: str) -> None:
    assert refusal(b"--a--", content_type=content_type).code is ErrorCode.INVALID_MULTIPART


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=a", "a"),
        ('Multipart/Form-Data;charset=utf-8;boundary="a b"', "a b"),
        ("multipart/form-data; boundary=----=_Part_1.2/3:4?", "----=_Part_1.2/3:4?"),
        ("multipart/form-data; BOUNDARY=" + "x" * 70, "x" * 70),
    ],
)
def test_boundaries_are_taken_as_rfc_2046_has_them(content_type: str, boundary: str) -> None:
    raw = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--{boundary}--'.encode()
    assert parse(raw, content_type=content_type).members == {"a": "b"}


def test_repeated_unknown_fields_are_lists() -> None:
    raw = body(text("x", "1"), text("x", "2"), text("x", "3"), text("y[]", "1"))
    assert parse(raw).members == {"x": ["1", "2", "3"], "y[]": ["1"]}


def test_harmless_headers_of_a_part_pass() -> None:
    headers = (
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Length: 2",
        "Content-Transfer-Encoding: 8bit",
    )
    assert parse(body(text("a", "é", *headers, "X-Other: é"))).members == {"a": "é"}


@pytest.mark.parametrize(
    ("disposition", "judged"),
    [
        ('filename="a \\"b\\".mp3"', 'a \\"b\\".mp3'),
        ('filename="%C3%BC.mp3"', "ü.mp3"),
        ("filename=a.mp3", "a.mp3"),
        ("filename*=utf-8''%C3%BC.mp3", "ü.mp3"),
        ("filename=\"x\"; filename*=utf-8''%C3%BC", "ü"),
    ],
)
def test_names_of_files_are_judged_as_they_will_be_read(disposition: str, judged: str) -> None:
    part = f'Content-Disposition: form-data; name="file"; {disposition}\r\n\r\nx'.encode()
    call = parse(body(part))
    assert any(judged in each for each in call.texts)
    assert call.body.files == (("file", 1),)  # type: ignore[union-attr]


@pytest.mark.parametrize("raw", [body(file("file", b"x")), body(text("model", ""))])
def test_a_missing_model_is_refused_where_it_is_required(raw: bytes) -> None:
    error = refusal(raw, TRANSCRIPTIONS)
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, "model")


@pytest.mark.parametrize(
    ("name", "value"), [("n", "2.0"), ("n", "-1"), ("n", "٣"), ("n", ""), ("n", "9" * 40), ("stream", "yes")]
)
def test_a_field_by_which_the_gateway_decides_must_be_plain(name: str, value: str) -> None:
    error = refusal(body(text(name, value)))
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, name)


@pytest.mark.parametrize(
    ("value", "streams"), [("true", True), ("True", True), ("1", True), ("false", False)]
)
def test_a_stream_is_asked_for_in_text(value: str, streams: bool) -> None:
    assert parse(body(text("stream", value))).stream is streams


def test_text_fields_have_a_bound_together() -> None:
    raw = body(text("a", "x" * 60), text("b", "x" * 60), file("f", b"x" * 600))
    assert parse(raw, field_limit=120).members
    assert refusal(raw, field_limit=119).code is ErrorCode.INVALID_MULTIPART


def test_a_long_text_field_is_refused_before_it_has_come_whole() -> None:
    with FormReader(content_type=CONTENT_TYPE, field_limit=100) as reader:
        reader.feed(b"--BoUnD\r\n" + text("a", "x" * 50))
        with pytest.raises(Refused):
            reader.feed(b"x" * 100)


def test_a_large_form_is_kept_out_of_memory() -> None:
    raw = body(file("file", AUDIO * 2000), text("model", "whisper-1"))
    call = read((raw[at : at + 65_536] for at in range(0, len(raw), 65_536)), memory=1000)
    form: Any = call.body
    assert sent(call) == raw
    assert form.spool._rolled
    form.close()


@pytest.mark.parametrize(
    ("parts", "changes", "after"),
    [
        ([text("model", "a"), file("f", b"x")], {"model": "bb"}, [text("model", "bb"), file("f", b"x")]),
        ([text("model", "a", "Content-Length: 1")], {"model": "bb"}, [text("model", "bb")]),
        ([file("f", b"x")], {"user": "é"}, [file("f", b"x"), text("user", "é")]),
        ([], {"user": "u", "n": 1}, [text("user", "u"), text("n", "1")]),
        (
            [text("a", "1"), text("b", "2"), file("f", b"x")],
            {"a": REMOVED},
            [text("b", "2"), file("f", b"x")],
        ),
        ([file("f", b"x"), text("a", "1")], {"a": REMOVED}, [file("f", b"x")]),
        ([text("a", "1")], {"a": None}, []),
        ([text("a", "1"), text("b", "2")], {"b": "3", "a": "4"}, [text("a", "4"), text("b", "3")]),
        ([text("a", "1"), text("b", "2")], {"c": "3", "a": REMOVED}, [text("b", "2"), text("c", "3")]),
        ([text("n", "1")], {"n": 2}, [text("n", "2")]),
        ([text("stream", "1")], {"stream": False}, [text("stream", "false")]),
        (
            [text("x[]", "1"), text("y", "")],
            {"x[]": ["2", "3"]},
            [text("y", ""), text("x[]", "2"), text("x[]", "3")],
        ),
        ([text("x", "1"), text("x", "2")], {"x": ["2", "1"]}, [text("x", "2"), text("x", "1")]),
        ([], {'a"b\r\n': "x"}, [text("a%22b%0D%0A", "x")]),
        ([text("a", "1")], {"b": {"c": True}}, [text("a", "1"), text("b", '{"c":true}')]),
    ],
)
def test_only_parts_that_change_are_written_anew(
    parts: list[bytes], changes: dict[str, Any], after: list[bytes]
) -> None:
    assert sent(parse(body(*parts)).changed(changes)) == body(*after)


@pytest.mark.parametrize(
    "changes", [{"n": 1}, {"n": "1"}, {"absent": REMOVED}, {"x[]": ["a"]}, {"absent": None}]
)
def test_changes_that_change_nothing_leave_the_very_bytes(changes: dict[str, Any]) -> None:
    raw = body(text("n", "1", "X-Kept: yes"), text("x[]", "a", "X-Kept: yes"))
    assert sent(parse(raw).changed(changes)) == raw


fields = st.dictionaries(
    st.sampled_from(["a", "b", "model", "n"]), st.text("0123456789", min_size=1, max_size=9)
)


@settings(deadline=None)
@given(fields, fields, st.sets(st.sampled_from(["a", "b", "model"])))
def test_a_changed_form_is_read_as_the_updated_members(
    members: dict[str, str], new: dict[str, str], gone: set[str]
) -> None:
    call = parse(body(file("f", AUDIO), *(text(name, value) for name, value in members.items())))
    again = parse(sent(call.changed({**new, **dict.fromkeys(gone, REMOVED)})))
    assert again.members == {name: value for name, value in {**members, **new}.items() if name not in gone}
    assert again.body.files == (("f", len(AUDIO)),)  # type: ignore[union-attr]


def test_a_value_that_contains_the_clients_boundary_is_refused() -> None:
    with pytest.raises(Refused):
        encode_form(parse(body(text("a", "b"))).changed({"user": "x--BoUnD"}))


def test_a_form_can_be_sent_again() -> None:
    call = parse(WHOLE).changed({"model": "other"})
    first, second = encode_form(call)[1], encode_form(call)[1]
    assert next(first) == next(second)
    assert b"".join(first) == b"".join(second)


def test_a_form_is_sent_in_chunks_of_64_kib() -> None:
    _, chunks = encode_form(parse(body(file("f", bytes(200_000)))))
    assert [len(chunk) for chunk in chunks][:3] == [65_536] * 3


def test_a_spool_that_lost_bytes_is_an_error() -> None:
    call = parse(WHOLE)
    form: Any = call.body
    form.spool.truncate(10)
    with pytest.raises(EOFError):
        sent(call)


def test_json_is_no_form() -> None:
    with pytest.raises(TypeError, match="form"):
        encode_form(Call(EDITS, MULTIPART, b"{}"))


@pytest.mark.parametrize("raw", [WHOLE + b"more", body(), WHOLE[:50]])
def test_a_refused_form_gives_its_spool_back(raw: bytes) -> None:
    with suppress(Refused), FormReader(content_type=CONTENT_TYPE) as reader:
        reader.feed(raw)
        parse_form(TRANSCRIPTIONS, reader)
    assert reader._spool.closed


def test_a_form_that_was_left_half_read_gives_its_spool_back() -> None:
    with FormReader(content_type=CONTENT_TYPE) as reader:
        reader.feed(WHOLE[:50])
    assert reader._spool.closed


def test_a_finished_form_keeps_its_spool_until_it_is_closed() -> None:
    form: Any = read(WHOLE).body
    assert not form.spool.closed
    form.close()
    form.close()
    assert form.spool.closed


async def test_a_form_of_aiohttp_is_read() -> None:
    data = aiohttp.FormData()
    data.add_field("model", "whisper-1")
    data.add_field("timestamp_granularities[]", "word")
    data.add_field("file", AUDIO, filename="ü b.mp3", content_type="audio/mpeg")
    payload = data()
    raw = await payload.as_bytes()
    call = parse(raw, TRANSCRIPTIONS, payload.headers["Content-Type"])
    assert call.members == {"model": "whisper-1", "timestamp_granularities[]": ["word"]}
    assert call.body.files == (("file", len(AUDIO)),)  # type: ignore[union-attr]
    assert "ü b.mp3" in call.texts
    assert sent(call) == raw


def test_a_form_of_the_official_sdks_client_is_read() -> None:
    request = httpx2.Request(
        "POST",
        "http://localhost/",
        data={"model": "whisper-1", "include[]": ["a", "b"], "prompt": "é\r\n"},
        files=[("file", ('ü "b".mp3', AUDIO, "audio/mpeg"))],
    )
    raw = request.read()
    call = parse(raw, TRANSCRIPTIONS, request.headers["content-type"])
    assert call.members == {"model": "whisper-1", "include[]": ["a", "b"], "prompt": "é\r\n"}
    assert call.body.files == (("file", len(AUDIO)),)  # type: ignore[union-attr]
    assert 'ü "b".mp3' in call.texts
    assert sent(call) == raw
