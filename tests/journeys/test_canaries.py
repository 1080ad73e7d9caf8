"""No secret, no prompt and no answer is found anywhere but where it belongs, whatever happens to a house.

A house lives through all there is: good and bad credentials of every kind, refusals, failing upstreams, the
operators' API, the console, traded tokens, explanations, dry runs; and a gateway of it is killed. Canaries are
planted wherever a secret can be. Then all that the house has said and kept is searched for them: twelve
consecutive characters of any of them, plain, in base64 or in hexadecimal, are a leak.
"""

import asyncio
import json
import logging
import secrets
import signal
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from gateway.admin.operations import OPERATIONS
from gateway.auth.keys.api_keys import new_key
from gateway.auth.tokens.exchange import GRANT_TYPE
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.journeys.test_every_endpoint import FORM, form
from tests.support.certificates import certificate, servers_side
from tests.support.command import gateway, run
from tests.support.eventually import eventually
from tests.support.house import Answer, House, hasten, house
from tests.support.issuer import StandingIssuer, new_key as new_signing_key
from tests.support.policy_files import write_policies
from tests.support.postgres import PostgresServer
from tests.support.redis_server import running_redis
from tests.support.wire import WireAnswer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

LEAST: Final = 12
"""Characters of a secret that are a leak."""
CLIENT_ID: Final = "console"
FAULTS: Final = ("500", "401", "429:30", "503_html", "redirect", "cut_body", "cut:3", "stall:3", "hang")
RULES: Final = """
endpoints: ["*"]
models: ["*"]
filters:
  secrets: {kind: secrets}
  words: {kind: patterns, patterns: ['unspeakable']}
budgets:
  little: {per: team, dollars: 0.0001, every: month, mode: warn, alert_at: [1, 50]}
"""
IDENTITY: Final = """
issuers:
  acme:
    issuer: {url}
    audiences: [openai-gateway]
    ca_file: {ca_file}
    team: {{claim: team}}
    roles: [{{claim: email, equals: alice@example.com, role: operator}}]
    exchange: 10m
"""


# The canaries.


def fragments(secret: str) -> Iterator[bytes]:
    """Of twelve bytes: of the secret, and of its base64 and hexadecimal, wherever they begin."""
    text = secret.encode()
    for at in range(len(text)):
        yield text[at : at + LEAST]
        yield b64encode(text[at : at + LEAST * 3 // 4])
        yield urlsafe_b64encode(text[at : at + LEAST * 3 // 4])
        yield text[at : at + LEAST // 2].hex().encode()


def secret_part(text: str) -> str:
    """The id of a key is public, and so is how a key or a token begins."""
    if text.startswith("gwk_"):
        return text[17:]
    if text.count(".") == 2:
        return text.partition(".")[2]
    return text.removeprefix("gwt_")


class Canaries:
    """All that must not be found, by what it is."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._fragments: dict[bytes, str] = {}

    def plant(self, name: str, text: str) -> str:
        """The same text: from now on it is one."""
        whole = (each for each in fragments(secret_part(text)) if len(each) == LEAST and b"=" not in each)
        self._fragments.update(dict.fromkeys(whole, name))
        self.names.add(name)
        return text

    def new(self, name: str, pattern: str = "{}") -> str:
        return self.plant(name, pattern.format(secrets.token_hex(24)))

    def found_in(self, said: bytes) -> set[str]:
        """Their names."""
        ends = range(LEAST, len(said) + 1)
        found = {self._fragments.get(said[end - LEAST : end]) for end in ends}
        return {name for name in found if name}


@pytest.mark.parametrize("leak", [str, lambda text: b64encode(b"." + text.encode()).decode(), hexed := lambda text: text.encode().hex()])
@pytest.mark.parametrize("shift", [0, 1, 2])
async def test_a_fragment_of_a_canary_is_found(leak: Callable[[str], str], shift: int) -> None:
    canaries = Canaries()
    _, key = new_key()
    canaries.plant("a key", key)
    assert canaries.found_in(b"before " + leak(key[30 + shift : 46 + shift]).encode() + b" after") == {"a key"}
    assert canaries.found_in(f"before {key[:25]} after".encode()) == set()
