"""The secret with which keys are hashed, for an installation that was given none: made once, kept in a
file.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHORTEST: Final = 16


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
