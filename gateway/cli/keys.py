"""`gateway keys`: keys for teams, made and revoked directly in the database. A running gateway notices
within a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from gateway.app import key_desk
from gateway.auth.keys.desk import KeyDesk
from gateway.auth.interfaces import StoredKey
from gateway.cli.console import explained, fail, out, say, settings_or_exit

_MOST_DAYS: Final = 3660

command = typer.Typer(help="Make, list and revoke keys.", no_args_is_help=True)


@command.command()
def create(
    team: Annotated[str, typer.Option(help="The team that the key belongs to.")],
    name: Annotated[str, typer.Option(help="What the key is for; unique within the team.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=_MOST_DAYS, help="Days until it expires. Default: never.")
    ] = None,
) -> None:
    """Make a key. It is printed this once, alone on standard output; only its hash is kept."""
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)

    async def act(desk: KeyDesk) -> None:
        if team not in desk.teams:
            teams = ", ".join(sorted(desk.teams))
            fail([f"There is no team `{team}` in the policy files. There are: {teams}."])
        key = await desk.create(team, name, expires)
        say(f"A key for team [bold]{team}[/], named [bold]{escape(name)}[/]. It is shown this once:")
        out.print(key, markup=False)

    _at_desk(act)


@command.command("list")
def list_keys(
    team: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
) -> None:
    """List keys, oldest first. Secrets are not kept, so none are shown."""

    async def act(desk: KeyDesk) -> None:
        table = Table("id", "team", "name", "created", "expires", "state", box=None, header_style="bold")
        now = datetime.now(UTC).timestamp()
        for key in await desk.list(team):
            table.add_row(
                key.id,
                key.team,
                escape(key.name),
                _day(key.created_at),
                _day(key.expires_at),
                _state(key, now),
            )
        out.print(table)

    _at_desk(act)


@command.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]) -> None:
    """Revoke a key. It stops working within a second, and for good."""

    async def act(desk: KeyDesk) -> None:
        if not await desk.revoke(key_id):
            fail([f"There is no key with the id `{key_id}`. `gateway keys list` shows them."])
        say(f"The key {key_id} is revoked.")

    _at_desk(act)


def _at_desk(act: Callable[[KeyDesk], Awaitable[None]]) -> None:
    settings = settings_or_exit()

    async def work() -> None:
        async with key_desk(settings) as desk:
            await act(desk)

    with explained(settings):
        asyncio.run(work())


def _day(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _state(key: StoredKey, now: float) -> str:
    if key.revoked_at is not None:
        return "[red]revoked[/]"
    if key.expires_at is not None and key.expires_at <= now:
        return "[yellow]expired[/]"
    return "[green]live[/]"
