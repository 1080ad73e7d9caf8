"""An answer onto the wire: at its pace, in its manner, noted part by part. Nothing else writes to clients."""

import asyncio
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from gateway.simulator.answer import Answer, Part, Stop
from gateway.simulator.log import Completion, SeenRequest
from gateway.simulator.pace import Pace
from gateway.simulator.sse import frame

_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One answer on its way to one client."""

    request: web.Request
    seen: SeenRequest
    pace: Pace
    closing: asyncio.Event
    """Set when the simulator stops: nothing may hang longer."""

    async def send(self, answer: Answer, headers: Mapping[str, str]) -> web.StreamResponse:
        """All of it, or up to where a fault breaks off. Raises ConnectionError when the client leaves."""
        pieces = list(_pieces(answer))
        response = web.StreamResponse(status=answer.status, headers={**headers, **answer.headers})
        response.headers["content-type"] = answer.content_type
        if answer.manner.compressed:
            response.headers["content-encoding"] = "gzip"
        if answer.manner.lacking_bytes or not answer.chunked:
            response.content_length = sum(map(len, pieces)) + answer.manner.lacking_bytes
        if answer.manner.stop is not Stop.HANG:
            await self._write(response, answer, pieces)
        await self._end(response, answer)
        return response

    async def _write(self, response: web.StreamResponse, answer: Answer, pieces: list[bytes]) -> None:
        manner = answer.manner
        sent = len(pieces) if manner.stop is None else min(manner.after, len(pieces) - 1)
        await response.prepare(self.request)
        self.seen.status = answer.status
        for part, piece in list(zip(answer.parts, pieces, strict=True))[:sent]:
            await self.pace.say(part.tokens)
            self.seen.generated_tokens += part.tokens
            for slice_ in _slices(piece, manner.bytes_a_write):
                await response.write(slice_)
                await self.pace.say(int(manner.drips))
            self.seen.told(part)

    async def _end(self, response: web.StreamResponse, answer: Answer) -> None:
        stop, transport = answer.manner.stop, self.request.transport
        if stop is None and not answer.manner.lacking_bytes:
            await response.write_eof()
            self.seen.end(Completion.FINISHED)
            return
        if stop in (Stop.HANG, Stop.STALL):
            await self.closing.wait()
        # One turn of the loop, so that what was written has left before the connection breaks.
        await asyncio.sleep(0)
        self.seen.end(Completion.CUT)
        if transport is not None:
            transport.abort()


def _pieces(answer: Answer) -> Iterator[bytes]:
    """The bytes of each part."""
    plain = (_encoded(part, answer) for part in answer.parts)
    if not answer.manner.compressed:
        yield from plain
        return
    squeeze = zlib.compressobj(wbits=_GZIP)
    for position, piece in enumerate(plain, start=1):
        last = position == len(answer.parts)
        yield squeeze.compress(piece) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _encoded(part: Part, answer: Answer) -> bytes:
    if answer.streams_events:
        return frame(part, answer.manner.line_end)
    return part.data if isinstance(part.data, bytes) else msgspec.json.encode(part.data)


def _slices(piece: bytes, size: int | None) -> Iterator[bytes]:
    width = size or len(piece) or 1
    return (piece[start : start + width] for start in range(0, len(piece), width))
