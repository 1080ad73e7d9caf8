"""The secret with which keys are hashed, for an installation that was given none: made once, kept in a
file.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def own_pepper(file: Path) -> bytes:
    """The pepper in this file; made, for the owner's eyes alone, when it is missing. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_hex(32))
    return file.read_text().strip().encode()
