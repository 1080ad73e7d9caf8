"""Values to server-sent events."""

import msgspec

from gateway.simulator.answer import Part


def frame(part: Part, line_end: str = "\n") -> bytes:
    """One event with its closing blank line. Bytes are taken as framed already."""
    if isinstance(part.data, bytes):
        return part.data
    data = part.data.encode() if isinstance(part.data, str) else msgspec.json.encode(part.data)
    name = f"event: {part.event}{line_end}".encode() if part.event else b""
    return name + b"data: " + data + (line_end * 2).encode()
