"""What everything stands on: the log, metrics, the database with its ledger, Redis, and what runs beside."""

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from gateway.app.installation import database_file, opened_database
from gateway.background import Background, Pause
from gateway.core.clock import Clock
from gateway.core.ids import new_id
from gateway.database.engine import Database
from gateway.limits.redis.connect import Client, connect
from gateway.metering.ledger.journal import Journal
from gateway.metering.ledger.journaled import JournaledLedger
from gateway.metering.ledger.lease import Lease
from gateway.settings.sections import AlertSettings
from gateway.settings.tree import Settings
from gateway.signals.alone import AloneSignals
from gateway.signals.interfaces import Signals
from gateway.signals.redis import RedisSignals
from gateway.telemetry.alarms import Alarms
from gateway.telemetry.logging import LogSink, make_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.webhook import Webhook

_LEASE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is there before anybody asks."""

    settings: Settings
    clock: Clock
    replica: str
    """The name of this process among all that share the stores."""
    metrics: Metrics
    sink: LogSink
    log: structlog.stdlib.BoundLogger
    alarms: Alarms
    database: Database
    ledger: JournaledLedger
    redis: Client | None
    signals: Signals
    background: Background

    def further_threads(self, stack: AsyncExitStack, *, threads: int, timeout: float) -> Database:
        """The same database with threads of their own: for what must not hold up key look-ups."""
        database = Database(self.database.engine, threads=threads, timeout=timeout)
        stack.callback(database.release)
        return database


async def ground(
    settings: Settings, stack: AsyncExitStack, *, log_stream: BinaryIO | None, clock: Clock, pause: Pause
) -> Ground:
    """Made, and taken down with the stack. Raises StoreUnavailable, ValueError."""
    replica = new_id("replica", clock)
    metrics = Metrics()
    sink = LogSink(log_stream or sys.stdout.buffer, on_dropped=metrics.log_lines_dropped)
    sink.start()
    stack.callback(sink.close)
    log = make_logger(sink, settings.log_level)
    webhook = _webhook(settings.alerts, metrics, log, clock, pause)
    alarms = Alarms(metrics=metrics, log=log, clock=clock, tell=webhook.put if webhook else None)
    database = await stack.enter_async_context(opened_database(settings))
    truth = Database(database.engine, threads=1)
    stack.callback(truth.release)
    lease = Lease(clock=clock, seconds=_LEASE_SECONDS)
    journal = _journal(settings, lease.worker)
    ledger = JournaledLedger(journal=journal, truth=truth, lease=lease, clock=clock, watch=alarms)
    stack.push_async_callback(ledger.close)
    redis = _redis(settings)
    if redis is not None:
        stack.push_async_callback(redis.aclose)
    signals: Signals = (
        AloneSignals(log=log)
        if redis is None
        else RedisSignals(client=redis, log=log, on_away=alarms.signals)
    )
    background = Background(log=log, pause=pause)
    background.start()
    stack.push_async_callback(background.stop)
    background.loop("ledger", ledger.run)
    background.loop("signals", signals.run)
    if webhook is not None:
        background.loop("webhook", webhook.run)
    return Ground(
        settings=settings,
        clock=clock,
        replica=replica,
        metrics=metrics,
        sink=sink,
        log=log,
        alarms=alarms,
        database=database,
        ledger=ledger,
        redis=redis,
        signals=signals,
        background=background,
    )


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


def _journal(settings: Settings, worker: str) -> Journal:
    """Where it is said; else beside the embedded database, or in `var`. Raises ValueError."""
    database = database_file(settings)
    beside = database.parent if database else Path("var")
    directory = settings.journal.directory or beside / "journal"
    try:
        return Journal(directory, worker, most=settings.journal.most_bytes)
    except OSError as error:
        raise ValueError(f"no journal can be kept in {directory}: {error.strerror}") from error
