"""Clients of all kinds: patient ones, ones that hang up at any byte, ones whose upstream fails."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import aiohttp

from tests.proofs.fleet import Keeper

LEAVING: Final = 0.10
FAILING: Final = 0.05
FAULTS: Final = (
    *("500", "503_html", "cut", "cut:7", "cut_body", "error_in_stream", "missing_usage", "no_done"),
    *("429", "split", "crlf"),
)
LATEST: Final = 3000
"""Bytes of an answer after which who means to leave has left."""
_ENDPOINTS: Final = "/chat/completions", "/responses", "/completions", "/embeddings"
_WEIGHTS: Final = 6, 2, 1, 1


@dataclass(frozen=True)
class Saw:
    """What one client saw of its request."""

    request_id: str | None
    """The gateway's id of the exchange; None when no answer began."""
    status: int | None
    whole: bool
    """The answer came to its end."""


@dataclass(frozen=True)
class Ask:
    """One request, and how patient its client is."""

    path: str
    body: dict[str, Any]
    leaves_after: int | None = None
    """Bytes; 0: before the answer begins."""


def asks(number: int) -> Ask:
    """The same for the same number."""
    chance = Random(number)
    (path,) = chance.choices(_ENDPOINTS, _WEIGHTS)
    words = f"Number {number}: say something about {chance.choice(('tea', 'rivers', 'Zürich', '東京'))}."
    body: dict[str, Any] = {"model": "gpt-4o-mini"}
    match path:
        case "/chat/completions":
            body |= {
                "messages": [{"role": "user", "content": words}],
                "max_tokens": chance.choice((5, 30, 80)),
            }
        case "/completions":
            body |= {"prompt": words, "model": "gpt-3.5-turbo-instruct"}
            body |= {"max_tokens": chance.choice((5, 30))}
        case "/responses":
            body |= {"input": words, "max_output_tokens": chance.choice((20, 60))}
        case _:
            body |= {"input": words, "model": "text-embedding-3-small"}
    if path != "/embeddings":
        body["stream"] = chance.random() < 0.5
        if chance.random() < FAILING:
            body["metadata"] = {"simulate": chance.choice(FAULTS)}
    leaves = chance.randrange(LATEST) if chance.random() < LEAVING else None
    return Ask(path, body, leaves if chance.random() < 0.9 or leaves is None else 0)


class Crowd:
    """Asks one thing after another of whichever gateway is there, so many at once."""

    def __init__(self, keepers: Sequence[Keeper], key: str, *, told: Callable[[int], None]) -> None:
        """`told`: how many have asked so far."""
        self._keepers = keepers
        self._headers = {"authorization": f"Bearer {key}"}
        self._told = told
        self.saw: list[Saw] = []

    async def ask(self, count: int, *, at_once: int) -> None:
        numbers = iter(range(count))
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for place in range(at_once):
                group.create_task(self._keep_asking(http, numbers, Random(place)))

    async def _keep_asking(self, http: aiohttp.ClientSession, numbers: Any, chance: Random) -> None:
        for number in numbers:
            address = await self._somebody(chance)
            self.saw.append(await self._one(http, address, asks(number)))
            self._told(len(self.saw))

    async def _somebody(self, chance: Random) -> str:
        """A gateway that is there; if there is none, the first that comes back."""
        while not (there := [keeper.address for keeper in self._keepers if keeper.address]):
            waits = [asyncio.create_task(keeper.started.wait()) for keeper in self._keepers]
            _, late = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in late:
                wait.cancel()
        return chance.choice(there)

    async def _one(self, http: aiohttp.ClientSession, address: str, ask: Ask) -> Saw:
        request_id, status, read = None, None, 0
        try:
            answer = http.post(f"http://{address}/v1{ask.path}", json=ask.body, headers=self._headers)
            if ask.leaves_after == 0:
                async with asyncio.timeout(0.02):
                    await answer
                return Saw(None, None, whole=False)
            async with answer as response:
                request_id, status = response.headers.get("x-request-id"), response.status
                async for chunk in response.content.iter_any():
                    read += len(chunk)
                    if ask.leaves_after is not None and read > ask.leaves_after:
                        response.close()
                        return Saw(request_id, status, whole=False)
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return Saw(request_id, status, whole=False)
        return Saw(request_id, status, whole=True)
