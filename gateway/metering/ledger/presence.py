"""Which processes of this machine still live: each holds a file locked, and the system lets go of it when
the process is gone, however it died. So what a killed gateway left is settled at the next start, before its
lease has ended. For databases in a file; processes elsewhere are known by their leases alone.
"""

import fcntl
import os
from pathlib import Path


class Presence:
    """The lock files beside one database."""

    def __init__(self, database_file: Path) -> None:
        self._prefix = database_file
        self._held: dict[str, int] = {}

    def hold(self, worker: str) -> None:
        """Show that this worker lives, from now to the end of this process. Raises OSError."""
        descriptor = os.open(self._file(worker), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._held[worker] = descriptor

    def is_gone(self, worker: str) -> bool:
        """Whether its process has ended. False, too, for a worker that never showed itself here."""
        if worker in self._held:
            return False
        try:
            descriptor = os.open(self._file(worker), os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def clear(self, worker: str) -> None:
        """Remove its file: it is gone, or is about to be."""
        self._file(worker).unlink(missing_ok=True)
        descriptor = self._held.pop(worker, None)
        if descriptor is not None:
            os.close(descriptor)

    def _file(self, worker: str) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.{worker}")
