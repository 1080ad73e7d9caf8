"""The composition root: the only file that names every implementation. Nothing is decided here; things are put together.

`assembled` makes a whole gateway of settings. `key_desk` and `usage_reports` make the small parts that commands need.
"""

import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import SecretStr

from gateway import __version__
from gateway.admin.operators import Operators
from gateway.auth.api_keys import hash_secret, new_key
from gateway.auth.authenticator import KeyAuthenticator
from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.auth.sql import SqlKeyStore
from gateway.background import Background
from gateway.core.clock import Clock, SystemClock
from gateway.database.engine import Database, open_database
from gateway.limits.interfaces import Limiter
from gateway.limits.memory import MemoryLimiter
from gateway.metering.interfaces import UsageReports
from gateway.metering.ledger_sql import SqlLedger
from gateway.metering.recorder import Recorder
from gateway.pipeline import Pipeline
from gateway.policies.book import PolicyBook
from gateway.policies.loader import load_policies
from gateway.relay import Relay, StreamBounds, StreamWatch
from gateway.server.boundary import Boundary
from gateway.server.incoming import BodyBounds
from gateway.server.proxy import Proxy
from gateway.settings import Settings, UpstreamSettings
from gateway.telemetry.metrics import Metrics
from gateway.upstream.pool import Pool
from gateway.upstream.sender import Sender
from gateway.upstream.targets import Target, Targets, UpstreamKind
from gateway.wire.endpoints import endpoint_table
