"""However many reports operators have read at once, keys are looked up meanwhile."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection, insert, update

from gateway.audit.trail import NO_HASH, chained
from gateway.database.tables import AUDIT, AUDIT_HEAD
from tests.support.database import open_file
from tests.support.house import ADMIN_TOKEN, House, house
from tests.support.policy_files import write_policies

LINES: Final = 20_000
READERS: Final = 8


def fill(connection: Connection) -> None:
    """A trail that takes a while to be read."""
    lines, hash_ = [], NO_HASH
    for number in range(1, LINES + 1):
        told = {"actor": "gateway", "action": "refused", "target": "unknown", "team": "", "details": "{}"}
        line = {"number": number, "at": number, **told}
        hash_ = chained(hash_, line)
        lines.append({**line, "hash": hash_})
    connection.execute(insert(AUDIT), lines)
    connection.execute(update(AUDIT_HEAD).values(number=LINES, hash=hash_))


async def verified(home: House) -> bool:
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    async with home.http.get(f"{home.operators}/admin/audit/verify", headers=headers) as answer:
        intact: bool = (await answer.json())["intact"]
        return intact


@pytest.mark.timeout(60)
async def test_a_key_is_looked_up_while_the_audit_trail_is_read(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        await database.write(fill, timeout=30)
    async with house(tmp_path, policies=write_policies(tmp_path)) as home:
        readings = [asyncio.create_task(verified(home)) for _ in range(READERS)]
        await asyncio.sleep(0)
        key = await home.get("/models")
        over = sum(reading.done() for reading in readings)
        assert (key.status, all(await asyncio.gather(*readings))) == (200, True)
    assert over < READERS // 2
