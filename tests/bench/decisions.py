"""What a decision about limits costs by itself: in memory, and in Redis with batching and without.

Nothing but reservations and settlements, in one process on the first core; its Redis is on the second. Rounds
are interleaved. Figures are reported, never judged. A decision that fails or refuses is a mistake: exit 1.
"""

import argparse
import gc
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import uvloop
from rich.console import Console

from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Budget, Catalogue, Counted, Limit, Period, Policy, Scope
from tests.bench.callers import Callers, Refused
from tests.bench.cores import pinned, two_cores
from tests.bench.figures import Figures, medians, percentile
from tests.bench.limiters import Way, kept_in_memory, kept_in_redis
from tests.bench.own_redis import Work, redis_is_there, redis_on, work_of
from tests.bench.tables import Cells, measured_on
from tests.support.redis_server import ask

_WARM_SECONDS: Final = 0.05
_PLENTY: Final = 10**12


class Length(NamedTuple):
    """How often each case is measured, and for how many seconds."""

    rounds: int
    seconds: float


FULL: Final = Length(5, 0.35)
SHORT: Final = Length(3, 0.15)

_LIMITS: Final = (
    Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), _PLENTY, 60.0, _PLENTY),
    Limit("team-tokens", Counted.TOKENS, (Scope.TEAM,), _PLENTY, 60.0, _PLENTY),
    Limit("key-streams", Counted.CONCURRENT, (Scope.KEY,), _PLENTY),
)
_BUDGETS: Final = (Budget("team-month", Counted.DOLLARS, (Scope.TEAM,), _PLENTY, Period.MONTH),)
_POLICY: Final = Policy("bench", "v1", Catalogue({}), limits=_LIMITS)
HOLDS: Final = {
    "2 rates, 1 slot": _POLICY,
    "… and 1 budget": Policy("bench", "v1", Catalogue({}), limits=_LIMITS, budgets=_BUDGETS),
}
CALLERS: Final = (1, 32, 256)


class Case(NamedTuple):
    """What is measured: what each decision holds, how many ask at once, and how limits are kept."""

    holds: str
    callers: int
    way: Way


CASES: Final = tuple(itertools.starmap(Case, itertools.product(HOLDS, CALLERS, Way)))


class Lost(Exception):
    """A decision is not what it should be: one call to reserve, one to settle."""


Rounds = Mapping[Case, Sequence[Figures]]


class Column(NamedTuple):
    """One figure of the table."""

    title: str
    key: str
    digits: int


COLUMNS: Final = (
    Column("gateway CPU, µs", "gateway_cpu_us", 1),
    Column("Redis CPU, µs", "redis_cpu_us", 1),
    Column("p50, µs", "p50_us", 0),
    Column("p99, µs", "p99_us", 0),
    Column("calls per pipeline", "calls_per_pipeline", 1),
)


async def measured(url: str, length: Length, console: Console) -> Rounds:
    """A B C A B C …: so that what the machine does meanwhile hits all alike."""
    _settle_memory()
    rounds: dict[Case, list[Figures]] = {case: [] for case in CASES}
    for number in range(length.rounds):
        console.print(f"round {number + 1} of {length.rounds}")
        for case in CASES:
            gc.collect()
            kept = _in_memory(case, length) if case.way is Way.MEMORY else _in_redis(case, length, url)
            rounds[case].append(await kept)
    return rounds


async def _in_memory(case: Case, length: Length) -> Figures:
    callers = Callers(count=case.callers, limiter=kept_in_memory(), policy=HOLDS[case.holds])
    await callers.decide(_WARM_SECONDS)
    figures, _ = await _decisions(callers, length)
    return figures


async def _in_redis(case: Case, length: Length, url: str) -> Figures:
    await ask(url, "FLUSHALL")
    async with kept_in_redis(case.way, url) as (limiter, scripts):
        callers = Callers(count=case.callers, limiter=limiter, policy=HOLDS[case.holds])
        await callers.decide(_WARM_SECONDS)
        before, pipelines = await work_of(url), scripts.pipelines
        figures, decisions = await _decisions(callers, length)
        work, pipelines = await work_of(url), scripts.pipelines - pipelines
    return figures | redis_figures(work.since(before), pipelines, decisions)


async def _decisions(callers: Callers, length: Length) -> tuple[Figures, int]:
    """Their figures, and how many they were."""
    began, cpu = time.perf_counter(), time.process_time()
    waits = await callers.decide(length.seconds)
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    return own_figures(waits, cpu, took), len(waits)


def own_figures(waits: Sequence[float], cpu: float, took: float) -> Figures:
    """What the deciding process tells: seconds that each was waited for, on the core, and on the clock."""
    return {
        "gateway_cpu_us": cpu / len(waits) * 1e6,
        "p50_us": percentile(waits, 0.5) * 1e6,
        "p99_us": percentile(waits, 0.99) * 1e6,
        "per_second": len(waits) / took,
    }


def redis_figures(work: Work, pipelines: int, decisions: int) -> Figures:
    """What Redis did for so many decisions, which travelled in so many pipelines. Raises Lost."""
    if work.scripts != 2 * decisions:
        raise Lost(f"Redis has run {work.scripts} scripts for {decisions} decisions")
    return {
        "redis_cpu_us": work.cpu_seconds / decisions * 1e6,
        "calls_per_pipeline": work.scripts / pipelines,
    }


def cells(rounds: Rounds) -> Cells:
    """The table: medians over the rounds."""
    head = ["each holds", "callers", "limits", *(column.title for column in COLUMNS)]
    rows = [
        [case.holds, str(case.callers), case.way, *_figures(medians(found))] for case, found in rounds.items()
    ]
    return Cells(head, rows, {0, 2})


def _figures(found: Figures) -> Iterator[str]:
    for _, key, digits in COLUMNS:
        yield f"{found[key]:,.{digits}f}" if key in found else ""


def write(rounds: Rounds, folder: Path) -> None:
    """Write `decisions.json` (every round) and `decisions.md` (the table) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = measured_on(len(rounds[CASES[0]]))
    cases = [{**case._asdict(), "rounds": found} for case, found in rounds.items()]
    content = {"machine": machine, "cases": cases}
    (folder / "decisions.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "decisions.md").write_text(f"{cells(rounds).markdown()}\n{machine}\n")


def _settle_memory() -> None:
    """As the gateway does when it has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.decisions", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less time, the same table")
    parser.add_argument(
        "--output", type=Path, default=Path("var/bench"), help="folder for decisions.json and decisions.md"
    )
    asked = parser.parse_args()
    console = Console(highlight=False)
    cores = two_cores(console)
    if not redis_is_there():
        sys.exit("The bench needs a redis-server.")
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
        redis_on(cores.other, Path(folder)) as url,
        pinned(cores.measured),
    ):
        try:
            rounds = uvloop.run(measured(url, SHORT if asked.short else FULL, console))
        except (Lost, Refused, StoreUnavailable, TimeoutError) as error:
            sys.exit(f"The bench failed. {error}")
    cells(rounds).show(console)
    write(rounds, asked.output)
    console.print(
        f"\nEvery round is in {asked.output}/decisions.json, "
        f"the table for the docs in {asked.output}/decisions.md."
    )


if __name__ == "__main__":
    main()
