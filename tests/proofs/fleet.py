"""Gateways as an orchestrator runs them: each is started again when it has died, at another address."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from tests.support.command import gateway

STOPPING = 60.0
"""Seconds that a gateway may take to stop when it is told to."""


@dataclass
class Keeper:
    """Runs one gateway after the other, until it is told to end."""

    environment: Mapping[str, str]
    log: list[str] = field(default_factory=list)
    address: str | None = None
    """Where clients connect; None while there is no gateway."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    killed: int = 0
    _process: asyncio.subprocess.Process | None = None
    _ending: bool = False

    async def run(self) -> None:
        """Raises RuntimeError when a gateway that has listened ends, neither killed nor told to."""
        while not self._ending:
            killed = self.killed
            async with gateway("serve", environment=self.environment) as process:
                self._process = process
                listened = await self._read(process)
                status = await process.wait()
            if listened and self.killed == killed and (status != 0 or not self._ending):
                raise RuntimeError(f"it ended by itself with {status}: {self.log[-3:]}")

    def kill(self) -> None:
        """As the kernel does it when memory is short: no goodbye."""
        if self.address is not None and self._process is not None:
            self.killed += 1
            self.address = None
            self.started.clear()
            self._process.kill()

    def end(self) -> None:
        """As an orchestrator does it: stop, please."""
        self._ending = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def _read(self, process: asyncio.subprocess.Process) -> bool:
        """Whether it listened: one that does not find its database gives up, and the next one tries."""
        assert process.stdout is not None
        listened = False
        async for line in process.stdout:
            self.log.append(line.decode())
            event = msgspec.json.decode(line)
            if event["event"] == "listening":
                listened = True
                self.address = str(event["clients"])
                self.started.set()
        self.address = None
        self.started.clear()
        return listened


@asynccontextmanager
async def fleet(environment: Mapping[str, str], count: int) -> AsyncIterator[Sequence[Keeper]]:
    """So many, all of them listening. At the end each is told to stop and has; then all is written."""
    keepers = [Keeper(environment) for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        for keeper in keepers:
            group.create_task(keeper.run())
        for keeper in keepers:
            await keeper.started.wait()
        yield keepers
        for keeper in keepers:
            await keeper.started.wait()
            keeper.end()
