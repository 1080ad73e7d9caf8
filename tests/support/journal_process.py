"""A process of its own whose ledger has a journal:
`python -m tests.support.journal_process DIRECTORY URL ADMITTED SETTLED`.

It admits so many attempts and settles the first so many of them, and says `ready` when all that is in its
journal. Then it lives until it is killed, or until its standard input ends: then it closes its ledger.
"""

import asyncio
import os
import sys
from pathlib import Path

from gateway.core.clock import SystemClock
from tests.support.database import open_url
from tests.support.journals import a_ledger, shipping
from tests.support.ledger_lines import a_settlement, an_admission


async def main(directory: Path, url: str, admitted: int, settled: int) -> None:
    async with open_url(url) as truth:
        ledger = a_ledger(directory, truth, clock=SystemClock())
        names = [f"att_{os.getpid()}_{number:05}" for number in range(admitted)]
        async with shipping(ledger):
            await asyncio.gather(*[ledger.admit(an_admission(name)) for name in names])
            for name in names[:settled]:
                ledger.settle(a_settlement(name))
            await ledger._lines.drain()
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
        await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
