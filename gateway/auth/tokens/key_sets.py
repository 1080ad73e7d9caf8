"""The keys of every issuer, as they were when they were fetched last.

Its law: an issuer is asked at most once in PAUSE seconds, whoever sends what; nobody waits for it while there
is a key that fits; and while it is away its keys are good for LIFE seconds.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from gateway.auth.tokens.fetching import Fetch, discovered
from gateway.auth.tokens.published import IssuerKey, read_keys
from gateway.background import apart
from gateway.core.clock import Clock
from gateway.core.identity import Issuer

PAUSE: Final = 30.0
"""Seconds between two fetches from one issuer, at least: also between one that failed and the next."""
FRESH: Final = 600.0
"""Seconds after which keys are fetched again, while they go on being used."""
LIFE: Final = 86_400.0
"""Seconds for which keys are used after they were fetched."""

_Source = tuple[str, str | None, Path | None, Path | None]


@dataclass(slots=True)
class _KeySet:
    """What is known of one issuer's keys. Times by the monotonic clock."""

    issuer: Issuer
    keys: tuple[IssuerKey, ...] = field(default=(), repr=False)
    fetched_at: float = -inf
    tried_at: float = -inf
    flight: asyncio.Task[None] | None = None

    def find(self, key_id: str | None, algorithm: str) -> IssuerKey | None:
        """The key of this id; without an id, the only one there is for the algorithm."""
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if key_id is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.id == key_id), None)


class KeySets:
    """Finds the key with which a token says that it is signed."""

    def __init__(
        self,
        *,
        clock: Clock,
        fetch: Fetch,
        on_change: Callable[[str, str | None], None],
        deadline: float = 5.0,
    ) -> None:
        """`on_change` is told an issuer's name and a sentence when its keys cannot be fetched any more, and
        its name and None when they can again. `deadline`: seconds that all of a fetch may take.
        """
        self._clock = clock
        self._fetch = fetch
        self._on_change = on_change
        self._deadline = deadline
        self._sets: dict[str, _KeySet] = {}
        self._away: set[str] = set()
        self._flights: set[asyncio.Task[None]] = set()
        self.withdrawals = 0
        """How often a key was gone that had been there."""

    async def key(self, issuer: Issuer, key_id: str | None, algorithm: str) -> IssuerKey | None:
        """The issuer's key with this id that may have signed so; None when there is none, as far as is known.

        For one that is not known the issuer is asked, if that is due, and waited for; else nobody waits.
        """
        known = self._of(issuer)
        key = self._find(known, key_id, algorithm)
        if key is None:
            await self._fetched(known)
            return self._find(known, key_id, algorithm)
        if self._clock.monotonic() - known.fetched_at > FRESH:
            self._begin(known)
        return key

    async def refresh(self, issuers: Iterable[Issuer]) -> None:
        """Fetch what is old or was never fetched of these issuers; forget all others. To be called at the
        start, and then twice a minute.
        """
        known = {issuer.name: self._of(issuer) for issuer in issuers}
        self._sets = known
        for name in self._away - known.keys():
            self._is_back(name)
        now = self._clock.monotonic()
        await asyncio.gather(
            *[self._fetched(each) for each in known.values() if now - each.fetched_at > FRESH]
        )

    async def stop(self) -> None:
        """End the fetches that are under way."""
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)

    def _of(self, issuer: Issuer) -> _KeySet:
        known = self._sets.get(issuer.name)
        if known is None or _source(known.issuer) != _source(issuer):
            known = self._sets[issuer.name] = _KeySet(issuer)
        return known

    def _find(self, known: _KeySet, key_id: str | None, algorithm: str) -> IssuerKey | None:
        if self._clock.monotonic() - known.fetched_at >= LIFE:
            return None
        return known.find(key_id, algorithm)

    async def _fetched(self, known: _KeySet) -> None:
        """Wait for the fetch that is under way, or is due now."""
        self._begin(known)
        if known.flight is not None:
            await asyncio.wait([known.flight])  # goes on when a caller leaves: the others wait for it too

    def _begin(self, known: _KeySet) -> None:
        now = self._clock.monotonic()
        if known.flight is not None or now - known.tried_at < PAUSE:
            return
        known.tried_at = now
        known.flight = apart(self._fly(known))
        self._flights.add(known.flight)
        known.flight.add_done_callback(self._flights.discard)

    async def _fly(self, known: _KeySet) -> None:
        name = known.issuer.name
        try:
            async with asyncio.timeout(self._deadline):
                keys = await self._ask(known.issuer)
            self.withdrawals += any(key not in keys for key in known.keys)
            known.keys, known.fetched_at = keys, self._clock.monotonic()
            self._is_back(name)
        except TimeoutError:
            self._is_away(name, "it did not answer in time")
        except ValueError as error:
            self._is_away(name, str(error))
        finally:
            known.flight = None

    async def _ask(self, issuer: Issuer) -> tuple[IssuerKey, ...]:
        """Raises ValueError."""
        url = issuer.jwks_url
        if url is None:
            url = (await discovered(self._fetch, issuer))["jwks_uri"]
        return read_keys(await self._fetch(issuer, url))

    def _is_away(self, name: str, sentence: str) -> None:
        if name not in self._away:
            self._away.add(name)
            self._on_change(name, sentence)

    def _is_back(self, name: str) -> None:
        if name in self._away:
            self._away.discard(name)
            self._on_change(name, None)


def _source(issuer: Issuer) -> _Source:
    """Issuers with the same have the same keys, whatever else is said of them."""
    return issuer.url, issuer.jwks_url, issuer.ca_file, issuer.token_file
