"""Audio: pretended sound for text, pretended text for sound, which lasts a second per 16,000 bytes begun."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping

from gateway.simulator.answer import Answer, Json, Part, stream, whole
from gateway.simulator.ask import Ask
from gateway.simulator.bill import Bill
from gateway.simulator.text import count, dice, sentences, tokens

_BYTES_A_SECOND = 16_000
_BYTES_A_TOKEN = 480
_TOKENS_A_SECOND = 10
_SPOKEN = 18
"""Tokens in a transcript."""
_SOUNDS = {"mp3": "mpeg", "pcm": "pcm", "opus": "ogg"}


def speak(ask: Ask) -> Answer:
    """Speech: bytes as they are made, without usage; with `stream_format: sse` events, with usage."""
    said = tokens(ask.text("input"))
    sounds = [dice(f"{position}{token}", _BYTES_A_TOKEN) for position, token in enumerate(said)]
    bill = Bill(
        input_tokens=len(said),
        output_tokens=len(said) * _TOKENS_A_SECOND,
        characters=len(ask.text("input")),
    )
    if ask.text("stream_format") == "sse":
        return stream(_sound_events(sounds), bill=bill)
    form = ask.text("response_format", "mp3")
    parts = tuple(Part(sound, tokens=1) for sound in sounds)
    kind = f"audio/{_SOUNDS.get(form, form)}"
    return Answer(parts=parts, content_type=kind, chunked=True, bill=bill)


def transcribe(ask: Ask) -> Answer:
    """A transcript in any format. Whisper is billed by the second and does not stream."""
    whisper = ask.model.startswith("whisper")
    usage = {"type": "duration", "seconds": _seconds(ask)} if whisper else _token_usage(ask)
    bill = Bill(seconds=_seconds(ask)) if whisper else _bill(ask, usage)
    if ask.flag("stream") and not whisper:
        return stream(_text_events(ask, usage), bill=bill)
    return _written(ask, "transcribe", {"usage": usage}, bill)


def translate(ask: Ask) -> Answer:
    """As a transcript, in English; it never reports usage."""
    return _written(ask, "translate", {}, Bill(seconds=_seconds(ask)))


def _sound_events(sounds: list[bytes]) -> Iterator[Part]:
    for sound in sounds:
        yield Part({"type": "speech.audio.delta", "audio": b64encode(sound).decode()}, tokens=1)
    given, made = len(sounds), len(sounds) * _TOKENS_A_SECOND
    usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    yield Part({"type": "speech.audio.done", "usage": usage})


def _text_events(ask: Ask, usage: Json) -> Iterator[Part]:
    for token in _heard(ask):
        yield Part({"type": "transcript.text.delta", "delta": token}, tokens=1)
    yield Part({"type": "transcript.text.done", "text": "".join(_heard(ask)), "usage": usage})


def _heard(ask: Ask) -> tuple[str, ...]:
    return sentences(dice(_sound(ask).hex(), 8).hex(), _SPOKEN)


def _sound(ask: Ask) -> bytes:
    return b"".join(file.value for file in ask.files)


def _seconds(ask: Ask) -> int:
    return max(1, -(-len(_sound(ask)) // _BYTES_A_SECOND))


def _token_usage(ask: Ask) -> Json:
    said, heard = count(ask.text("prompt")), _seconds(ask) * _TOKENS_A_SECOND
    return {
        "type": "tokens",
        "input_tokens": said + heard,
        "input_token_details": {"text_tokens": said, "audio_tokens": heard},
        "output_tokens": _SPOKEN,
        "total_tokens": said + heard + _SPOKEN,
    }


def _bill(ask: Ask, usage: Json) -> Bill:
    return Bill(
        input_tokens=usage["input_tokens"],
        audio_input_tokens=usage["input_token_details"]["audio_tokens"],
        output_tokens=usage["output_tokens"],
        seconds=_seconds(ask),
    )


def _written(ask: Ask, task: str, usage: Json, bill: Bill) -> Answer:
    text = "".join(_heard(ask))
    form = ask.text("response_format", "json")
    if form in _PLAIN:
        plain = _PLAIN[form](text, _seconds(ask)).encode()
        parts = (Part(plain, tokens=_SPOKEN),)
        return Answer(parts=parts, content_type="text/plain; charset=utf-8", bill=bill)
    verbose: Json = {"task": task, "language": "english", "duration": _seconds(ask)}
    verbose |= {"segments": [_segment(text, _seconds(ask))]}
    return whole((verbose if form == "verbose_json" else {}) | {"text": text} | usage, _SPOKEN, bill=bill)


def _segment(text: str, seconds: int) -> Json:
    place: Json = {"id": 0, "seek": 0, "start": 0.0, "end": float(seconds), "text": text, "tokens": [1, 2, 3]}
    return place | {"temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01}


def _srt(text: str, seconds: int) -> str:
    return f"1\n00:00:00,000 --> {_clock(seconds)},000\n{text}\n\n"


def _vtt(text: str, seconds: int) -> str:
    return f"WEBVTT\n\n00:00:00.000 --> {_clock(seconds)}.000\n{text}\n\n"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


_PLAIN: Mapping[str, Callable[[str, int], str]] = {
    "text": lambda text, _: text + "\n",
    "srt": _srt,
    "vtt": _vtt,
}
