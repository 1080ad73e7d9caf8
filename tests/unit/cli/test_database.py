"""Commands read the ledger that is there."""

import pytest

from tests.unit.cli.conftest import Installation


@pytest.mark.parametrize(
    "words",
    [
        "usage",
        "ledger export",
        "ledger prune --older-than 400d",
        "ledger erase --user ada --yes",
        "months list",
        "chargeback 2026-10",
        "prices rerate --since 2026-10",
    ],
)
def test_a_database_that_is_not_there_is_told_and_not_made(gateway: Installation, words: str) -> None:
    (gateway.folder / "gateway.db").unlink()
    told = gateway(*words.split())
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"✗ There is no database at {gateway.folder}/gateway.db.")
    assert not (gateway.folder / "gateway.db").exists()
