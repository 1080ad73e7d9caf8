"""Usage is always asked for, so that metering cannot be evaded; if the client did not, it will not notice."""

from typing import Any, Final

from gateway.core.call import Call
from gateway.core.endpoint import Dialect

_OPTIONS: Final = "stream_options"
_WISH: Final = "include_usage"


def asked_for_usage(call: Call) -> bool:
    """Whether the client itself wanted the usage chunk at the end of its stream."""
    options = call.members.get(_OPTIONS)
    return isinstance(options, dict) and options.get(_WISH) is True


def ask_for_usage(call: Call) -> Call:
    """The call with `stream_options.include_usage` set, if it is a chat or completions stream."""
    options = options_to_send(call)
    return call if options is None else call.changed({_OPTIONS: options})


def options_to_send(call: Call) -> dict[str, Any] | None:
    """The stream options that bring usage, the client's others kept; None when nothing has to change."""
    if call.endpoint.dialect is not Dialect.CHAT or not call.stream:
        return None
    options = call.get(_OPTIONS)
    if not isinstance(options, dict):
        return {_WISH: True}
    return None if options.get(_WISH) is True else {**options, _WISH: True}
