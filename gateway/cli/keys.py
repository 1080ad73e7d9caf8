"""`gateway keys`: the life of keys, directly in the database. A running gateway notices within a second.

A secret stands alone on standard output, and nowhere else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from gateway.app.desks import key_desk
from gateway.auth.interfaces import Revocations, StoredKey
from gateway.auth.keys.checks import NewKey
from gateway.auth.keys.desk import KeyDesk, NoSuchKey
from gateway.auth.keys.life import as_it_is, overlap_until
from gateway.auth.keys.sql import SqlKeyStore
from gateway.auth.keys.uses_sql import SqlUseStore
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.revocation.sql import SqlRevocationStore
from gateway.cli import keys_options as options
from gateway.cli.actor import at_the_keyboard
from gateway.cli.console import explained, fail, out, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.keys_import import Hash, bring_all_in, read_hashes, told
from gateway.cli.keys_table import key_lines, key_record, keys_table, moment
from gateway.cli.output import print_json, print_tables, write_content
from gateway.cli.wording import many
from gateway.database.engine import Database

command = typer.Typer(help="Make, list, rotate, disable, revoke and import keys.", no_args_is_help=True)


@command.command()
def create(
    team: options.Team,
    name: options.Name,
    owner: options.Owner = "",
    days: options.Days = None,
    endpoints: options.Endpoints = None,
    models: options.Models = None,
    read_only: options.ReadOnly = False,
    networks: options.Networks = None,
    requests: options.Requests = None,
    tokens: options.Tokens = None,
    concurrent: options.Concurrent = None,
    dollars: options.Dollars = None,
) -> None:
    """Make a key. It is printed this once, alone on standard output; only its hash is kept."""
    grant = options.grant_of(
        endpoints=endpoints or [],
        models=models or [],
        read_only=read_only,
        requests=requests,
        tokens=tokens,
        concurrent=concurrent,
        dollars=dollars,
    )
    new = NewKey(
        team=team,
        name=name,
        owner=owner,
        expires_at=options.in_days(days),
        grant=grant,
        addresses=networks or (),
    )

    async def act(desk: KeyDesk) -> None:
        key, secret = await desk.create(new, at_the_keyboard())
        say(f"A key for team [bold]{key.team}[/], named [bold]{escape(key.name)}[/]. It is shown this once:")
        _hand_over(
            secret, f"Nobody has the key now: `gateway keys rotate {key.id} --overlap 0` makes another of it."
        )

    _at_desk(act)


@command.command("list")
def list_keys(
    team: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List keys, oldest first. Secrets are not kept, so none are shown."""

    async def look(keys: SqlKeyStore, uses: SqlUseStore, revocations: Revocations) -> None:
        found = [as_it_is(key, revocations) for key in await keys.list(team)]
        used = await uses.read([key.id for key in found])
        if as_json:
            print_json(msgspec.json.encode([key_record(key, used.get(key.id), now=_now()) for key in found]))
        elif found:
            print_tables(keys_table(found, used, now=_now()))
        else:
            say("There is no key yet." if team is None else f"The team `{escape(team)}` has no key.")

    _looking(look)


@command.command()
def show(key_id: options.KeyId, as_json: options.AsJson = False) -> None:
    """Show all that is known of a key."""

    async def look(keys: SqlKeyStore, uses: SqlUseStore, revocations: Revocations) -> None:
        key = await keys.find(key_id)
        if key is None:
            raise NoSuchKey(key_id)
        key = as_it_is(key, revocations)
        use = (await uses.read([key.id])).get(key.id)
        if as_json:
            print_json(msgspec.json.encode(key_record(key, use, now=_now())))
        else:
            print_tables(key_lines(key, use, now=_now()))

    _looking(look)


@command.command()
def rotate(key_id: options.KeyId, overlap: options.Overlap = "24h", days: options.LaterEnd = None) -> None:
    """Give a key a new secret. It is printed this once; the old one stays good for a while."""
    seconds = options.seconds_of(overlap)

    async def act(desk: KeyDesk) -> None:
        key, secret = await desk.rotate(
            key_id, overlap_seconds=seconds, expires_at=options.in_days(days), by=at_the_keyboard()
        )
        until = overlap_until(key, _now())
        old = f"is good until {moment(until)}: replace it before" if until else "is good no more"
        say(f"The key {_named(key)} has a new secret; the old one {old}. The new one is shown this once:")
        again = f"after {moment(until)}, or revoke the key and make another" if until else "now"
        _hand_over(secret, f"Nobody has the new secret now. Rotate the key again {again}.")

    _at_desk(act)


@command.command()
def disable(key_id: options.KeyId) -> None:
    """Disable a key, until it is enabled again."""

    async def act(desk: KeyDesk) -> None:
        key = await desk.disable(key_id, by=at_the_keyboard())
        say(f"The key {_named(key)} is disabled. `gateway keys enable {key.id}` lets it in again.")

    _at_desk(act)


@command.command()
def enable(key_id: options.KeyId) -> None:
    """Enable a key that was disabled."""

    async def act(desk: KeyDesk) -> None:
        key = await desk.enable(key_id, by=at_the_keyboard())
        say(f"The key {_named(key)} is enabled.")

    _at_desk(act)


@command.command()
def revoke(
    key_id: options.KeyId,
    reason: Annotated[str, typer.Option(help="Why, for the record. No secrets.", show_default=False)] = "",
    cut_streams: Annotated[
        bool, typer.Option("--cut-streams", help="End the answers that run, too.")
    ] = False,
) -> None:
    """Revoke a key. It stops working within a second, and for good."""

    async def act(desk: KeyDesk) -> None:
        key = await desk.revoke(key_id, by=at_the_keyboard(), reason=reason, cut_streams=cut_streams)
        say(f"The key {_named(key)} is revoked. Its name is free again.")

    _at_desk(act)


@command.command("import")
def import_keys(
    team: options.Team,
    name: Annotated[
        str, typer.Option(help="What the key is for; unique within the team.", show_default=False)
    ] = "",
    sha256: Annotated[
        str, typer.Option(metavar="HEX", help="The SHA-256 of the whole key.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(help="Many keys: `sha256,name` a line; - for standard input.", show_default=False),
    ] = None,
    owner: options.Owner = "",
    days: options.Days = None,
) -> None:
    """Bring in keys that clients have from another gateway, by their hashes. They go on using them.

    Prints the id and the name of each key that is new here.
    """
    if (file is None) == (not sha256) or bool(name) != bool(sha256):
        raise typer.BadParameter("say either --sha256 and --name, or --file.")
    hashes = read_hashes(file) if file else [Hash(0, sha256, name)]
    new = NewKey(team=team, name=name, owner=owner, expires_at=options.in_days(days))

    async def act(desk: KeyDesk) -> None:
        if file is None:
            key = await desk.bring_in(new, sha256, at_the_keyboard())
            out.print(f"{key.id},{key.name}", markup=False)
            return
        imported = await bring_all_in(desk, hashes, new, at_the_keyboard())
        for key_id, its_name in imported.made:
            out.print(f"{key_id},{its_name}", markup=False)
        say(f"{many(len(imported.made), 'key')} brought in; {imported.there:,} here already.")
        if imported.mistakes:
            fail(told(imported.mistakes))

    _at_desk(act)


def _at_desk(act: Callable[[KeyDesk], Awaitable[None]]) -> None:
    settings = settings_or_exit()

    async def work() -> None:
        async with key_desk(settings) as desk:
            await act(desk)

    with explained(settings):
        asyncio.run(work())


def _looking(
    look: Callable[[SqlKeyStore, SqlUseStore, Revocations], Coroutine[None, None, None]],
) -> None:
    """Looks need no pepper and no policies, and change no tables."""

    async def work(database: Database) -> None:
        revocations = KnownRevocations()
        revocations.replace(await SqlRevocationStore(database).list())
        await look(SqlKeyStore(database), SqlUseStore(database), revocations)

    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        asyncio.run(work(database))


def _hand_over(secret: str, lost: str) -> None:
    """Alone on standard output. `lost`: what to do when it cannot be written."""
    try:
        write_content(f"{secret}\n".encode())
    except typer.Exit:
        say(lost)
        raise


def _named(key: StoredKey) -> str:
    return f"{key.id} ([bold]{escape(key.name)}[/] of team [bold]{escape(key.team)}[/])"


def _now() -> int:
    return int(time.time())
