"""Facts about `gateway/policies/reload.py`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.policies.book import PolicyBook
from gateway.policies.loader import load_policies
from gateway.policies.reload import PolicyWatcher, watch

Directory = Callable[..., Path]
GOOD = "team: search\nmodels: [o3]\n"
BROKEN = "team: search\nmodles: [o3]\nobjects: maybe\n"


class Watched:
    """A directory, the book of its policies and a watcher, with what the watcher told."""

    def __init__(self, folder: Path, known: Mapping[str, Any]) -> None:
        self.folder = folder
        self.book = PolicyBook(load_policies(folder, **known))
        self.told: list[str] = []
        self.changes: asyncio.Queue[object] = asyncio.Queue()
        self.watcher = PolicyWatcher(
            book=self.book,
            directory=folder,
            log=structlog.stdlib.get_logger(),
            loaded=self.told.append,
            broken=lambda: self.told.append("broken"),
            changes=self._all_changes,
            **known,
        )

    async def _all_changes(self, _directory: Path) -> AsyncIterator[object]:
        while True:
            yield await self.changes.get()
            self.changes.task_done()

    def write(self, text: str) -> None:
        (self.folder / "teams" / "search.yaml").write_text(text)

    @property
    def models(self) -> tuple[str, ...]:
        return self.book.policy_set.teams["search"].policy.models.names


@pytest.fixture
def watched(directory: Directory, known: Mapping[str, Any]) -> Watched:
    return Watched(directory(), known)


def test_a_changed_file_is_taken_over(watched: Watched) -> None:
    watched.write(GOOD)

    assert watched.watcher.reload_now()
    assert watched.models == ("o3",)
    assert watched.told == [watched.book.version]


def test_who_vouches_for_callers_is_taken_over_too(watched: Watched) -> None:
    (watched.folder / "identity.yaml").write_text("forwarders: [10.0.0.0/8]")

    assert watched.watcher.reload_now()
    assert len(watched.book.policy_set.identity.forwarders) == 1


def test_unchanged_files_change_nothing(watched: Watched) -> None:
    policy_set = watched.book.policy_set

    assert not watched.watcher.reload_now()
    assert watched.book.policy_set is policy_set
    assert watched.told == []


def test_a_broken_set_leaves_the_last_good_one(watched: Watched) -> None:
    watched.write(GOOD)
    watched.watcher.reload_now()
    watched.write(BROKEN)

    assert not watched.watcher.reload_now()
    assert watched.models == ("o3",)
    assert watched.told[-1] == "broken"


def test_a_set_that_is_broken_in_one_file_changes_no_other_team(watched: Watched) -> None:
    (watched.folder / "teams" / "support.yaml").write_text("team: support")
    watched.write(BROKEN)

    watched.watcher.reload_now()

    assert list(watched.book.policy_set.teams) == ["search"]


def test_every_problem_is_logged_once(watched: Watched) -> None:
    watched.write(BROKEN)

    with capture_logs() as lines:
        watched.watcher.reload_now()
        watched.watcher.reload_now()

    assert [line["event"] for line in lines] == ["policies_broken"]
    assert lines[0]["kept_version"] == watched.book.version
    assert lines[0]["problems"] == [
        "teams/search.yaml:2: modles: unknown key; did you mean `models`?",
        "teams/search.yaml:3: objects: must be `off`, `shadow`, `warn` or `enforce`",
    ]
    assert watched.told == ["broken"]


def test_another_mistake_is_logged_again(watched: Watched) -> None:
    with capture_logs() as lines:
        for text in (BROKEN, "team: 5"):
            watched.write(text)
            watched.watcher.reload_now()

    assert len(lines) == 2


def test_files_that_are_gone_leave_the_last_good_set(watched: Watched) -> None:
    (watched.folder / "models.yaml").unlink()

    assert not watched.watcher.reload_now()
    assert list(watched.book.policy_set.teams) == ["search"]
    assert watched.told == ["broken"]


def test_a_set_that_is_put_right_again_is_told_even_if_it_is_the_one_in_force(watched: Watched) -> None:
    before = (watched.folder / "teams" / "search.yaml").read_text()
    watched.write(BROKEN)
    watched.watcher.reload_now()
    watched.write(before)

    assert not watched.watcher.reload_now()
    assert watched.told == ["broken", watched.book.version]


async def test_the_watcher_reloads_at_every_change(watched: Watched) -> None:
    running = asyncio.get_running_loop().create_task(watched.watcher.run())
    watched.write(GOOD)
    for _ in range(2):  # the second is asked for when the first was dealt with
        watched.changes.put_nowait("change")
    await asyncio.wait_for(watched.changes.join(), 10)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert watched.models == ("o3",)


async def next_change(changes: AsyncIterator[object]) -> object:
    async with asyncio.timeout(10):
        return await anext(changes)


async def test_a_swapped_symlink_is_seen(directory: Directory, tmp_path: Path) -> None:
    """What the kubelet does: a new directory, then one rename over `..data`."""
    mount = directory()
    (mount / "..1").mkdir()
    (mount / "..data").symlink_to("..1")
    changes = watch(mount)
    seen = asyncio.get_running_loop().create_task(next_change(changes))

    await asyncio.sleep(0)  # the watch is set up before its first wait
    (mount / "..next").symlink_to("..1")
    (mount / "..next").rename(mount / "..data")

    assert await seen


async def test_a_directory_that_cannot_be_watched_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.policies.reload.RETRY_SECONDS", 0)

    assert [change async for change in watch(tmp_path / "nowhere")] == []
