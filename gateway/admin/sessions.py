"""What the console's browser keeps, and cannot change: who signed in, until when, under a MAC.

Nothing is stored on this side, so every replica that has the same key opens what another sealed. A session
ends at its time; before it when the key changes, or when what it was begun with holds no longer.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.core.actor import Actor, Role
from gateway.core.clock import Clock
from gateway.core.principal import Principal

COOKIE: Final = "gateway_session"
SESSION_SECONDS: Final = 8 * 3600

_LONGEST: Final = 3_800
"""Characters of a sealed text: browsers drop cookies of more than 4,096 bytes, attributes included."""


class TooLong(ValueError):
    """More than a cookie holds."""


class Seal:
    """Signs texts for one purpose: what was sealed for one does not open for another."""

    def __init__(self, key: bytes, purpose: str) -> None:
        """`key`: at least 32 secret bytes. `purpose`: with its version, `session.v1`."""
        self._mac = hmac.new(key, f"{purpose}\0".encode(), "sha256")

    def seal(self, content: bytes) -> str:
        """Raises TooLong."""
        sealed = f"{_text(content)}.{self._signature(content)}"
        if len(sealed) > _LONGEST:
            raise TooLong("This is more than a cookie holds.")
        return sealed

    def opened(self, sealed: str) -> bytes | None:
        """What was sealed; None for anything else."""
        text, dot, signature = sealed.partition(".")
        if not dot or len(sealed) > _LONGEST or not sealed.isascii():
            return None
        content = _bytes(text)
        if content is None or not hmac.compare_digest(signature, self._signature(content)):
            return None
        return content

    def derived(self, content: bytes, name: str) -> str:
        """Another secret, 43 characters, that only the holder of the key can make of this content."""
        mac = self._mac.copy()
        mac.update(f"{name}\0".encode() + content)
        return _text(mac.digest())

    def _signature(self, content: bytes) -> str:
        return self.derived(content, "signature")


class _Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    role: Role
    teams: list[str]
    until: float
    holder: Principal | None


class Sessions:
    """Seals and opens sessions."""

    def __init__(self, key: bytes, clock: Clock, *, holds: Callable[[Actor], bool]) -> None:
        """`holds`: whether what somebody was let in by is still good."""
        self._seal = Seal(key, "session.v1")
        self._clock = clock
        self._holds = holds

    def seal(self, actor: Actor, until: float) -> str:
        """The cookie of a session that ends at `until`, in seconds since 1970. Raises TooLong for an actor
        with more teams than a cookie holds.
        """
        session = _Session(actor.name, actor.role, sorted(actor.teams), until, actor.holder)
        return self._seal.seal(msgspec.json.encode(session))

    def opened(self, cookie: str) -> Actor | None:
        """Who signed in; None for what we did not seal, when it has ended, and when it holds no longer."""
        content = self._seal.opened(cookie)
        if content is None:
            return None
        session = msgspec.json.decode(content, type=_Session)
        if session.until <= self._clock.now():
            return None
        actor = Actor(session.name, session.role, frozenset(session.teams), session.holder)
        return actor if self._holds(actor) else None


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes | None:
    """None for what is not spelled as we spell it."""
    try:
        content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except NotBase64:
        return None
    return content if _text(content) == text else None
