"""The composition root: the only file that names every implementation. Nothing is decided here; things
are put together.

`assembled` makes a whole gateway of settings, `key_desk` the small part that commands need.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from aiohttp import web
from sqlalchemy import make_url

from gateway import __version__
from gateway.accounting import Accounting
from gateway.admin.limits_page import LimitsPage
from gateway.admin.operators import Operators
from gateway.admin.organization_page import OrganizationPage
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.desk import KeyDesk
from gateway.auth.keys.pepper import own_pepper
from gateway.auth.keys.sql import SqlKeyStore
from gateway.background import Background, Pause
from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.core.ids import new_id
from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.draining import Draining
from gateway.expectation import Expectations
from gateway.filters.reviewer import Reviewer
from gateway.gate import Gate
from gateway.limits.alerts import BudgetWatch
from gateway.limits.away.lateness import INTERVAL as LATENESS_INTERVAL
from gateway.limits.away.lateness import Lateness
from gateway.limits.away.resilient import ResilientLimiter
from gateway.limits.demands import Demands
from gateway.limits.estimate import TypicalOutputs
from gateway.limits.interfaces import Limiter
from gateway.limits.loading import BudgetLoader
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.overview import Overview
from gateway.limits.redis.connect import Client, connect
from gateway.limits.redis.findings import Fault, Finding
from gateway.limits.redis.fitness import Fitness
from gateway.limits.redis.limiter import RedisLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from gateway.local_answers import LocalAnswers
from gateway.metering.interfaces import Ledger
from gateway.metering.ledger.journal import Journal
from gateway.metering.ledger.journaled import JournaledLedger
from gateway.metering.ledger.lease import Lease
from gateway.metering.recorder import Recorder
from gateway.metering.reports.books import SqlBooks
from gateway.metering.reports.organization import SqlOrganizationUsage
from gateway.metering.reports.pruning import Pruning
from gateway.metering.reports.sql import SqlUsageReports
from gateway.metering.reports.turns import Turns
from gateway.oversight import Oversight
from gateway.pipeline import CallBounds, Pipeline
from gateway.policies.book import PolicyBook
from gateway.policies.loader import load_policies
from gateway.policies.policy_set import PolicySet
from gateway.policies.reload import PolicyWatcher
from gateway.recovery import Recovery
from gateway.relay import Relay, StreamBounds, StreamWatch
from gateway.server.boundary import Boundary
from gateway.server.connection import ClientServer
from gateway.server.incoming import BodyBounds
from gateway.server.listener import Listener, spelled
from gateway.server.own_headers import own_headers
from gateway.server.proxy import Proxy
from gateway.settings import AlertSettings, BoundSettings, Settings, UpstreamSettings
from gateway.shaping.shape import Shaper
from gateway.telemetry.alarms import Alarms
from gateway.telemetry.logging import LogSink, make_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.webhook import Webhook
from gateway.upstream.pool import Pool
from gateway.upstream.sender import Sender
from gateway.upstream.targets import Target, Targets, UpstreamKind
from gateway.wire.endpoints import SERVED, endpoint_table
from gateway.wire.tokens import Tokenizer

_KEY_POLL_SECONDS: Final = 0.5
_RENEW_SECONDS: Final = 4.0
_BEAT_SECONDS: Final = 1.0
_FITNESS_SECONDS: Final = 60.0
_BUDGET_WINDOW_SECONDS: Final = 30.0
_RECOVER_SECONDS: Final = 5.0
_RETENTION_SECONDS: Final = 3600.0
_WATCH_SECONDS: Final = 1.0
_KEEP_ALIVE_SECONDS: Final = 75.0
_LINGER_SECONDS: Final = 2.0
_BOOK_THREADS: Final = 2
"""Sums may take long; key look-ups must not wait behind them."""
_LEASE_SECONDS: Final = 15.0
_LOAD_SECONDS: Final = 5.0
"""A month of some 25 million attempts."""
_REPORT_THREADS: Final = 2
"""Reports that clients and operators read at once; the database has to serve requests too."""
_REPORT_SECONDS: Final = 15.0
_REPORT_PATIENCE: Final = 5.0
"""Seconds that a report waits for its turn."""
_PEPPER_FILE: Final = "pepper"
_ENDPOINT_NAMES: Final = frozenset(endpoint.name for endpoint in SERVED)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: what its owner needs to know of it, and to stop it by."""

    listener: Listener
    admin_address: str
    sink: LogSink
    ledger: Ledger

    @property
    def address(self) -> str:
        """Where clients connect: `host:port`."""
        return self.listener.address


@asynccontextmanager
async def assembled(
    settings: Settings,
    *,
    log_stream: BinaryIO | None = None,
    clock: Clock | None = None,
    pause: Pause = asyncio.sleep,
) -> AsyncIterator[Gateway]:
    """A gateway that listens, until the block is left: then it drains, and writes down what is left to write.

    `pause`: how what is done again and again waits for its next time. Raises BrokenPolicies,
    StoreUnavailable, ValueError and OSError before it listens.
    """
    clock = clock or SystemClock()
    bounds = settings.bounds
    policies = load_policy_files(settings)
    pepper = _pepper(settings)
    async with AsyncExitStack() as stack:
        # what everything stands on: log, metrics, database, background
        metrics = Metrics()
        sink = LogSink(log_stream or sys.stdout.buffer, on_dropped=metrics.log_lines_dropped)
        sink.start()
        stack.callback(sink.close)
        log = make_logger(sink, settings.log_level)
        webhook = _webhook(settings.alerts, metrics, log, clock, pause)
        alarms = Alarms(metrics=metrics, log=log, clock=clock, tell=webhook.put if webhook else None)
        database = await stack.enter_async_context(_opened_database(settings))
        truth = Database(database.engine, threads=1)
        stack.callback(truth.release)
        lease = Lease(clock=clock, seconds=_LEASE_SECONDS)
        journal = _journal(settings, lease.worker)
        ledger = JournaledLedger(journal=journal, truth=truth, lease=lease, clock=clock, watch=alarms)
        stack.push_async_callback(ledger.close)
        redis = _redis(settings)
        if redis is not None:
            stack.push_async_callback(redis.aclose)
        background = Background(log=log, pause=pause)
        background.start()
        stack.push_async_callback(background.stop)
        background.loop("ledger", ledger.run)
        if webhook is not None:
            background.loop("webhook", webhook.run)

        # who asks, and what they may do
        authenticator = KeyAuthenticator(
            store=SqlKeyStore(database),
            pepper=pepper,
            clock=clock,
            deadline=bounds.authentication_seconds,
        )
        await authenticator.refresh()
        background.every("key_epoch", _KEY_POLL_SECONDS, _key_poll(authenticator, alarms))
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

        # how much they have left
        refusals = RecentRefusals(clock=clock)
        budgets = BudgetWatch(alarms=alarms, metrics=metrics, clock=clock)
        background.every("budget_windows", _BUDGET_WINDOW_SECONDS, budgets.begin_anew)

        async def on_return() -> None:
            """Redis is back: what runs is held there again, and who was refused meanwhile may ask again."""
            refusals.clear()
            await reservations.renew_all()

        limiter: Limiter = MemoryLimiter(clock=clock)
        is_degraded: Callable[[], bool] = bool
        if redis is not None:
            fitness = Fitness(client=redis, clock=clock, tell=_told_to(alarms))
            background.every("redis_fitness", _FITNESS_SECONDS, fitness.look)
            background.hand_over(fitness.look)
            shared = RedisLimiter(client=redis)
            lateness = Lateness(clock)
            background.every("lateness", LATENESS_INTERVAL, lateness.tick)
            resilient = ResilientLimiter(
                primary=shared,
                clock=clock,
                replica=new_id("replica", clock),
                replicas=settings.replicas,
                on_change=alarms.redis,
                on_charged=budgets.charged,
                on_clock=metrics.redis_clock,
                on_emptied=alarms.redis_emptied,
                on_return=on_return,
                is_late=lateness.is_late,
            )
            background.loop("redis", shared.run)
            background.loop("redis_breaker", resilient.run)
            background.every("redis_beat", _BEAT_SECONDS, resilient.beat)
            stack.push_async_callback(resilient.retire)
            limiter, is_degraded = resilient, lambda: resilient.degraded
        books = Database(database.engine, threads=_BOOK_THREADS, timeout=_LOAD_SECONDS)
        stack.callback(books.release)
        loader = BudgetLoader(
            books=SqlBooks(books, flush=ledger.flush), limiter=limiter, clock=clock, seconds=_LOAD_SECONDS
        )
        reservations = Reservations(
            limiter=limiter,
            loader=loader,
            demands=Demands(clock=clock),
            refusals=refusals,
            hand_over=background.hand_over,
            on_leak=alarms.leaked,
            on_charged=budgets.charged,
        )
        background.every("renew_holds", _RENEW_SECONDS, reservations.renew_all)

        # who answers, and what it costs
        tokenizer = Tokenizer()
        outputs = TypicalOutputs()
        pool = Pool(user_agent=f"openai-gateway/{__version__}")
        stack.callback(pool.close)
        recorder = Recorder(ledger=ledger, clock=clock, on_unpriced=alarms.unpriced)
        recovery = Recovery(
            recorder=recorder, policies=book, reservations=reservations, on_recovered=alarms.recovered
        )
        with suppress(TimeoutError):  # a long journal is gone on with when others are served already
            async with asyncio.timeout(_RECOVER_SECONDS):
                await recovery.recover()
        background.every("recover_attempts", _RECOVER_SECONDS, recovery.recover)
        if settings.ledger_keep_days is not None:
            pruning = Pruning(database=database, clock=clock)
            background.every("retention", _RETENTION_SECONDS, _retention(pruning, settings.ledger_keep_days))
        watch = StreamWatch(clock=clock, bounds=_stream_bounds(bounds))
        background.every("watch_streams", _WATCH_SECONDS, watch.tick)
        oversight = Oversight(
            reservations=reservations, authenticator=authenticator, watch=watch, metrics=metrics, clock=clock
        )
        background.every("oversee_streams", _WATCH_SECONDS, oversight.tick)

        # what is answered without an upstream
        reports = Database(database.engine, threads=_REPORT_THREADS, timeout=_REPORT_SECONDS)
        stack.callback(reports.release)
        local_answers = LocalAnswers(
            usage=SqlOrganizationUsage(reports, clock=clock, seconds=_REPORT_SECONDS),
            turns=Turns(most=_REPORT_THREADS, patience=_REPORT_PATIENCE),
            clock=clock,
        )

        # the journey, and the edges
        gate = Gate(most=bounds.open_exchanges, on_change=metrics.open_exchanges.set)
        pipeline = Pipeline(
            clock=clock,
            gate=gate,
            endpoints=endpoint_table(),
            authenticator=authenticator,
            policies=book,
            refusals=refusals,
            local_answers=local_answers,
            bounds=CallBounds(
                json_bytes=bounds.json_body_bytes,
                form_bytes=bounds.form_body_bytes,
                json_depth=bounds.json_depth,
            ),
            reviewer=Reviewer(),
            shaper=Shaper(tokenizer=tokenizer),
            expectations=Expectations(outputs=outputs, tokenizer=tokenizer),
            reservations=reservations,
            accounting=Accounting(
                recorder=recorder,
                outputs=outputs,
                tokenizer=tokenizer,
                metrics=metrics,
                clock=clock,
                on_doubt=alarms.doubtful_usage,
            ),
            upstreams=Sender(pool=pool, targets=_targets(settings), clock=clock),
            relay=Relay(clock=clock, watch=watch, open_streams=metrics.open_streams.inc),
            oversight=oversight,
            draining=Draining(seconds=bounds.drain_answer_seconds, most=bounds.drain_answer_bytes),
            tokenizer=tokenizer,
            metrics=metrics,
            log=log,
        )
        clients = ClientServer(
            Proxy(
                pipeline=pipeline,
                boundary=Boundary(log=log),
                gate=gate,
                bounds=BodyBounds(seconds=bounds.body_seconds),
                write_seconds=bounds.client_write_seconds,
                clock=clock,
                own_headers=partial(own_headers, is_degraded=is_degraded),
            ),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            head_seconds=bounds.head_seconds,
            on_malformed=alarms.malformed,
        )
        operators = Operators(
            metrics=metrics,
            reports=SqlUsageReports(database),
            organization=OrganizationPage(answers=local_answers),
            limits=LimitsPage(
                policies=lambda: book.policy_set,
                keys=SqlKeyStore(database),
                overview=Overview(limiter=limiter, loader=loader, clock=clock),
            ),
            token=settings.admin_token,
            is_ready=lambda: not gate.draining,
            policy_version=lambda: book.version,
        )
        admin_address = await stack.enter_async_context(_operators(operators, settings.admin_listen))
        listener = Listener(clients=clients, gate=gate, drain_seconds=bounds.drain_seconds, log=log)
        await listener.open(*_host_and_port(settings.listen))
        stack.push_async_callback(listener.close)
        _settle_memory()
        log.info("listening", clients=listener.address, operators=admin_address, policy_version=book.version)
        yield Gateway(listener=listener, admin_address=admin_address, sink=sink, ledger=ledger)


@asynccontextmanager
async def key_desk(settings: Settings) -> AsyncIterator[KeyDesk]:
    """The keys of this installation. Raises BrokenPolicies, StoreUnavailable, ValueError."""
    policies = load_policy_files(settings)
    pepper = _pepper(settings)
    async with _opened_database(settings) as database:
        yield KeyDesk(
            store=SqlKeyStore(database),
            pepper=pepper,
            teams=frozenset(policies.teams),
            clock=SystemClock(),
        )


def load_policy_files(settings: Settings) -> PolicySet:
    """The policies of the settings' directory. Raises BrokenPolicies, which names every mistake."""
    return load_policies(
        settings.policies_dir, upstreams=settings.all_upstreams.keys(), endpoints=_ENDPOINT_NAMES
    )


@asynccontextmanager
async def _opened_database(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _operators(operators: Operators, address: str) -> AsyncIterator[str]:
    """The operators' listener; gives where it listens."""
    runner = web.AppRunner(operators.application(), access_log=None, shutdown_timeout=_LINGER_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, *_host_and_port(address)).start()
        yield spelled(runner.addresses[0])
    finally:
        await runner.cleanup()


def _redis(settings: Settings) -> Client | None:
    url = settings.redis_url.get_secret_value()
    if not url:
        return None
    password = settings.redis_sentinel_password
    return connect(
        url,
        ca_file=settings.redis_ca_file,
        sentinel_password=password.get_secret_value() if password else None,
    )


def _told_to(alarms: Alarms) -> Callable[[Finding], None]:
    def tell(finding: Finding) -> None:
        if finding.fault is not Fault.CLOCK:  # of that every beat tells
            alarms.redis_unfit(finding.fault, finding.sentence)

    return tell


def _webhook(
    alerts: AlertSettings,
    metrics: Metrics,
    log: structlog.stdlib.BoundLogger,
    clock: Clock,
    pause: Pause,
) -> Webhook | None:
    if alerts.webhook_url is None:
        return None
    return Webhook(
        url=alerts.webhook_url, key=alerts.signing_key, metrics=metrics, log=log, clock=clock, pause=pause
    )


def _stream_bounds(bounds: BoundSettings) -> StreamBounds:
    return StreamBounds(
        gap=bounds.stream_gap_seconds,
        whole=bounds.stream_seconds,
        keep_alive=bounds.keep_alive_seconds,
    )


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
    """The configured pepper; an embedded installation's own, in a file beside its database.

    Raises ValueError when the database can be shared: then every replica must be given the same pepper.
    """
    if settings.key_pepper is not None:
        return settings.key_pepper.get_secret_value().encode()
    file = _database_file(settings)
    if file is None:
        raise ValueError(
            "GATEWAY_KEY_PEPPER is not set: a shared database needs the same pepper in every replica"
        )
    return own_pepper(file.with_name(_PEPPER_FILE))


def _journal(settings: Settings, worker: str) -> Journal:
    """Where it is said; else beside the embedded database, or in `var`. Raises ValueError."""
    database = _database_file(settings)
    beside = database.parent if database else Path("var")
    directory = settings.journal.directory or beside / "journal"
    try:
        return Journal(directory, worker, most=settings.journal.most_bytes)
    except OSError as error:
        raise ValueError(f"no journal can be kept in {directory}: {error.strerror}") from error


def _database_file(settings: Settings) -> Path | None:
    """Where the embedded database lies; None for a server."""
    url = make_url(settings.database_url.get_secret_value())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _key_poll(authenticator: KeyAuthenticator, alarms: Alarms) -> Callable[[], Awaitable[None]]:
    async def poll() -> None:
        try:
            await authenticator.refresh()
        except StoreUnavailable as error:
            alarms.keys(error)
        else:
            alarms.keys(None)

    return poll


def _retention(pruning: Pruning, days: int) -> Callable[[], Awaitable[None]]:
    async def retain() -> None:
        with suppress(StoreUnavailable):  # the next hour will do
            await pruning.retain(days)

    return retain


def _settle_memory() -> None:
    """What was made for the whole life of the process need not be looked at by every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
