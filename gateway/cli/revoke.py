"""`gateway revoke`: takes back what was issued, of a user, a team, an issuer, or all. It is done directly in
the database; every running gateway notices within a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.markup import escape

from gateway.app.desks import revocation_desk
from gateway.auth.interfaces import Revocation, RevocationKind, RevocationStore
from gateway.auth.revocation.desk import RevocationDesk
from gateway.auth.revocation.sql import SqlRevocationStore
from gateway.cli.actor import at_the_keyboard
from gateway.cli.confirmation import confirmed
from gateway.cli.console import explained, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.output import print_tables
from gateway.cli.tables import plain, table

command = typer.Typer(
    help="Take back what was issued: of a user, a team, an issuer, or all.", no_args_is_help=True
)

_TIMES: Final = ("issued from (UTC)", "issued until (UTC)")
_HEADINGS: Final = ("revoked (UTC)", "what", *_TIMES, "streams", "by", "~reason")

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only what was issued from then on: 2026-10-01, 2026-10-01T14:00, in UTC unless it says else.",
        show_default="the beginning",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only what was issued until then, that second included. What is issued later is good.",
        show_default="now",
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the record. No secrets.", show_default=False)]
Cut = Annotated[bool, typer.Option("--cut-streams", help="End the answers that run, too.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@command.command()
def user(
    name: Annotated[str, typer.Argument(metavar="USER", help="user:alice, service:ci; alice is user:alice.")],
    since: Since = None,
    until: Until = None,
    reason: Reason = "",
    cut_streams: Cut = False,
) -> None:
    """Take back whatever a person, or a service account, comes with."""
    _revoke(RevocationKind.USER, name, since, until, reason, cut_streams)


@command.command()
def team(
    name: Annotated[str, typer.Argument(metavar="TEAM")],
    since: Since = None,
    until: Until = None,
    reason: Reason = "",
    cut_streams: Cut = False,
    yes: Yes = False,
) -> None:
    """Take back every credential of a team: its keys, and the tokens that belong to it."""
    confirmed(f"Revoke every credential of team `{name}`, for good?", yes=yes)
    _revoke(RevocationKind.TEAM, name, since, until, reason, cut_streams)


@command.command()
def issuer(
    name: Annotated[str, typer.Argument(metavar="ISSUER", help="As identity.yaml calls it.")],
    since: Since = None,
    until: Until = None,
    reason: Reason = "",
    cut_streams: Cut = False,
    yes: Yes = False,
) -> None:
    """Take back every token of an issuer, and the keys for which such tokens were traded."""
    confirmed(f"Revoke every token of issuer `{name}`, for good?", yes=yes)
    _revoke(RevocationKind.ISSUER, name, since, until, reason, cut_streams)


@command.command("all")
def everything(
    since: Since = None,
    until: Until = None,
    reason: Reason = "",
    cut_streams: Cut = False,
    yes: Yes = False,
) -> None:
    """Take back everything: every key and every token."""
    confirmed("Revoke every key and every token of all teams, for good?", yes=yes)
    _revoke(RevocationKind.ALL, "", since, until, reason, cut_streams)


@command.command("list")
def list_revocations() -> None:
    """List what was taken back, the oldest first."""
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        revocations = asyncio.run(_all_of(SqlRevocationStore(database)))
    if revocations:
        print_tables(table(_HEADINGS, [_row(each) for each in revocations]))
    else:
        say("Nothing was revoked yet.")


async def _all_of(store: RevocationStore) -> Sequence[Revocation]:
    return await store.list()


def _revoke(
    kind: RevocationKind, value: str, since: str | None, until: str | None, reason: str, cut_streams: bool
) -> None:
    begins, ends = _seconds(since, "--since"), _seconds(until, "--until")

    async def act(desk: RevocationDesk) -> None:
        revocation = await desk.revoke(
            kind,
            value,
            by=at_the_keyboard(),
            since=begins or 0,
            until=ends,
            reason=reason,
            cut_streams=cut_streams,
        )
        begin = f"from {_time(revocation.since)} " if revocation.since else ""
        issued = f"issued {begin}until {_time(revocation.until)} UTC"
        say(f"Revoked: {escape(_what(revocation))}, {issued}. What is issued later is good.")

    _at_desk(act)


def _row(revocation: Revocation) -> tuple[str, ...]:
    since, until = revocation.since, revocation.until
    return (
        _time(revocation.at // 1000),
        plain(_what(revocation)),
        _time(since) if since else "",
        _time(until),
        "cut" if revocation.cut_streams else "",
        plain(revocation.by),
        plain(revocation.reason) if revocation.reason else "",
    )


def _at_desk(act: Callable[[RevocationDesk], Awaitable[None]]) -> None:
    settings = settings_or_exit()

    async def work() -> None:
        async with revocation_desk(settings) as desk:
            await act(desk)

    with explained(settings):
        asyncio.run(work())


def _seconds(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"`{text}` is no time. 2026-10-01 is one, and 2026-10-01T14:00:00+02:00.", param_hint=option
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _what(revocation: Revocation) -> str:
    match revocation.kind:
        case RevocationKind.ALL:
            return "everything"
        case RevocationKind.USER:
            return revocation.value
        case kind:
            return f"{kind} {revocation.value}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
