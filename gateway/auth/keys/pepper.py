"""The secret with which keys are hashed. An installation that was given none has its own: made once, kept in
a file. One that is not the one from before is noticed at the start, by what the database remembers of it.
"""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select, text

from gateway.database.engine import Database
from gateway.database.tables import INSTALLATION

_SHORTEST: Final = 16
_CHECKED: Final = b"the pepper of this installation"
_KEEP: Final = text(
    "INSERT INTO installation (id, pepper_check) VALUES (1, :pepper_check) ON CONFLICT DO NOTHING"
)
_ANOTHER: Final = (
    "The keys in this database were made with another pepper: every key would be refused. Give the gateway "
    "the one from before: GATEWAY_KEY_PEPPER or, where that was never set, the file `pepper` beside the "
    "database. If it is lost for good, all keys must be made anew: empty the table `installation`, and this "
    "one is taken."
)


def own_pepper(file: Path) -> bytes:
    """The pepper in this file; made, for the owner's eyes alone, when it is missing.

    Raises OSError; ValueError when the file holds too little: keys would be hashed with next to nothing.
    """
    if not file.exists():
        _make(file)
    pepper = file.read_text().strip()
    if len(pepper) < _SHORTEST:
        raise ValueError(f"{file} holds no pepper: it must have at least {_SHORTEST} characters")
    return pepper.encode()


async def check_pepper(database: Database, pepper: bytes) -> None:
    """Raises ValueError, with a sentence, when the database was used with another pepper. The first one that
    comes is taken. Raises StoreUnavailable."""
    check = hmac.digest(pepper, _CHECKED, "sha256")

    def work(connection: Connection) -> bytes:
        connection.execute(_KEEP, {"pepper_check": check})
        return bytes(connection.execute(select(INSTALLATION.c.pepper_check)).scalar_one())

    if not hmac.compare_digest(await database.write(work), check):
        raise ValueError(_ANOTHER)


def _make(file: Path) -> None:
    """Whole or not at all, and only if nobody else was faster: the first pepper is everybody's."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as writer:
            writer.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink()
