"""The composition root: the only file that names every implementation. Nothing is decided here; things are put together.

`assembled` makes a whole gateway of settings. `key_desk` and `usage_reports` make the small parts that commands need.
"""

import asyncio
import gc
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from aiohttp import web
from sqlalchemy import make_url

from gateway import __version__
from gateway.accounting import Accounting
from gateway.admin.operators import Operators
from gateway.auth.api_keys import hash_secret, new_key
from gateway.auth.authenticator import KeyAuthenticator
from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.auth.sql import SqlKeyStore
from gateway.background import Background
from gateway.core.clock import SystemClock
from gateway.core.decision import Mode
from gateway.core.errors import GatewayError, StoreUnavailable
from gateway.core.exchange import Exchange
from gateway.core.ids import new_id
from gateway.core.incoming import HeaderList
from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.filters.reviewer import Reviewer
from gateway.gate import Gate
from gateway.limits.degraded import ResilientLimiter
from gateway.limits.headers import ratelimit_headers
from gateway.limits.interfaces import Limiter
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis import RedisLimiter, connect
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from gateway.metering.interfaces import UsageReports
from gateway.metering.ledger_sql import SqlLedger
from gateway.metering.recorder import Recorder
from gateway.metering.reports import SqlUsageReports
from gateway.pipeline import CallBounds, Pipeline
from gateway.policies.book import PolicyBook
from gateway.policies.loader import load_policies
from gateway.policies.policy_set import PolicySet
from gateway.policies.reload import PolicyWatcher
from gateway.relay import Relay, StreamBounds, StreamWatch
from gateway.server.boundary import Boundary
from gateway.server.connection import ClientServer
from gateway.server.incoming import BodyBounds
from gateway.server.proxy import Proxy
from gateway.settings import Settings, UpstreamSettings
from gateway.shaping.shape import Shaper
from gateway.telemetry.logging import LogSink, make_logger
from gateway.telemetry.metrics import Metrics
from gateway.upstream.pool import Pool
from gateway.upstream.sender import Sender
from gateway.upstream.targets import Target, Targets, UpstreamKind
from gateway.wire.endpoints import SERVED, endpoint_table
from gateway.wire.headers import warning
from gateway.wire.tokens import Tokenizer

_KEY_POLL_SECONDS: Final = 0.5
_RENEW_SECONDS: Final = 15.0
_RECOVER_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 1.0
_KEEP_ALIVE_SECONDS: Final = 75.0
_BACKLOG: Final = 2048
_PEPPER_FILE: Final = "pepper"


class Gateway:
    """A running gateway: two listeners, and what it takes to stop them well."""

    def __init__(
        self,
        *,
        gate: Gate,
        watch: StreamWatch,
        clients: ClientServer,
        listener: asyncio.Server,
        operators: web.AppRunner,
        drain_seconds: float,
        log: structlog.stdlib.BoundLogger,
        sink: LogSink,
    ) -> None:
        self._gate = gate
        self._watch = watch
        self._clients = clients
        self._listener = listener
        self._operators = operators
        self._drain_seconds = drain_seconds
        self._log = log
        self._sink = sink

    @property
    def address(self) -> str:
        """Where clients connect: `host:port`."""
        return "{}:{}".format(*self._listener.sockets[0].getsockname()[:2])

    @property
    def admin_address(self) -> str:
        """Where operators connect."""
        return "{}:{}".format(*self._operators.addresses[0][:2])

    def flush_log(self) -> None:
        """Write the log lines that wait, now."""
        self._sink.flush()

    async def drain(self) -> None:
        """Take nothing new, and wait until what runs has ended: for as long as the settings say, then end it."""
        if self._gate.draining:
            return
        self._gate.draining = True
        self._log.info("draining", open_exchanges=self._gate.inside)
        self._listener.close()
        self._clients.pre_shutdown()
        try:
            async with asyncio.timeout(self._drain_seconds):
                await self._gate.empty()
        except TimeoutError:
            self._log.warning("drain_cut_short", open_exchanges=self._gate.inside)
            self.hurry()

    def hurry(self) -> None:
        """End the answers that still run, and tell their clients so."""
        self._watch.end_all()


class KeyDesk:
    """Makes, lists and revokes keys: what the `keys` command does, and the first run."""

    def __init__(self, *, store: KeyStore, pepper: bytes, teams: frozenset[str], clock: SystemClock) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self.teams = teams
        """The teams that the policy files name."""

    async def create(self, team: str, name: str, expires: datetime | None) -> str:
        """A new key: the only time that it is seen. Raises StoreUnavailable, ValueError when the name is taken."""
        key_id, key = new_key()
        await self._store.add(
            StoredKey(
                id=key_id,
                team=team,
                name=name,
                secret_hash=hash_secret(self._pepper, key),
                created_at=int(self._clock.now()),
                expires_at=None if expires is None else int(expires.timestamp()),
            )
        )
        return key

    async def list(self, team: str | None = None) -> Sequence[StoredKey]:
        """Oldest first. Raises StoreUnavailable."""
        return await self._store.list(team)

    async def revoke(self, key_id: str) -> bool:
        """False when there is no such key. Raises StoreUnavailable."""
        return await self._store.revoke(key_id, int(self._clock.now()))


@asynccontextmanager
async def assembled(settings: Settings, *, log_stream: BinaryIO | None = None) -> AsyncIterator[Gateway]:
    """A gateway that listens, until the block is left: then it drains, and writes down what is left to write.

    Raises BrokenPolicies, StoreUnavailable, ValueError and OSError before it listens.
    """
    clock = SystemClock()
    policies = load_policy_files(settings)
    async with AsyncExitStack() as stack:
        sink = LogSink(log_stream or sys.stdout.buffer)
        sink.start()
        stack.callback(sink.close)
        log = make_logger(sink, settings.log_level)
        metrics = Metrics()
        database = open_database(settings.database_url.get_secret_value())
        stack.push_async_callback(database.close)
        upgrade(database)

        background = Background(log=log)
        ledger = SqlLedger(
            database=database,
            clock=clock,
            on_trouble=_tell_of_ledger(metrics, log),
        )
        stack.push_async_callback(ledger.close)
        stack.push_async_callback(background.stop)
        background.start()

        authenticator = KeyAuthenticator(store=SqlKeyStore(database), pepper=_pepper(settings), clock=clock)
        await authenticator.refresh()
        background.every("key_epoch", _KEY_POLL_SECONDS, authenticator.refresh)

        book = PolicyBook(policies)
        metrics.policies_loaded(book.version)
        watcher = PolicyWatcher(
            book=book,
            directory=settings.policies_dir,
            upstreams=settings.all_upstreams.keys(),
            endpoints=_ENDPOINT_NAMES,
            log=log,
            loaded=metrics.policies_loaded,
            broken=metrics.policies_broken,
        )
        background.loop("policies", watcher.run)

        limiter, is_degraded = _limiter(settings, background, metrics, log)
        refusals = RecentRefusals(clock=clock)
        reservations = Reservations(
            limiter=limiter,
            refusals=refusals,
            hand_over=background.hand_over,
            on_leak=_tell_of_leaks(metrics, log),
        )
        background.every("renew_slots", _RENEW_SECONDS, reservations.renew_all)

        recorder = Recorder(ledger=ledger, clock=clock)
        background.every("recover_attempts", _RECOVER_SECONDS, _recovery(recorder, log))
        tokenizer = Tokenizer()
        pool = Pool(user_agent=f"openai-gateway/{__version__}")
        stack.callback(pool.close)

        bounds = settings.bounds
        gate = Gate(most=bounds.open_exchanges, on_change=metrics.open_exchanges.set)
        watch = StreamWatch(
            clock=clock,
            bounds=StreamBounds(
                gap=bounds.stream_gap_seconds,
                whole=bounds.stream_seconds,
                client_write=bounds.client_write_seconds,
                keep_alive=bounds.keep_alive_seconds,
            ),
        )
        background.every("watch_streams", _WATCH_SECONDS, watch.tick)
        pipeline = Pipeline(
            clock=clock,
            gate=gate,
            endpoints=endpoint_table(),
            authenticator=authenticator,
            policies=book,
            refusals=refusals,
            bounds=CallBounds(
                json_bytes=bounds.json_body_bytes,
                form_bytes=bounds.form_body_bytes,
                json_depth=bounds.json_depth,
            ),
            reviewer=Reviewer(),
            shaper=Shaper(tokenizer=tokenizer),
            reservations=reservations,
            accounting=Accounting(recorder=recorder, tokenizer=tokenizer, metrics=metrics, clock=clock),
            upstreams=Sender(pool=pool, targets=_targets(settings), clock=clock),
            relay=Relay(clock=clock, watch=watch, open_streams=metrics.open_streams.inc),
            tokenizer=tokenizer,
            metrics=metrics,
            log=log,
        )

        def own_headers(exchange: Exchange) -> HeaderList:
            headers = [
                ("x-request-id", exchange.id),
                ("server", "gateway"),
                *ratelimit_headers(exchange.standings),
            ]
            warned = [(note.rule, note.code.value) for note in exchange.notes if note.mode is Mode.WARN]
            if warned:
                headers.append(("x-gateway-warning", warning(warned)))
            if is_degraded():
                headers.append(("x-gateway-degraded", "limits"))
            return headers

        def on_malformed(error: GatewayError) -> str:
            request_id = new_id("req", clock)
            metrics.malformed()
            log.info("malformed_request", request_id=request_id, code=error.code)
            return request_id

        proxy = Proxy(
            pipeline=pipeline,
            boundary=Boundary(log=log),
            gate=gate,
            bounds=BodyBounds(seconds=bounds.body_seconds),
            clock=clock,
            own_headers=own_headers,
        )
        clients = ClientServer(
            proxy,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=2.0,
            head_seconds=bounds.head_seconds,
            on_malformed=on_malformed,
        )
        operators = Operators(
            metrics=metrics,
            reports=SqlUsageReports(database),
            token=settings.admin_token,
            is_ready=lambda: not gate.draining,
            policy_version=lambda: book.version,
        )
        runner = web.AppRunner(operators.application(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, *_host_and_port(settings.admin_listen)).start()

        host, port = _host_and_port(settings.listen)
        listener = await asyncio.get_running_loop().create_server(clients, host, port, backlog=_BACKLOG)
        stack.push_async_callback(clients.shutdown, 1.0)
        stack.callback(listener.close)
        gateway = Gateway(
            gate=gate,
            watch=watch,
            clients=clients,
            listener=listener,
            operators=runner,
            drain_seconds=bounds.drain_seconds,
            log=log,
            sink=sink,
        )
        stack.push_async_callback(gateway.drain)
        _settle_memory()
        log.info(
            "listening", clients=gateway.address, operators=gateway.admin_address, policy_version=book.version
        )
        yield gateway


@asynccontextmanager
async def key_desk(settings: Settings) -> AsyncIterator[KeyDesk]:
    """The keys of this installation. Raises BrokenPolicies, StoreUnavailable, ValueError."""
    policies = load_policy_files(settings)
    async with _database(settings) as database:
        yield KeyDesk(
            store=SqlKeyStore(database),
            pepper=_pepper(settings),
            teams=frozenset(policies.teams),
            clock=SystemClock(),
        )


@asynccontextmanager
async def usage_reports(settings: Settings) -> AsyncIterator[UsageReports]:
    """Reports over the ledger of this installation. Raises StoreUnavailable, ValueError."""
    async with _database(settings) as database:
        yield SqlUsageReports(database)


def load_policy_files(settings: Settings) -> PolicySet:
    """The policies of the settings' directory. Raises BrokenPolicies, which names every mistake."""
    return load_policies(
        settings.policies_dir, upstreams=settings.all_upstreams.keys(), endpoints=_ENDPOINT_NAMES
    )


_ENDPOINT_NAMES: Final = frozenset(endpoint.name for endpoint in SERVED)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
        yield database
    finally:
        await database.close()


def _limiter(
    settings: Settings, background: Background, metrics: Metrics, log: structlog.stdlib.BoundLogger
) -> tuple[Limiter, Callable[[], bool]]:
    """Where counters are kept, and how to ask whether that is away."""
    clock = SystemClock()
    url = settings.redis_url.get_secret_value()
    if not url:
        return MemoryLimiter(clock=clock), lambda: False
    redis = RedisLimiter(client=connect(url))
    resilient = ResilientLimiter(
        primary=redis,
        fallback=MemoryLimiter(clock=clock),
        clock=clock,
        on_change=_tell_of_redis(metrics, log),
    )
    background.loop("redis", redis.run)
    background.loop("redis_breaker", resilient.run)
    return resilient, lambda: resilient.degraded


def _targets(settings: Settings) -> Targets:
    return Targets({name: _target(name, upstream) for name, upstream in settings.all_upstreams.items()})


def _target(name: str, upstream: UpstreamSettings) -> Target:
    return Target(
        name=name,
        base_url=upstream.base_url,
        api_key=upstream.api_key,
        kind=UpstreamKind(upstream.kind),
        api_version=upstream.api_version,
        connect_seconds=upstream.connect_seconds,
        first_byte_seconds=upstream.first_byte_seconds,
        proxy=upstream.proxy,
    )


def _pepper(settings: Settings) -> bytes:
    """The configured pepper. An embedded installation has one of its own, in a file beside its database.

    Raises ValueError when there is none and the database is shared: then every replica must be given the same.
    """
    if settings.key_pepper is not None:
        return settings.key_pepper.get_secret_value().encode()
    url = make_url(settings.database_url.get_secret_value())
    if url.get_backend_name() != "sqlite" or not url.database:
        raise ValueError(
            "GATEWAY_KEY_PEPPER is not set: a shared database needs the same pepper in every replica"
        )
    file = Path(url.database).parent / _PEPPER_FILE
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_hex(32))
    return file.read_text().strip().encode()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _recovery(recorder: Recorder, log: structlog.stdlib.BoundLogger) -> Callable[[], Awaitable[None]]:
    async def recover() -> None:
        try:
            settled = await recorder.recover()
        except StoreUnavailable:
            return  # the ledger itself tells of its trouble
        if settled:
            log.warning("attempts_recovered", count=settled)

    return recover


def _tell_of_redis(metrics: Metrics, log: structlog.stdlib.BoundLogger) -> Callable[[bool, str], None]:
    def tell(away: bool, why: str) -> None:
        metrics.degraded("redis", away)
        log.warning("redis_away" if away else "redis_back", why=why)

    return tell


def _tell_of_ledger(
    metrics: Metrics, log: structlog.stdlib.BoundLogger
) -> Callable[[StoreUnavailable | None], None]:
    def tell(trouble: StoreUnavailable | None) -> None:
        metrics.degraded("ledger", trouble is not None)
        if trouble is None:
            log.warning("ledger_back")
        else:
            log.error("ledger_away", why=str(trouble))

    return tell


def _tell_of_leaks(metrics: Metrics, log: structlog.stdlib.BoundLogger) -> Callable[[str], None]:
    def tell(exchange_id: str) -> None:
        metrics.reservation_leaked()
        log.error("reservation_leaked", request_id=exchange_id)

    return tell


def _settle_memory() -> None:
    """What was made for the whole life of the process need not be looked at by every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
