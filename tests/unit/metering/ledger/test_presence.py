"""Who lives on this machine, and who is gone."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.metering.ledger.presence import Presence

_HOLDER = """
import sys
from pathlib import Path
from gateway.metering.ledger.presence import Presence
Presence(Path(sys.argv[1])).hold("other")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


def test_a_worker_of_this_process_is_not_gone(database: Path) -> None:
    presence = Presence(database)
    presence.hold("mine")
    assert not presence.is_gone("mine")


def test_a_worker_that_never_showed_itself_is_not_called_gone(database: Path) -> None:
    assert not Presence(database).is_gone("elsewhere")


def test_a_cleared_worker_leaves_no_file(database: Path) -> None:
    presence = Presence(database)
    presence.hold("mine")
    presence.clear("mine")
    assert list(database.parent.iterdir()) == []


def test_clearing_twice_does_no_harm(database: Path) -> None:
    presence = Presence(database)
    presence.hold("mine")
    presence.clear("mine")
    presence.clear("mine")


def test_the_file_is_for_the_owner_alone(database: Path) -> None:
    Presence(database).hold("mine")
    (file,) = database.parent.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_process_is_there_until_it_is_killed(database: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        alive = Presence(database).is_gone("other")
        other.kill()
        other.wait()
        assert (alive, Presence(database).is_gone("other")) == (False, True)
