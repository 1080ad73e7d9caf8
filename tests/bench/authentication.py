"""What it costs to find out who asks, and what they may do: keys, tokens, traded keys, policies.

One process, on a core of its own, does nothing else. Two rooms stand side by side: one with ten keys and one
team, one with 100,000 keys and 1,000 teams. Requests are made in lots beforehand, of callers drawn at random,
and the CPU time of letting a lot in is taken: so its head is as warm as one that was just parsed, and what is
remembered of its caller as cold as it is. Rounds are interleaved.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import uvloop
from rich.console import Console
from sqlalchemy import insert

from gateway.auth.front import FrontDoor
from gateway.auth.interfaces import Revocation, RevocationKind, StoredKey
from gateway.auth.keys.api_keys import hash_secret, new_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.memory import MemoryKeyStore, MemoryUseStore
from gateway.auth.keys.uses import KeyUse, KeyUses
from gateway.auth.network.addresses import client_address
from gateway.auth.network.identity import NetworkIdentity
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.tokens.authenticator import TokenAuthenticator
from gateway.auth.tokens.exchanged import ExchangedKeys
from gateway.auth.tokens.key_sets import KeySets
from gateway.auth.tokens.verifier import TokenVerifier
from gateway.core.clock import SystemClock
from gateway.core.grant import Grant
from gateway.core.identity import Identity
from gateway.core.policy import Catalogue, Policy
from gateway.core.principal import Principal
from gateway.database.tables import KEYS
from gateway.policies.book import PolicyBook
from gateway.policies.policy_set import PolicySet, TeamPolicies
from tests.bench.cores import pinned, two_cores
from tests.bench.figures import Figures, medians
from tests.bench.procfs import resident_bytes
from tests.bench.tables import Cells, measured_on
from tests.support.database import closing_database, migrated
from tests.support.issuer import SigningIssuer
from tests.support.memory import MemoryIncoming
from tests.support.token_room import Publications

_PEPPER: Final = b"a pepper of the bench alone"
_GRANT: Final = Grant(models=("gpt-4o*",), requests_per_minute=600)
_REVOKED: Final = 100
_LOT: Final = 500
_SAME: Final = 10
_NARROWED: Final = 5_000
"""Policies of keys with grants: half of those that are remembered."""
_DAY: Final = 86_400
_MIB: Final = 2**20


class Size(NamedTuple):
    """What a room holds."""

    keys: int
    tokens: int
    """Of each issuer, remembered."""
    teams: int


class Length(NamedTuple):
    """How often each case is measured, in how many lots; and the large room."""

    rounds: int
    lots: int
    large: Size


SMALL: Final = Size(10, 10, 1)
FULL: Final = Length(9, 20, Size(100_000, 5_000, 1_000))
SHORT: Final = Length(3, 4, Size(100_000, 500, 1_000))


class Stranger(Exception):
    """Somebody was not let in."""


class Keys(MemoryKeyStore):
    """Tells of each key anew, as a database does: nothing that is remembered is shared with it."""

    def __init__(self, keys: Sequence[str], teams: int) -> None:
        super().__init__()
        self._numbers = {key[4:16]: number for number, key in enumerate(keys)}
        self._digests = [hash_secret(_PEPPER, key) for key in keys]
        self._teams = teams

    async def find(self, key_id: str) -> StoredKey | None:
        number = self._numbers[key_id]
        team, own_id = f"team-{number % self._teams}", key_id.encode().decode()
        return StoredKey(own_id, team, f"service-{number}", self._digests[number], 1, 1)


class NoUses(MemoryUseStore):
    """Keeps nothing."""

    async def write(self, uses: Mapping[str, KeyUse]) -> None:
        pass


class Room:
    """Everything that finds out who asks, as a gateway has it."""

    def __init__(self, size: Size, issuers: Sequence[SigningIssuer]) -> None:
        self.clock = SystemClock()
        self.keys = [new_key()[1] for _ in range(size.keys)]
        self.identity = Identity(
            issuers={issuer.name: issuer.believed(exchange_seconds=3600) for issuer in issuers}
        )
        revocations, self.uses = KnownRevocations(), KeyUses(store=NoUses(), clock=self.clock)
        revocations.replace([_revocation(number) for number in range(_REVOKED)])
        self.by_key = KeyAuthenticator(
            store=Keys(self.keys, size.teams),
            pepper=_PEPPER,
            clock=self.clock,
            revocations=revocations,
            uses=self.uses,
            address_of=lambda arrival: client_address(arrival, self.identity.forwarders),
            deadline=60.0,
        )
        fetch, clock = Publications(*issuers).fetch, self.clock
        self.key_sets = KeySets(clock=clock, fetch=fetch, on_change=lambda name, trouble: None)
        verifier = TokenVerifier(identity=lambda: self.identity, key_sets=self.key_sets, clock=clock)
        self.exchanged = ExchangedKeys(
            pepper=_PEPPER, identity=lambda: self.identity, clock=clock, revocations=revocations
        )

        def tokens() -> TokenAuthenticator:
            return TokenAuthenticator(
                identity=lambda: self.identity, verifier=verifier, revocations=revocations, clock=clock
            )

        def door(by_token: TokenAuthenticator) -> FrontDoor:
            return FrontDoor(
                keys=self.by_key,
                tokens=by_token,
                exchanged=self.exchanged,
                network=NetworkIdentity(identity=lambda: self.identity, revocations=revocations, clock=clock),
                identity=lambda: self.identity,
            )

        self.front, self.newcomers = door(tokens()), tokens()
        self.forgetful_front = door(self.newcomers)
        names = [f"team-{number}" for number in range(size.teams)]
        policies = {name: TeamPolicies(Policy(name, "5f3c", Catalogue({}))) for name in names}
        policy_set = PolicySet("5f3c", Catalogue({}), policies)
        self.book, self.full_book = PolicyBook(policy_set), PolicyBook(policy_set)
        self.tokens = {issuer.name: list(_tokens(issuer, names, size.tokens)) for issuer in issuers}
        self.traded: list[str] = []
        self.callers: list[Principal] = []
        self.narrowed: list[Principal] = []
        """The same, each with a grant of its own."""
        self.remembered_bytes = 0

    async def fill(self) -> None:
        """Everybody has been here once, but for those whose tokens are never remembered."""
        gc.collect()
        before = resident_bytes(os.getpid())
        for key in self.keys:
            await self.let_in(key)
            await self.uses.flush()
        gc.collect()
        self.remembered_bytes = resident_bytes(os.getpid()) - before
        self.callers = [await self.let_in(key) for key in self.keys]
        self.narrowed = [replace(caller, grant=replace(_GRANT)) for caller in self.callers]
        for caller in self.narrowed[:_NARROWED]:
            self.book.policy_for(caller)
        for tokens in self.tokens.values():
            for token in tokens:
                holder = await self.let_in(token)
                self.traded.append(self.exchanged.seal(holder, int(self.clock.now()) + _DAY))

    async def let_in(self, credential: str) -> Principal:
        return _let_in(await self.front.authenticate(_request(credential)))


def _revocation(number: int) -> Revocation:
    return Revocation(f"rev_{number}", RevocationKind.KEY, f"revoked{number:05d}", 0, _DAY, 0, "cli:bench")


def _tokens(issuer: SigningIssuer, teams: Sequence[str], count: int) -> Iterator[str]:
    """Such as people have: some groups, a name, an address."""
    for number in range(count):
        yield issuer.token(
            sub=f"8f2b6c1e-0000-4000-8000-{number:012d}",
            team=teams[number % len(teams)],
            email=f"user-{number}@example.com",
            name=f"User {number}",
            roles=["Gateway.Search", "Gateway.Research"],
            exp=int(issuer.clock.now()) + 36_000,
        )


def _request(credential: str) -> MemoryIncoming:
    headers = {
        "host": "gateway.example.com",
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": "OpenAI/Python 2.8.1",
        "authorization": f"Bearer {credential}",
    }
    return MemoryIncoming(headers=headers)


def _let_in(found: object) -> Principal:
    if not isinstance(found, Principal):
        raise Stranger(f"{found}")
    return found


Measure = Callable[[Room, Random], Coroutine[Any, Any, float]]
"""Seconds on the core for one of a lot's callers."""


def _known(choose: Callable[[Room], Sequence[str]]) -> Measure:
    """Letting in who was here before."""

    async def measure(room: Room, chance: Random) -> float:
        room.by_key.confirm(room.clock.monotonic())
        return await _per_caller(room.front, chance.choices(choose(room), k=_LOT))

    return measure


def _new(choose: Callable[[Room], Sequence[str]]) -> Measure:
    """Letting in who was not."""

    async def measure(room: Room, chance: Random) -> float:
        room.newcomers.forget()
        known = choose(room)
        return await _per_caller(room.forgetful_front, chance.sample(known, min(_LOT, len(known))))

    return measure


async def _per_caller(front: FrontDoor, credentials: Sequence[str]) -> float:
    lot = [_request(credential) for credential in credentials]
    began = time.process_time()
    found = [await front.authenticate(request) for request in lot]
    spent = time.process_time() - began
    for each in found:
        _let_in(each)
    return spent / len(lot)


def _policy(
    choose: Callable[[Room], Sequence[Principal]], book: Callable[[Room], PolicyBook] = lambda room: room.book
) -> Measure:
    """Looking up what a caller may do."""

    async def measure(room: Room, chance: Random) -> float:
        lot, policy_for = chance.choices(choose(room), k=_LOT), book(room).policy_for
        began = time.process_time()
        for caller in lot:
            policy_for(caller)
        return (time.process_time() - began) / len(lot)

    return measure


class Case(NamedTuple):
    """What is measured; and its bar in microseconds, in either room."""

    measure: Measure
    bar: float | None = None


CASES: Final[Mapping[str, Case]] = {
    "cached key": Case(_known(lambda room: room.keys), 15),
    "cached key, always the same ten": Case(_known(lambda room: room.keys[:_SAME]), 15),
    "cached JWT, RS256": Case(_known(lambda room: room.tokens["rsa"]), 60),
    "cached JWT, ES256": Case(_known(lambda room: room.tokens["ec"]), 60),
    "exchanged key": Case(_known(lambda room: room.traded)),
    "uncached JWT, RS256": Case(_new(lambda room: room.tokens["rsa"])),
    "uncached JWT, ES256": Case(_new(lambda room: room.tokens["ec"])),
    "policy": Case(_policy(lambda room: room.callers)),
    "policy, with a grant": Case(_policy(lambda room: room.narrowed[:_NARROWED])),
    "policy, with more grants than are remembered": Case(
        _policy(lambda room: room.narrowed, lambda room: room.full_book)
    ),
}
MOST_CHANGE: Final = 0.10
"""By which many callers may cost more than few do, where there is a bar."""

Rounds = Mapping[str, Sequence[Figures]]


async def measured(length: Length, console: Console) -> tuple[Rounds, int]:
    """Every case in both rooms, A B A B …; and the bytes in which the large room remembers its keys."""
    _settle_memory()
    issuers = [
        SigningIssuer(f"https://{name}.example", name=name, algorithm=algorithm)
        for name, algorithm in (("rsa", "RS256"), ("ec", "ES256"))
    ]
    console.print("filling the rooms")
    rooms = {"few": Room(SMALL, issuers), "many": Room(length.large, issuers)}
    for room in rooms.values():
        await room.fill()
    rounds: dict[str, list[Figures]] = {name: [] for name in CASES}
    for number in range(length.rounds):
        console.print(f"round {number + 1} of {length.rounds}")
        for name, case in CASES.items():
            rounds[name].append(await _round(case, rooms, Random(number), length.lots))
    for room in rooms.values():
        await room.key_sets.stop()
    return rounds, rooms["many"].remembered_bytes


async def _round(case: Case, rooms: Mapping[str, Room], chance: Random, lots: int) -> Figures:
    """Lots of both rooms in turns; the first two only warm the code."""
    spent = dict.fromkeys(rooms, 0.0)
    gc.collect()
    for lot in range(lots + 1):
        for which, room in rooms.items():
            seconds = await case.measure(room, chance)
            spent[which] += seconds if lot else 0.0
    figures = {f"{which}_us": seconds / lots * 1e6 for which, seconds in spent.items()}
    return {**figures, "change": figures["many_us"] / figures["few_us"] - 1}


def stored_bytes(folder: Path, keys: int) -> int:
    """What so many keys take in SQLite's file, indexes included."""
    url = f"sqlite:///{folder}/keys.db"
    with closing_database(migrated(url)) as database:
        before = _file_bytes(database)
        with database.transaction(writes=True) as connection:
            connection.execute(insert(KEYS), [_row(number) for number in range(keys)])
        return _file_bytes(database) - before


def _file_bytes(database: Any) -> int:
    with database.transaction(writes=False) as connection:
        pages, size = (
            connection.exec_driver_sql(f"PRAGMA page_{what}").scalar_one() for what in ("count", "size")
        )
        return int(pages * size)


def _row(number: int) -> dict[str, Any]:
    key_id, key = new_key()
    return {
        "id": key_id,
        "team": f"team-{number % 1000}",
        "name": f"service-{number}",
        "secret_hash": hash_secret(_PEPPER, key),
        "created_at": number,
        "issued_at": number,
        "created_by": "token:admin",
        "owner": "",
        "allowed": "",
        "addresses": "",
        "imported": False,
    }


def cells(rounds: Rounds, large: Size) -> Cells:
    """The table: medians over the rounds, the change reckoned within each."""
    head = ["", "10 keys, 1 team", f"{large.keys:,} keys, {large.teams:,} teams", "change", "bar", ""]
    return Cells(head, [_cells_of(name, medians(found)) for name, found in rounds.items()], {0, 4, 5})


def _cells_of(name: str, found: Figures) -> list[str]:
    few, many, change, bar = found["few_us"], found["many_us"], found["change"], CASES[name].bar
    figures = [name, f"{few:,.1f}", f"{many:,.1f}", f"{change:+.0%}"]
    if bar is None:
        return [*figures, "", ""]
    is_within = max(few, many) <= bar and change <= MOST_CHANGE
    return [*figures, f"≤ {bar:.0f}, ≤ +{MOST_CHANGE:.0%}", "within" if is_within else "over"]


def memory(remembered: int, stored: int, keys: int) -> str:
    """A sentence."""
    held, kept = (amount / keys * 100_000 / _MIB for amount in (remembered, stored))
    return (
        f"100,000 keys take {held:,.0f} MiB of memory when all of them are remembered, and {kept:,.0f} MiB "
        "of SQLite's file, indexes included."
    )


def write(rounds: Rounds, large: Size, told: str, folder: Path) -> None:
    """Write `authentication.json` (every round) and `authentication.md` (the table) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = measured_on(len(rounds["policy"]))
    content = {"machine": machine, "memory": told, "cases": rounds}
    (folder / "authentication.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "authentication.md").write_text(f"{cells(rounds, large).markdown()}\n{told}\n\n{machine}\n")


def _settle_memory() -> None:
    """As the gateway does when it has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.authentication", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less time, the same table")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("var/bench"),
        help="folder for authentication.json and authentication.md",
    )
    asked = parser.parse_args()
    console = Console(highlight=False)
    length = SHORT if asked.short else FULL
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
        pinned(two_cores(console).measured),
    ):
        try:
            rounds, remembered = uvloop.run(measured(length, console))
        except Stranger as error:
            sys.exit(f"The bench failed. Somebody was not let in: {error}")
        told = memory(remembered, stored_bytes(Path(folder), length.large.keys), length.large.keys)
    cells(rounds, length.large).show(console)
    console.print(f"CPU in microseconds. {told}")
    write(rounds, length.large, told, asked.output)
    console.print(
        f"\nEvery round is in {asked.output}/authentication.json, "
        f"the table for the docs in {asked.output}/authentication.md."
    )


if __name__ == "__main__":
    main()
