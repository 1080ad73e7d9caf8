"""The load: one measure of one contestant, in a process of its own. Prints JSON; exit 1 for a wrong answer.

CPU is read here, at the window's very beginning and end, from the contestant's process tree (`--pid`). Its
Redis (`--redis`), if it has one, tells of its own.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import uvloop

from tests.bench import procfs
from tests.bench.client import Caller
from tests.bench.figures import Figures, percentile
from tests.bench.own_redis import Work, work_of
from tests.bench.payloads import ANSWER, EVENT_BYTES, Pace, request, stream

CONNECTIONS: Final = 48
STREAMS: Final = 200
STREAM_GAP_MS: Final = 33
HELD_STREAMS: Final = 500
HELD_GAP_MS: Final = 1000
PACED_PER_SECOND: Final = 100
PACED_CONNECTIONS: Final = 16
_WARM_SECONDS: Final = 1.0
_WARM_ANSWERS: Final = 100
_RAMP_SECONDS: Final = 1.5
_SETTLE_SECONDS: Final = 2.0


class Target(NamedTuple):
    """Whom to ask, and how."""

    port: int
    pid: int
    key: str
    upstream_port: int
    redis: str = ""

    def post(self, body: bytes) -> bytes:
        """The whole request, as an SDK would send it."""
        return (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n"
            b"content-type: application/json\r\naccept: application/json\r\nuser-agent: bench\r\n"
            b"x-stainless-lang: python\r\nx-stainless-retry-count: 0\r\ncontent-length: %d\r\n\r\n%s"
        ) % (self.port, self.key.encode(), len(body), body)

    async def callers(
        self, count: int, pace: Pace | None = None, on_answer: Callable[[Caller], None] = lambda caller: None
    ) -> list[Caller]:
        """That many connections, opened and silent."""
        body, expected = self.post(request(pace)), stream(pace) if pace else ANSWER
        loop = asyncio.get_running_loop()
        return [
            (await loop.create_connection(lambda: Caller(body, expected, on_answer), "127.0.0.1", self.port))[
                1
            ]
            for _ in range(count)
        ]

    async def upstream_counts(self) -> dict[str, int]:
        """Connections and requests that the fake upstream has seen so far."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        writer.write(b"GET /bench/counts HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        counts: dict[str, int] = json.loads(await reader.readexactly(length))
        writer.close()
        return counts

    async def redis_work(self) -> Work | None:
        """What the contestant's Redis has done so far; None when there is none."""
        return await work_of(self.redis) if self.redis else None


def _check(callers: list[Caller]) -> None:
    failures = [caller.failure for caller in callers if caller.failure]
    if failures:
        sys.exit(f"{len(failures)} of {len(callers)} connections failed; the first: {failures[0]}")


def _leave(callers: list[Caller]) -> None:
    _check(callers)
    for caller in callers:
        caller.leave()


class Window:
    """The stretch of time that counts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = time.perf_counter()
        self._cpu = procfs.cpu_seconds(pid)

    def close(self) -> tuple[float, float]:
        """Seconds on the clock, and seconds on the core."""
        return time.perf_counter() - self._began, procfs.cpu_seconds(self._pid) - self._cpu


async def measure_json(target: Target, seconds: float) -> Figures:
    """Requests one after another on every connection, as fast as the contestant answers."""
    callers = await target.callers(CONNECTIONS, on_answer=Caller.ask)
    for caller in callers:
        caller.ask()
    await asyncio.sleep(_WARM_SECONDS)
    _check(callers)
    redis, before = await target.redis_work(), await target.upstream_counts()
    window, answers = Window(target.pid), -sum(caller.answers for caller in callers)
    await asyncio.sleep(seconds)
    took, cpu = window.close()
    answers += sum(caller.answers for caller in callers)
    after, redis_after = await target.upstream_counts(), await target.redis_work()
    _leave(callers)
    connections = after["connections"] - before["connections"] - 1  # one asked for the counts
    requests = after["requests"] - before["requests"]
    return {
        "json_cpu_us": cpu / answers * 1e6,
        "json_per_second": answers / took,
        "json_core_share": cpu / took,
        "upstream_connections_per_1000": connections / requests * 1000,
        **(redis_figures(redis_after.since(redis), requests) if redis and redis_after else {}),
    }


def redis_figures(work: Work, requests: int) -> Figures:
    """What a Redis has done for each of so many requests."""
    return {
        "redis_cpu_us": work.cpu_seconds / requests * 1e6,
        "redis_scripts": work.scripts / requests,
        "redis_trips": work.reads / requests,
    }


async def measure_stream(target: Target, seconds: float) -> Figures:
    """Two hundred streams of 30 events a second, out of step; each is read to its end and compared."""
    lasts = (_RAMP_SECONDS * 2 + seconds) * 1000
    callers = await target.callers(STREAMS, Pace(int(lasts / STREAM_GAP_MS), STREAM_GAP_MS))
    steps = random.Random(STREAMS)
    for caller in callers:
        caller.ask()
        await asyncio.sleep(steps.uniform(0, 2 * _RAMP_SECONDS / STREAMS))
    await asyncio.sleep(_RAMP_SECONDS / 4)
    window, received = Window(target.pid), -sum(caller.received for caller in callers)
    await asyncio.sleep(seconds)
    took, cpu = window.close()
    events = (received + sum(caller.received for caller in callers)) / EVENT_BYTES
    async with asyncio.timeout(20):
        while not all(caller.answers or caller.failure for caller in callers):
            await asyncio.sleep(0.05)
    _leave(callers)
    return {
        "event_cpu_us": cpu / events * 1e6,
        "events_per_second": events / took,
        "event_core_share": cpu / took,
    }


async def measure_latency(target: Target, seconds: float) -> Figures:
    """One request every hundredth of a second, whether or not the one before has been answered.

    A request that finds every connection busy waits for one, and its time runs meanwhile.
    """
    times: list[float] = []
    idle: deque[Caller] = deque()
    late: deque[float] = deque()

    def answered(caller: Caller) -> None:
        times.append(time.perf_counter() - caller.asked_at)
        if late:
            caller.ask(late.popleft())
        else:
            idle.append(caller)

    callers = await target.callers(PACED_CONNECTIONS, on_answer=answered)
    idle.extend(callers)
    count = int((seconds + _WARM_SECONDS) * PACED_PER_SECOND)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(count):
        await asyncio.sleep(began + number / PACED_PER_SECOND - loop.time())
        if idle:
            idle.popleft().ask(time.perf_counter())
        else:
            late.append(time.perf_counter())
    async with asyncio.timeout(20):
        while len(times) < count and not any(caller.failure for caller in callers):
            await asyncio.sleep(0.01)
    _leave(callers)
    measured = times[int(_WARM_SECONDS * PACED_PER_SECOND) :]
    return {"p50_us": statistics.median(measured) * 1e6, "p99_us": percentile(measured, 0.99) * 1e6}


async def measure_memory(target: Target, seconds: float) -> Figures:
    """Five hundred streams that are open at once and say something every second."""
    await _answer_some(target)
    idle = procfs.resident_bytes(target.pid)
    await _stream_some(target)
    before = procfs.resident_bytes(target.pid)
    callers = await target.callers(HELD_STREAMS, Pace(600, HELD_GAP_MS))
    for caller in callers:
        caller.ask()
        await asyncio.sleep(0.001)
    await asyncio.sleep(_SETTLE_SECONDS + seconds / 4)
    held = procfs.resident_bytes(target.pid)
    if not all(caller.received for caller in callers):
        _check(callers)
        sys.exit("some of the held streams got nothing")
    _leave(callers)
    return {"idle_mib": idle / 2**20, "stream_kib": (held - before) / HELD_STREAMS / 1024}


async def _answer_some(target: Target) -> None:
    """Some traffic, so that what first requests make is not taken for something else."""

    def again(caller: Caller) -> None:
        if caller.answers < _WARM_ANSWERS:
            caller.ask()

    callers = await target.callers(8, on_answer=again)
    for caller in callers:
        caller.ask()
    async with asyncio.timeout(20):
        while not all(caller.answers == _WARM_ANSWERS or caller.failure for caller in callers):
            await asyncio.sleep(0.05)
    _leave(callers)
    await asyncio.sleep(_WARM_SECONDS / 2)


async def _stream_some(target: Target) -> None:
    """The same with streams, which are left half-way: their tokens are counted, by a vocabulary that takes
    60 MiB once."""
    callers = await target.callers(8, Pace(600, HELD_GAP_MS))
    for caller in callers:
        caller.ask()
    await asyncio.sleep(_WARM_SECONDS)
    _leave(callers)
    await asyncio.sleep(_WARM_SECONDS)


MEASURES: Final[dict[str, Callable[[Target, float], Awaitable[Figures]]]] = {
    "memory": measure_memory,
    "json": measure_json,
    "stream": measure_stream,
    "latency": measure_latency,
}
"""In the order in which they are taken: memory first, while the contestant is fresh."""


async def _measure(name: str, target: Target, seconds: float) -> Figures:
    gc.freeze()
    gc.disable()
    async with asyncio.timeout(seconds + 60):
        return await MEASURES[name](target, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    parser.add_argument("--redis", default="")
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        chosen = Target(asked.port, asked.pid, asked.key, asked.upstream_port, asked.redis)
        print(json.dumps(uvloop.run(_measure(asked.measure, chosen, asked.seconds))))
