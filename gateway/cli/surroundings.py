"""What must be around a gateway for callers to be known: the pepper, TLS files, the files that identity.yaml
names. Here they are looked at, and nothing is made: what is wrong is told in sentences.
"""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, select

from gateway.app.installation import database_file, pepper_of
from gateway.auth.keys.pepper import check_pepper
from gateway.core.errors import StoreUnavailable
from gateway.core.identity import Identity
from gateway.database.engine import open_database
from gateway.database.tables import INSTALLATION
from gateway.server.tls import server_context
from gateway.settings.tree import Settings

_PEPPER: Final = "pepper"
"""The file beside an embedded database that was given none."""


def wrong_pepper(settings: Settings) -> Iterator[str]:
    """Whether keys can be told from wrong ones: with another pepper none can.

    An embedded database that is not there yet has no keys, and its pepper is made with it.
    """
    file = database_file(settings)
    if file is not None and not file.exists():
        return
    try:
        asyncio.run(_compared(settings))
    except (OSError, StoreUnavailable, ValueError) as error:
        yield str(error)


def unusable_tls(settings: Settings) -> Iterator[str]:
    """Whether the clients' port can speak TLS, where it is to."""
    tls = settings.tls
    if tls.cert_file is None:
        return
    try:
        server_context(
            cert_file=tls.cert_file,
            key_file=tls.key_file,
            client_ca_file=tls.client_ca_file,
            client_certificates=tls.client_certificates,
        )
    except (OSError, ValueError) as error:
        yield str(error)


def unreadable_files(identity: Identity, place: Path) -> Iterator[str]:
    """With which keys of issuers are fetched. `place`: the file that names them."""
    for issuer in identity.issuers.values():
        where = f"{place}: issuers.{issuer.name}"
        if issuer.ca_file is not None:
            yield from _told(f"{where}.ca_file", _unusable_authorities(issuer.ca_file))
        if issuer.token_file is not None:
            yield from _told(f"{where}.token_file", _unusable_token(issuer.token_file))


async def _compared(settings: Settings) -> None:
    """Raises OSError, StoreUnavailable and ValueError, with a sentence."""
    file = database_file(settings)
    if file is None:
        pepper_of(settings)  # raises where every replica must be given it, and this one is not
    database = open_database(settings.database_url.get_secret_value())
    try:
        if await database.read(_has_a_mark):
            if file is not None and settings.key_pepper is None:
                _must_be_there(file.with_name(_PEPPER), file)
            await check_pepper(database, pepper_of(settings))
    finally:
        await database.close()


def _must_be_there(pepper: Path, database: Path) -> None:
    """Else another one would be made."""
    if not pepper.exists():
        raise ValueError(
            f"{pepper} is not there, and the keys in {database} were made with it. Put it back, or set "
            "GATEWAY_KEY_PEPPER to what was in it."
        )


def _has_a_mark(connection: Connection) -> bool:
    """Whether the database remembers a pepper. Where it does, comparing leaves no mark of its own."""
    if not inspect(connection).has_table(INSTALLATION.name):
        return False
    return connection.execute(select(INSTALLATION.c.id)).first() is not None


def _told(what: str, wrong: str) -> Iterator[str]:
    if wrong:
        yield f"{what}: {wrong}"


def _unusable_authorities(file: Path) -> str:
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        return f"{file} holds no certificates that can be read"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    return ""


def _unusable_token(file: Path) -> str:
    try:
        return "" if file.read_text().strip() else f"{file} is empty"
    except (OSError, UnicodeDecodeError) as error:
        return f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
