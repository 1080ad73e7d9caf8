"""A process of its own that has a ledger: `python -m tests.support.metering_process FILE ADMITTED SETTLED`.

It admits so many attempts and settles the first so many of them, and says `ready` when all that is written.
Then it lives until it is killed, or until its standard input ends: then it closes its ledger.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.support.database import open_file
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.ledgers import begun


async def main(path: Path, admitted: int, settled: int) -> None:
    async with open_file(path) as database:
        ledger = begun(database, path.parent)
        *most, last = [f"att_{os.getpid()}_{number:05}" for number in range(admitted)]
        for start in range(0, len(most), 20):
            await asyncio.gather(*[ledger.admit(an_admission(name)) for name in most[start : start + 20]])
        for name in most[:settled]:
            ledger.settle(a_settlement(name))
        await ledger.admit(an_admission(last))
        await ledger.flush()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
