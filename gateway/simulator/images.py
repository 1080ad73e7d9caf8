"""Images: small real PNGs. The gpt-image family reports usage and streams; DALL-E does neither."""

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from secrets import token_hex

from gateway.simulator.answer import Answer, Dialect, Json, Part, stream, whole
from gateway.simulator.ask import Ask
from gateway.simulator.bill import Bill
from gateway.simulator.text import count, dice

_MOST_IMAGES = 10
_MOST_PARTIAL_IMAGES = 3
_EDGE = 16
_A_GIVEN_IMAGE = 194
_OUTPUT_TOKENS = {"low": 272, "medium": 1056, "high": 4160}


def generate(ask: Ask) -> Answer:
    return _answer(ask, "image_generation", given=0)


def edit(ask: Ask) -> Answer:
    return _answer(ask, "image_edit", given=len(ask.files) or len(ask.objects("images")))


def vary(ask: Ask) -> Answer:
    return _answer(ask, "image_variation", given=1)


def _answer(ask: Ask, verb: str, given: int) -> Answer:
    number = ask.integer("n", 1, _MOST_IMAGES)
    body: Json = {"created": ask.created, "data": [_image(ask, index) for index in range(number)]}
    if not _is_modern(ask):
        return whole(body, bill=Bill(images=number))
    if ask.flag("stream"):
        return stream(_events(ask, verb, given), Dialect.IMAGES, bill=_bill(_usage(ask, given, 1), 1))
    usage = _usage(ask, given, number)
    return whole(body | _look(ask) | {"usage": usage}, bill=_bill(usage, number))


def _is_modern(ask: Ask) -> bool:
    return ask.model.startswith("gpt-image")


def _image(ask: Ask, index: int) -> Json:
    inline = _is_modern(ask) or ask.text("response_format") == "b64_json"
    data = (
        {"b64_json": _png(ask, index)}
        if inline
        else {"url": f"https://images.invalid/img-{token_hex(12)}.png"}
    )
    return data | ({"revised_prompt": ask.text("prompt")} if ask.model == "dall-e-3" else {})


def _events(ask: Ask, verb: str, given: int) -> Iterator[Part]:
    def event(kind: str, index: int, rest: Json) -> Part:
        name = f"{verb}.{kind}"
        image: Json = {"type": name, "b64_json": _png(ask, index), "created_at": ask.created}
        return Part(image | _look(ask) | rest, event=name, tokens=1)

    for index in range(ask.integer("partial_images", 0, _MOST_PARTIAL_IMAGES, least=0)):
        yield event("partial_image", index, {"partial_image_index": index})
    yield event("completed", 0, {"usage": _usage(ask, given, 1)})


def _look(ask: Ask) -> Json:
    usual = {"background": "opaque", "output_format": "png", "quality": "medium", "size": "1024x1024"}
    sent = {name: ask.text(name) for name in usual}
    return usual | {name: value for name, value in sent.items() if value not in ("", "auto")}


def _usage(ask: Ask, given: int, number: int) -> Json:
    said, seen = count(ask.text("prompt")), given * _A_GIVEN_IMAGE
    made = _OUTPUT_TOKENS.get(_look(ask)["quality"], _OUTPUT_TOKENS["high"]) * number
    return {
        "input_tokens": said + seen,
        "input_tokens_details": {"text_tokens": said, "image_tokens": seen},
        "output_tokens": made,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        "total_tokens": said + seen + made,
    }


def _bill(usage: Json, number: int) -> Bill:
    return Bill(
        input_tokens=usage["input_tokens"],
        image_input_tokens=usage["input_tokens_details"]["image_tokens"],
        output_tokens=usage["output_tokens"],
        image_output_tokens=usage["output_tokens"],
        images=number,
    )


def _png(ask: Ask, index: int) -> str:
    """A square of the prompt's own colour, in base64."""
    colour = dice(f"{ask.text('prompt')}{index}", 3)
    row = b"\0" + colour * _EDGE
    header = struct.pack(">IIBBBBB", _EDGE, _EDGE, 8, 2, 0, 0, 0)
    blocks = _block(b"IHDR", header) + _block(b"IDAT", zlib.compress(row * _EDGE)) + _block(b"IEND", b"")
    return b64encode(b"\x89PNG\r\n\x1a\n" + blocks).decode()


def _block(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
