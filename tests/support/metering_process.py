"""A process of its own that admits attempts and settles some: `python -m tests.support.metering_process FILE N M`.

It admits N attempts, settles the first M, says so on a line of its own, and then lives until it is killed, or until
its standard input ends: then it closes its ledger.
"""

import asyncio
import os
import sys
from pathlib import Path

from gateway.core.clock import SystemClock
from gateway.metering.ledger_sql import SqlLedger
from tests.support.database import open_file
from tests.support.ledger_lines import a_settlement, an_admission


async def main(path: Path, admitted: int, settled: int) -> None:
    async with open_file(path) as database:
        ledger = SqlLedger(database=database, clock=SystemClock(), patience=30.0)
        names = [f"att_{os.getpid()}_{number:05}" for number in range(admitted)]
        for start in range(0, admitted, 20):
            await asyncio.gather(*[ledger.admit(an_admission(name)) for name in names[start : start + 20]])
        for name in names[:settled]:
            ledger.settle(a_settlement(name))
        while ledger.open > admitted - settled:
            await asyncio.sleep(0.01)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
