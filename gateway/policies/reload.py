"""Keeps the book up to date with the files. Its law: a set that is broken in any way changes nothing.

The directory is watched, not the files: a ConfigMap is updated by swapping a symlink, which a watch on a file
does not see. Since a watch can also miss things (network file systems, a directory that was itself replaced),
the files are compared every minute besides.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from gateway.policies.book import PolicyBook
from gateway.policies.compiler import compile_policies, version_of
from gateway.policies.loader import read_files
from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies, Problem

COMPARE_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 5.0
_SECOND: Final = 1000
"""In milliseconds."""

Changes = Callable[[Path], AsyncIterator[object]]


async def watch(directory: Path) -> AsyncIterator[object]:
    """Yields at every change in the directory, and when it is quiet for the first second, since something may
    have changed before the watch stood. Ends after a quiet minute: the watch is made anew.
    """
    quiet = 0
    try:
        async for changes in awatch(
            directory, watch_filter=None, rust_timeout=_SECOND, yield_on_timeout=True
        ):
            quiet = 0 if changes else quiet + 1
            if quiet >= COMPARE_SECONDS:
                return
            if quiet < 2:
                yield changes
    except OSError:  # the directory is gone, or the system has no watches left
        await asyncio.sleep(RETRY_SECONDS)


class PolicyWatcher:
    """Reloads the book when files change. `reload_now` is the whole act; `run` does it again and again."""

    def __init__(
        self,
        *,
        book: PolicyBook,
        directory: Path,
        upstreams: Collection[str],
        endpoints: Collection[str],
        log: structlog.stdlib.BoundLogger,
        loaded: Callable[[str], None],
        broken: Callable[[], None],
        changes: Changes = watch,
    ) -> None:
        """`loaded` is told the version of each good set, `broken` that the files cannot be used."""
        self._book = book
        self._directory = directory
        self._upstreams = upstreams
        self._endpoints = endpoints
        self._log = log
        self._loaded = loaded
        self._broken = broken
        self._changes = changes
        self._problems: tuple[Problem, ...] = ()

    def reload_now(self) -> bool:
        """Take the files over if they are new and good. Says whether the book changed."""
        return self._take(self._read())

    async def run(self) -> None:
        """Reload at every change, until cancelled."""
        while True:
            self._take(await asyncio.to_thread(self._read))
            async for _ in self._changes(self._directory):
                self._take(await asyncio.to_thread(self._read))

    def _read(self) -> PolicySet | BrokenPolicies | None:
        """What the files say; None when they say what the book says."""
        try:
            files = read_files(self._directory)
            if version_of(files) == self._book.version and not self._problems:
                return None
            return compile_policies(files, upstreams=self._upstreams, endpoints=self._endpoints)
        except BrokenPolicies as broken:
            return broken

    def _take(self, result: PolicySet | BrokenPolicies | None) -> bool:
        if result is None:
            return False
        if isinstance(result, BrokenPolicies):
            self._keep(result)
            return False
        changed = result.version != self._book.version
        self._book.replace(result)
        self._problems = ()
        self._loaded(result.version)
        self._log.info("policies_loaded", version=result.version, teams=len(result.teams))
        return changed

    def _keep(self, broken: BrokenPolicies) -> None:
        """Stay with the last good set. The same mistakes are logged once."""
        if broken.problems == self._problems:
            return
        self._problems = broken.problems
        self._broken()
        problems = [str(problem) for problem in broken.problems]
        self._log.error("policies_broken", kept_version=self._book.version, problems=problems)
