"""A shaped call as bytes again: what leaves for the upstream."""

from collections.abc import AsyncIterator, Callable

from gateway.core.call import Call, Form
from gateway.wire.multipart import encode_form
from gateway.wire.patch import encode_json

Body = Callable[[], bytes | AsyncIterator[bytes]]


def encode(call: Call) -> tuple[Body, int]:
    """The body, to be asked for once an attempt, and its size. Raises Refused as `encode_form` does."""
    if isinstance(call.body, Form):
        size, _ = encode_form(call)
        return lambda: _portions(call), size
    data = encode_json(call)
    return lambda: data, len(data)


async def _portions(call: Call) -> AsyncIterator[bytes]:
    _, portions = encode_form(call)
    for portion in portions:
        yield portion
