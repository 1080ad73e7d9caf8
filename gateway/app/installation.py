"""What stands around the gateway: its policy files, its database, its pepper."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from gateway.auth.keys.pepper import own_pepper
from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.policies.loader import load_policies
from gateway.policies.policy_set import PolicySet
from gateway.settings.tree import Settings
from gateway.wire.endpoints import SERVED

ENDPOINT_NAMES: Final = frozenset(endpoint.name for endpoint in SERVED)
"""Those that policies can name."""

_PEPPER_FILE: Final = "pepper"


def load_policy_files(settings: Settings) -> PolicySet:
    """The policies of the settings' directory. Raises BrokenPolicies, which names every mistake."""
    return load_policies(
        settings.policies_dir, upstreams=settings.all_upstreams.keys(), endpoints=ENDPOINT_NAMES
    )


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """Open, its tables brought up to this release. Raises StoreUnavailable, ValueError."""
    database = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
        yield database
    finally:
        await database.close()


def pepper_of(settings: Settings) -> bytes:
    """The configured pepper; an embedded installation's own, in a file beside its database.

    Raises ValueError when the database can be shared: then every replica must be given the same pepper.
    """
    if settings.key_pepper is not None:
        return settings.key_pepper.get_secret_value().encode()
    file = database_file(settings)
    if file is None:
        raise ValueError(
            "GATEWAY_KEY_PEPPER is not set: a shared database needs the same pepper in every replica"
        )
    return own_pepper(file.with_name(_PEPPER_FILE))


def database_file(settings: Settings) -> Path | None:
    """Where the embedded database lies; None for a server."""
    url = make_url(settings.database_url.get_secret_value())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
