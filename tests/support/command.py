"""The `gateway` command in a process of its own, as people and orchestrators run it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def gateway(
    *words: str, environment: Mapping[str, str], folder: Path = _ROOT
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m gateway …` with this environment and nothing else of ours; killed when the block is left."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", *words),
        cwd=folder,
        env={**own, "PYTHONPATH": str(_ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*words: str, environment: Mapping[str, str], folder: Path = _ROOT) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command that ends by itself."""
    async with gateway(*words, environment=environment, folder=folder) as process:
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
