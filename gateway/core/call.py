"""What is asked: a request body that was parsed once, strictly, and is forwarded as it was judged.

A Call is frozen. Shaping makes a changed copy: `changes` names top-level members only, and the encoder
patches just those into the client's own bytes (see `wire/patch.py`), so that the rest stays byte for byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import IO, Any, Final

from gateway.core.endpoint import Dialect, Endpoint


class Removed:
    """The value of a change that takes a member out."""

    def __repr__(self) -> str:
        return "REMOVED"


REMOVED: Final = Removed()


@dataclass(frozen=True, slots=True)
class Field:
    """One text field of a form, and where its part lies in the body."""

    name: str
    start: int
    """The first byte of the delimiter before it."""
    end: int
    """The first byte of the delimiter after it."""


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body, kept as the bytes that came (in memory while small, else in a temporary file).

    Whoever holds it closes it when the exchange is over.
    """

    spool: IO[bytes] = field(repr=False)
    size: int
    boundary: bytes
    end: int
    """The first byte of the closing delimiter: where a new part can stand."""
    fields: tuple[Field, ...] = ()
    files: tuple[tuple[str, int], ...] = ()
    """Form name and size in bytes of every file."""

    def close(self) -> None:
        """Give the bytes up. Closing twice does no harm."""
        self.spool.close()


@dataclass(frozen=True)
class Call:
    """One request, parsed."""

    endpoint: Endpoint
    content_type: str
    """The client's own Content-Type, sent on as it is (a form's boundary is in it)."""
    body: bytes | Form = field(repr=False)
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The JSON object, or the form's text fields (a repeated field, or `name[]`, is a list)."""
    texts: tuple[str, ...] = field(default=(), repr=False)
    """Every string that the body carries, names of members included, at any depth."""
    changes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Top-level members that shaping sets, or takes out (REMOVED)."""

    def get(self, member: str, default: Any = None) -> Any:
        """The member's value as it will be sent."""
        if member in self.changes:
            value = self.changes[member]
            return default if value is REMOVED else value
        return self.members.get(member, default)

    def changed(self, changes: Mapping[str, Any]) -> "Call":
        """A copy in which these members have new values."""
        return replace(self, changes={**self.changes, **changes})

    @cached_property
    def model(self) -> str | None:
        """The model that will be asked for; the endpoint's default when the client named none."""
        model = self.get("model")
        return model if isinstance(model, str) else self.endpoint.default_model

    @cached_property
    def stream(self) -> bool:
        """Whether the client asked for events. Forms spell it as text; speech has a member of its own."""
        if self.endpoint.dialect is Dialect.AUDIO and self.get("stream_format") == "sse":
            return True
        return self.get("stream") in (True, "true", "True", "1")
