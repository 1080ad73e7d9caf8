"""An issuer of tokens: in memory, and on a socket with TLS where a gateway fetches its keys.

async with standing_issuer(tmp_path) as issuer:
    issuer.url                                   # https://localhost:…: what tokens say, and identity.yaml
    issuer.ca_file                               # what the gateway trusts for it
    issuer.token(sub="alice", department="search")
    issuer.rotate()                              # a new key signs; the old one is still published
    issuer.away = True                           # every fetch is answered with 503
    issuer.hold.clear()                          # every fetch waits until it is set
    issuer.fetches                               # of the key set
"""

import asyncio
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from gateway.core.clock import Clock, SystemClock
from gateway.core.identity import Issuer, TeamRule
from tests.support.certificates import certificate, servers_side

AUDIENCE: Final = "openai-gateway"
LIFE: Final = 600

_ALGORITHMS: Final = get_default_algorithms()
_CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def _rsa_key(number: int) -> rsa.RSAPrivateKey:
    """They take long to make, so the second issuer has those of the first one's kind again."""
    return rsa.generate_private_key(65_537, 2048)


def new_private_key(algorithm: str, number: int = 0) -> Any:
    """A private key that signs so. RSA keys with the same number are the same."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else _rsa_key(number)


@dataclass(frozen=True)
class SigningKey:
    """A key, and how it is published."""

    id: str
    algorithm: str
    private: Any = field(repr=False)

    @property
    def published(self) -> dict[str, Any]:
        """As a JSON Web Key."""
        jwk = _ALGORITHMS[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        shown = {name: value for name, value in jwk.items() if name != "key_ops"}
        return {**shown, "kid": self.id, "use": "sig", "alg": self.algorithm}

    def signature(self, signed: bytes) -> bytes:
        return _ALGORITHMS[self.algorithm].sign(signed, self.private)

    def sign(self, header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes) -> str:
        """A token of exactly this: mappings are written as JSON, bytes are taken as they are."""
        parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, claims)]
        signed = ".".join(map(base64url, parts))
        return f"{signed}.{base64url(self.signature(signed.encode()))}"


def new_key(algorithm: str = "ES256", number: int = 0) -> SigningKey:
    return SigningKey(f"key-{secrets.token_hex(4)}", algorithm, new_private_key(algorithm, number))


class SigningIssuer:
    """Signs tokens."""

    def __init__(
        self,
        url: str = "https://issuer.example",
        *,
        name: str = "acme",
        algorithm: str = "ES256",
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self.name = name
        self.clock = clock or SystemClock()
        self.keys = [new_key(algorithm)]
        """The first one signs; all are published."""

    @property
    def key(self) -> SigningKey:
        return self.keys[0]

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": self.key.algorithm, "kid": self.key.id, "typ": "JWT"}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token of alice's, team search. A change to None leaves the claim out."""
        now = int(self.clock.now())
        claims = {
            "iss": self.url,
            "sub": "alice",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + LIFE,
            "team": "search",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """A signed token with these claims."""
        return self.key.sign(self.header, self.claims(**changes))

    def rotate(self, algorithm: str = "ES256", *, keep: bool = True) -> None:
        """Sign with a new key from now on. `keep`: the old ones stay published."""
        self.keys = [new_key(algorithm, len(self.keys)), *(self.keys if keep else [])]

    @property
    def discovery(self) -> bytes:
        return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()

    @property
    def key_set(self) -> bytes:
        return json.dumps({"keys": [key.published for key in self.keys]}).encode()

    def believed(self, **changes: Any) -> Issuer:
        """As identity.yaml would tell of it: the claim `team` is the team."""
        usual: dict[str, Any] = {"audiences": (AUDIENCE,), "teams": (TeamRule(("team",)),)}
        return Issuer(self.name, self.url, **{**usual, **changes})


class StandingIssuer(SigningIssuer):
    """One with a socket."""

    def __init__(self, ca_file: Path, **options: Any) -> None:
        super().__init__(**options)
        self.ca_file = ca_file
        self.fetches = 0
        self.away = False
        self.hold = asyncio.Event()
        self.hold.set()
        self.authorizations: list[str | None] = []
        """What came with each request."""

    async def take(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        is_key_set = request.path == "/keys"
        self.fetches += is_key_set
        await self.hold.wait()
        if self.away:
            return web.Response(status=503)
        if not is_key_set and request.path != "/.well-known/openid-configuration":
            return web.Response(status=404)
        return web.json_response(body=self.key_set if is_key_set else self.discovery)

    def believed(self, **changes: Any) -> Issuer:
        return super().believed(**{"ca_file": self.ca_file, **changes})


@asynccontextmanager
async def standing_issuer(folder: Path, **options: Any) -> AsyncIterator[StandingIssuer]:
    """One that listens on localhost. The options are those of a SigningIssuer."""
    own_folder = folder / f"issuer-{secrets.token_hex(4)}"
    own_folder.mkdir()
    ca_file = certificate(own_folder)
    issuer = StandingIssuer(ca_file, **options)
    application = web.Application()
    application.router.add_get("/{path:.*}", issuer.take)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=servers_side(ca_file))
        await site.start()
        issuer.url = f"https://localhost:{runner.addresses[0][1]}"
        yield issuer
    finally:
        issuer.hold.set()
        await runner.cleanup()
