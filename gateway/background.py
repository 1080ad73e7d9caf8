"""Work that outlives a request. The only file that creates tasks; what it starts, it stops.

Two kinds: loops, which run until the gateway stops, and hand-overs, which are small jobs that must be done
although nobody waits for them (settling a reservation after its client has left). Hand-overs are bounded in
number, done in order, and drained at the stop.

`apart` is neither: work that its maker waits for, in a task that can outlast the maker's own cancellation.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

Job = Callable[[], Awaitable[None]]
Pause = Callable[[float], Awaitable[None]]

_RESTART_SECONDS: Final = 1.0


def apart(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin this in a task of its own. Whoever begins it has to wait for its end."""
    return asyncio.get_running_loop().create_task(work)


class Background:
    """All tasks of one process."""

    def __init__(
        self, *, log: structlog.stdlib.BoundLogger, most_jobs: int = 100_000, pause: Pause = asyncio.sleep
    ) -> None:
        """`most_jobs`: waiting hand-overs beyond which the oldest is dropped, counted and logged."""
        self._log = log
        self._pause = pause
        self._most_jobs = most_jobs
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._undone = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Hand-overs that found the queue full."""

    def start(self) -> None:
        """Begin to do what is handed over."""
        self.loop("hand_overs", self._do_jobs)

    def loop(self, name: str, run: Job) -> None:
        """Keep `run` going until the stop. When it ends or fails, it is begun again a second later."""
        task = asyncio.get_running_loop().create_task(self._keep(name, run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def every(self, name: str, seconds: float, act: Job) -> None:
        """Do `act` again and again, with a pause of `seconds` before each time."""

        async def run() -> None:
            while True:
                await self._pause(seconds)
                await act()

        self.loop(name, run)

    def hand_over(self, job: Job) -> None:
        """Do this soon. Never waits and never fails: it may be called while a request is being torn down."""
        if self._jobs.qsize() >= self._most_jobs:
            self._jobs.get_nowait()
            self._done()
            self.dropped += 1
            self._log.error("hand_over_dropped", waiting=self._most_jobs)
        self._undone += 1
        self._jobs.put_nowait(job)

    async def stop(self, *, drain_seconds: float = 5.0) -> None:
        """Finish what was handed over, for so long at most, then end every loop."""
        try:
            async with asyncio.timeout(drain_seconds):
                await self._jobs.join()
        except TimeoutError:
            self._log.error("hand_overs_left_undone", count=self._undone)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _do_jobs(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await job()
            except Exception as error:
                self._log.error("hand_over_failed", error=type(error).__name__, exc_info=error)
            finally:
                self._done()

    def _done(self) -> None:
        self._undone -= 1
        self._jobs.task_done()

    async def _keep(self, name: str, run: Job) -> None:
        while True:
            try:
                await run()
            except (Exception, asyncio.CancelledError) as error:
                if _is_being_cancelled():
                    raise
                self._log.error("loop_failed", loop=name, error=type(error).__name__, exc_info=error)
            await self._pause(_RESTART_SECONDS)


def _is_being_cancelled() -> bool:
    """Whether this very task is told to end. If only something inside was, that is a failure like others."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
