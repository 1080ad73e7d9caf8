import pytest

from gateway.simulator.errors import Refusal
from gateway.simulator.form import Field, as_body, read_form

TYPE = "multipart/form-data; boundary=xx"
BODY = (
    b'--xx\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n\x00\r\n--x\r\n\r\n"
    b"\r\n--xx--\r\n"
)


def test_fields_come_out_in_order_with_their_very_bytes() -> None:
    model, file = read_form(BODY, TYPE)

    assert model == Field("model", b"whisper-1")
    assert file == Field("file", b"\x00\r\n--x\r\n\r\n", "a.wav")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (BODY[:-10], TYPE),
        (BODY, "multipart/form-data"),
        (b"", TYPE),
        (b"--xx\r\nContent-Type: text/plain\r\n\r\n\r\n--xx--", TYPE),
    ],
    ids=["cut off", "no boundary", "empty", "no name"],
)
def test_a_broken_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(Refusal):
        read_form(body, content_type)


def test_names_with_brackets_gather_into_a_list() -> None:
    fields = [Field("include[]", b"a"), Field("include[]", b"b"), Field("n", b"2"), Field("file", b"", "f")]

    assert as_body(fields) == {"include": ["a", "b"], "n": "2"}
