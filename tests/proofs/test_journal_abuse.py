"""Journals and databases, abused: whatever is done to their files, their disk and their server, no line is
altered or counts twice, what is lost is told of, and requests go on meanwhile.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, make_url

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS
from gateway.metering.ledger.journal import Abandoned
from gateway.metering.ledger.journaled import JournaledLedger
from gateway.metering.reports.sql import SqlUsageReports
from gateway.settings.reading import load_settings
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.support.command import gateway, run
from tests.support.cutting_proxy import cutting_proxy
from tests.support.database import migrated, open_url
from tests.support.disk import full_disk
from tests.support.eventually import eventually
from tests.support.house import PEPPER, UPSTREAM_KEY
from tests.support.keys import make_key
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.ledgers import Told, a_ledger, begun
from tests.support.policy_files import write_policies
from tests.support.postgres import PostgresServer
from tests.support.written_lines import rows

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
ATTEMPTS = 30
NAMES = [f"att_{number:03}" for number in range(ATTEMPTS)]
SETTLED = 20
SEGMENT = 9000
"""So small that there are several files."""

Line = Mapping[str, Any]


# a dead process's files, damaged


@dataclass(frozen=True)
class Left:
    """What a dead process has left, and what becomes of it when nothing is damaged."""

    directory: Path
    empty: Path
    """A database with our tables."""
    admissions: list[Line]
    settlements: list[Line]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("left")
    asyncio.run(_leave(folder))
    migrated(f"sqlite:///{folder}/gateway.db")
    whole = Left(folder, folder / "gateway.db", [], [])
    admissions, settlements, told, damaged = adopted(whole, folder / "whole", lambda _: None)
    assert (len(admissions), len(settlements), told.news, damaged) == (ATTEMPTS, ATTEMPTS, [], b"")
    assert len(list((folder / "journal").glob("*.journal"))) > 2
    return Left(folder, whole.empty, admissions, settlements)


async def _leave(folder: Path) -> None:
    async with open_url(NOWHERE) as away:
        ledger = begun(away, folder, segment=SEGMENT)
        for number, name in enumerate(NAMES):
            await ledger.admit(an_admission(name))
            if number < SETTLED:
                ledger.settle(a_settlement(name))
        ledger._journal.close()


def adopted(
    left: Left, folder: Path, damage: Callable[[Path], object]
) -> tuple[list[Line], list[Line], Told, bytes]:
    """What is in the database when somebody else has found it, damaged; what he says, and has put aside."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(left.directory / "journal", folder / "journal")
    database = Path(shutil.copy(left.empty, folder / "gateway.db"))
    damage(folder / "journal")
    told = Told()
    return (*asyncio.run(_adopt(database, folder, told)), told, _aside(folder))


async def _adopt(file: Path, folder: Path, told: Told) -> tuple[list[Line], list[Line]]:
    async with open_url(f"sqlite:///{file}") as database, a_ledger(database, folder, told=told) as ledger:
        await ledger.recover()
        return rows(database, ADMISSIONS), rows(database, SETTLEMENTS)


def _aside(folder: Path) -> bytes:
    """And nothing but that is left."""
    there = list((folder / "journal").iterdir())
    assert {file.suffix for file in there} <= {".damaged"}
    return b"".join(file.read_bytes() for file in there)


def check(left: Left, found: tuple[list[Line], list[Line], Told, bytes], *, lost: int) -> None:
    """Nothing is altered; at most so many lines are missing, and of those it is told."""
    admissions, settlements, told, aside = found
    assert all(line in left.admissions for line in admissions)
    told_of = [line for line in settlements if line["cause"] != "crash"]
    assert all(line in left.settlements for line in told_of)
    missing = ATTEMPTS - len(admissions) + SETTLED - len(told_of)
    assert missing <= lost
    assert bool(missing) <= bool(aside)
    assert bool(aside) == any("damaged" in news for news in told.news)
    known = {line["attempt_id"] for line in admissions}
    assert known <= {line["attempt_id"] for line in settlements}, "what was admitted is settled by somebody"


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    file.write_bytes(content)


def test_whatever_bit_is_flipped_one_line_is_lost_two_at_most_and_that_is_told(
    left: Left, tmp_path: Path, full: bool
) -> None:
    @settings(
        max_examples=1000 if full else 25,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        phases=[Phase.generate, Phase.shrink],
    )
    @given(number=st.integers(0, 99), bit=st.integers(0, SEGMENT * 8))
    def flipped(number: int, bit: int) -> None:
        def damage(journal: Path) -> None:
            files = sorted(journal.glob("*.journal"))
            flip(files[number % len(files)], bit)

        check(left, adopted(left, tmp_path / "abused", damage), lost=2)

    flipped()


def test_wherever_the_last_lines_are_torn_all_before_is_read_and_nothing_is_made_up(
    left: Left, tmp_path: Path
) -> None:
    journal = Path(shutil.copytree(left.directory / "journal", tmp_path / "journal"))
    *_, last = sorted(journal.glob("*.journal"))
    content = last.read_bytes()
    whole, lines = read(journal), content.splitlines()
    for cut in range(len(content) - 1, content.index(lines[-3]) - 1, -1):
        os.truncate(last, cut)
        there = content[:cut].splitlines()
        found = read(journal)
        assert found == whole[: len(found)]
        assert len(whole) - len(found) == len(lines) - len(set(lines) & set(there))
        assert damaged(journal) == [line for line in there if line not in lines]


def test_a_torn_tail_is_put_aside_and_told_of(left: Left, tmp_path: Path, full: bool) -> None:
    for cut in range(2, 1800, 9 if full else 300):

        def damage(journal: Path, cut: int = cut) -> None:
            *_, last = sorted(journal.glob("*.journal"))
            os.truncate(last, last.stat().st_size - cut)

        check(left, adopted(left, tmp_path / "abused", damage), lost=1 + cut // 400)


def read(journal: Path) -> list[bytes]:
    """All rows that are believed. The last lines are admissions."""
    with found_in(journal) as found:
        lots = list(_lots(found))
    return [row for lot in lots for row in lot.settlements] + [row for lot in lots for row in lot.admissions]


def damaged(journal: Path) -> list[bytes]:
    with found_in(journal) as found:
        return [line for lot in _lots(found) for line in lot.damaged]


def found_in(journal: Path) -> Abandoned:
    (lock,) = journal.glob("*.lock")
    return Abandoned(journal, lock.stem)


def _lots(found: Abandoned) -> Iterator[Any]:
    while (lot := found.reader.lot()).size:
        yield lot
        found.reader.done(lot)


# the disk


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of two megabytes, where this process may mount one; else no file grows beyond one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        with nullcontext() if mounted else full_disk(size=1 << 20):
            yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_the_journal_itself_has_filled_is_free_again_when_all_is_shipped(
    tmp_path: Path, postgres_url: str
) -> None:
    told = Told()
    with small_disk(tmp_path / "disk"):
        async with open_url(postgres_url) as database:
            async with a_ledger(database, tmp_path / "disk", told=told, segment=1 << 17) as ledger:
                names: list[str] = []
                with suppress(StoreUnavailable):
                    while True:
                        await ledger.admit(an_admission(f"att_{len(names):05}"))
                        names.append(f"att_{len(names):05}")
                for name in names:
                    ledger.settle(a_settlement(name))
                assert ledger._kept
                async with shipping(ledger):
                    await eventually(lambda: told.unshipped == 0 and not ledger._kept)
                await ledger.admit(an_admission("att_last"))
            assert len(names) > 500
            assert causes(database) == dict.fromkeys(names, "served")
            assert len(rows(database, ADMISSIONS)) == len(names) + 1
    assert [news.partition(":")[0] for news in told.news] == ["ledger", "ledger back"]


@pytest.mark.parametrize("place", ["/proc/gateway", "{folder}/file"])
async def test_a_directory_in_which_no_journal_can_be_is_one_sentence_at_the_start(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    place = place.format(folder=tmp_path)
    environment = environment_of(tmp_path, f"sqlite:///{tmp_path}/gateway.db", UPSTREAM)
    status, out, err = await run("serve", environment=environment | {"GATEWAY_JOURNAL__DIRECTORY": place})
    assert (status, out.count("\n")) == (1, 0)
    assert err.startswith(f"✗ no journal can be kept in {place}: ")
    assert err.count("\n") == 1


# two on one directory, two of one name

_NAMESAKE = """
import sys
from pathlib import Path
from gateway.metering.ledger.journal import Journal, Kind
journal = Journal(Path(sys.argv[1]), "wrk_1")
for line in sys.stdin.buffer:
    journal.append([line.strip()], [])
    print("written", flush=True)
"""


def test_a_second_process_of_a_name_is_turned_away_and_does_the_first_no_harm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _NAMESAKE, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        for row in (b"[1]\n", b"[2]\n"):
            first.stdin.write(row)
            first.stdin.flush()
            assert first.stdout.readline() == b"written\n"
            second = subprocess.run(command, cwd=ROOT, input=b"[3]\n", capture_output=True, check=False)
            assert b"FileExistsError" in second.stderr
            with pytest.raises(BlockingIOError):
                Abandoned(tmp_path, "wrk_1")
        first.kill()
    with Abandoned(tmp_path, "wrk_1") as found:
        assert [row for lot in _lots(found) for row in lot.admissions] == [b"[1]", b"[2]"]


# whole gateways, and PostgreSQL


@dataclass
class Serving:
    """A `gateway serve`, and what it has logged."""

    process: asyncio.subprocess.Process
    address: str
    log: list[dict[str, Any]] = field(default_factory=list)

    def said(self, event: str) -> bool:
        return any(line["event"] == event for line in self.log)

    async def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def serving(environment: Mapping[str, str]) -> AsyncIterator[Serving]:
    async with gateway("serve", environment=environment) as process:
        it = Serving(process, "")
        listens = asyncio.Event()

        async def listen() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                it.log.append(msgspec.json.decode(line))
                if it.log[-1]["event"] == "listening":
                    it.address = it.log[-1]["clients"]
                    listens.set()

        reading = asyncio.create_task(listen())
        try:
            async with asyncio.timeout(30):
                await listens.wait()
            yield it
        finally:
            if process.returncode is None:
                process.kill()
            await reading


UPSTREAM = "http://127.0.0.1:1/v1"
PACE = Pace(first_token_seconds=0.005, tokens_per_second=5000.0)


def environment_of(folder: Path, url: str, upstream: str) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "GATEWAY_POLICIES_DIR": str(write_policies(folder, "endpoints: ['*']\nmodels: ['*']\n")),
        "GATEWAY_DATABASE_URL": url,
        "GATEWAY_JOURNAL__DIRECTORY": str(folder / "journal"),
        "GATEWAY_UPSTREAM__BASE_URL": upstream,
        "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
        "GATEWAY_KEY_PEPPER": PEPPER,
    }


async def ask(serving: Serving, key: str, count: int) -> None:
    """Each is answered."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}) as http:
        for _ in range(count):
            url = f"http://{serving.address}/v1/chat/completions"
            async with http.post(url, json=body) as answer:
                assert (answer.status, await answer.read() != b"") == (200, True)


async def test_gateways_that_end_and_start_while_postgresql_is_away_lose_and_double_nothing(
    tmp_path: Path, own_postgres_server: PostgresServer, full: bool
) -> None:
    """Two on one directory: one is killed, one is told to stop, a third begins where they ended."""
    count = 200 if full else 10
    url = own_postgres_server.url(own_postgres_server.create())
    simulator = Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=PACE)
    async with running(simulator, host="localhost") as upstream:
        environment = environment_of(tmp_path, url, upstream)
        key = await make_key(load_settings(environment), "search", "clients")
        async with serving(environment) as one, serving(environment) as two:
            for each in (one, two):
                await ask(each, key, count)
            own_postgres_server.kill()
            for each in (one, two):
                await ask(each, key, count)
            await eventually(lambda: one.said("database_away") and two.said("database_away"))
            await one.kill()
            assert await two.end() == 0
            assert two.said("journal_left")
        status, _, err = await run("serve", environment=environment)
        assert (status, err.count("\n") > 0, "Traceback" in err) == (1, True, False)
        own_postgres_server.start()
        async with serving(environment) as three:
            await ask(three, key, count)
            assert await three.end() == 0
    async with open_url(url) as database:
        found = causes(database)
        assert (len(found), set(found.values())) == (5 * count, {"served"})
        assert len(rows(database, ADMISSIONS)) == 5 * count
        (row,) = await SqlUsageReports(database).usage((), None, None)
        assert (row.attempts, row.requests) == (5 * count, 5 * count)
        assert rows(database, ADJUSTMENTS) == []
    assert list((tmp_path / "journal").iterdir()) == []


# one ledger, and PostgreSQL


def causes(database: Database) -> dict[str, str]:
    return {line["attempt_id"]: line["cause"] for line in rows(database, SETTLEMENTS)}


@asynccontextmanager
async def shipping(ledger: JournaledLedger) -> AsyncIterator[None]:
    task = asyncio.create_task(ledger.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Traffic:
    """Attempts that go on through whatever happens, and what must be true of them afterwards."""

    ledger: JournaledLedger
    told: Told
    database: Database
    names: list[str] = field(default_factory=list)
    slowest: float = 0.0

    async def go_on(self, attempts: int) -> None:
        for _ in range(attempts):
            name = f"att_{len(self.names):05}"
            began = time.perf_counter()
            await self.ledger.admit(an_admission(name))
            self.ledger.settle(a_settlement(name))
            self.slowest = max(self.slowest, time.perf_counter() - began)
            self.names.append(name)
            await asyncio.sleep(0)

    async def until(self, news: str) -> None:
        """A few more attempts meanwhile."""

        async def is_told() -> bool:
            await self.go_on(1)
            return self.told.news[-1:] == [news]

        await eventually(is_told)

    async def check(self) -> None:
        """Every attempt is there, once, at its price; nothing else is, and nobody waited."""
        await self.ledger.flush()
        assert causes(self.database) == dict.fromkeys(self.names, "served")
        assert [line["attempt_id"] for line in rows(self.database, ADMISSIONS)] == self.names
        (row,) = await SqlUsageReports(self.database).usage((), None, None)
        assert (row.attempts, row.cost) == (len(self.names), 340 * len(self.names))
        assert rows(self.database, ADJUSTMENTS) == []
        assert self.slowest < 0.5


@asynccontextmanager
async def traffic_to(url: str, folder: Path, *, by: str | None = None) -> AsyncIterator[Traffic]:
    """`by`: the way that lines take to the database."""
    told = Told()
    async with (
        open_url(url) as database,
        open_url(by or url) as way,
        a_ledger(way, folder, told=told) as ledger,
        shipping(ledger),
    ):
        yield Traffic(ledger, told, database if by else way)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_while_postgresql_is_gone_attempts_go_on_and_afterwards_all_is_exact(
    tmp_path: Path, own_postgres_server: PostgresServer, end: str, full: bool
) -> None:
    url = migrated(own_postgres_server.url(own_postgres_server.create()))
    async with traffic_to(url, tmp_path) as traffic:
        for _ in range(5 if full else 1):
            await traffic.go_on(300)
            await asyncio.to_thread(getattr(own_postgres_server, end))
            await traffic.until("shipping stands still")
            await traffic.go_on(300)
            await asyncio.to_thread(own_postgres_server.start)
            await traffic.until("shipping again")
        await traffic.check()
        assert traffic.told.news == ["shipping stands still", "shipping again"] * (5 if full else 1)


async def test_what_postgresql_may_not_write_waits(tmp_path: Path, postgres_url: str) -> None:
    name = make_url(postgres_url).database
    async with traffic_to(postgres_url, tmp_path) as traffic:
        await traffic.go_on(100)
        with psycopg.connect(postgres_url, autocommit=True) as operator:
            operator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            traffic.database.engine.dispose()
            await traffic.until("shipping stands still")
            operator.execute("SET default_transaction_read_only = off")
            operator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            traffic.database.engine.dispose()
        await traffic.until("shipping again")
        await traffic.check()


async def test_behind_a_locked_table_lines_wait(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    monkeypatch.setattr("gateway.metering.ledger.truth.SECONDS", 10.0 if full else 0.5)
    async with traffic_to(postgres_url, tmp_path) as traffic:
        await traffic.go_on(100)
        with psycopg.connect(postgres_url) as operator:
            operator.execute("LOCK TABLE settlements IN ACCESS EXCLUSIVE MODE")
            await traffic.until("shipping stands still")
            operator.rollback()
        await traffic.until("shipping again")
        await traffic.check()


async def test_what_was_committed_without_an_answer_counts_once(
    tmp_path: Path, postgres_url: str, full: bool
) -> None:
    url = make_url(postgres_url)
    async with cutting_proxy(Path(str(url.query["host"]))) as proxy:
        by_proxy = f"postgresql://gateway@127.0.0.1:{proxy.port}/{url.database}?sslmode=disable"
        async with traffic_to(postgres_url, tmp_path, by=by_proxy) as traffic:
            for _ in range(30 if full else 4):
                await traffic.go_on(50)
                proxy.to_lose = 1
                await eventually(lambda: proxy.to_lose == 0)
                await traffic.until("shipping again")
                traffic.told.news.clear()
            assert proxy.lost == (30 if full else 4)
            await traffic.check()
        await eventually(lambda: not proxy._tasks)  # every connection has ended
        await asyncio.sleep(0)


# the embedded database


def truncated(file: Path) -> None:
    os.truncate(file, 0)


def overwritten(file: Path) -> None:
    with file.open("r+b") as there:
        there.write(b"\xa5" * file.stat().st_size)


def removed(file: Path) -> None:
    for name in ("", "-wal", "-shm"):
        file.with_name(f"{file.name}{name}").unlink(missing_ok=True)


@pytest.mark.parametrize("damage", [truncated, overwritten, removed], ids=lambda damage: damage.__name__)
async def test_when_the_embedded_file_is_ruined_attempts_go_on_and_wait_for_a_whole_one(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "gateway.db"
    async with traffic_to(migrated(f"sqlite:///{file}"), tmp_path) as traffic:
        await traffic.go_on(100)
        await traffic.ledger.flush()
        traffic.database.engine.dispose()
        with sqlite3.connect(file) as operator:
            operator.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        operator.close()
        await traffic.go_on(1)
        await traffic.ledger.flush()
        with sqlite3.connect(file) as operator, sqlite3.connect(tmp_path / "backup") as backup:
            operator.backup(backup)
        operator.close()
        backup.close()
        with sqlite3.connect(file) as operator:
            operator.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        operator.close()
        damage(file)
        await traffic.until("shipping stands still")
        await traffic.go_on(100)
        traffic.database.engine.dispose()
        removed(file)
        shutil.copy(tmp_path / "backup", file)
        await traffic.until("shipping again")
        await traffic.check()


async def test_while_the_embedded_file_is_read_only_attempts_go_on_and_wait(tmp_path: Path) -> None:
    is_read_only = False

    def hand_out(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA query_only = {is_read_only}")

    async with traffic_to(migrated(f"sqlite:///{tmp_path}/gateway.db"), tmp_path) as traffic:
        event.listen(traffic.database.engine, "checkout", hand_out)
        await traffic.go_on(100)
        is_read_only = True
        await traffic.until("shipping stands still")
        await traffic.go_on(100)
        is_read_only = False
        await traffic.until("shipping again")
        await traffic.check()


@pytest.mark.parametrize("damage", [overwritten, lambda file: os.truncate(file, 5000)], ids=["random", "cut"])
async def test_a_gateway_on_a_broken_file_says_so_in_a_sentence(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "gateway.db"
    environment = environment_of(tmp_path, migrated(f"sqlite:///{file}"), UPSTREAM)
    with sqlite3.connect(file) as operator:
        operator.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    operator.close()
    damage(file)
    status, _, err = await run("serve", environment=environment)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("✗ the database failed: ")
