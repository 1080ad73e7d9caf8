"""`gateway limits`: what is left, and who holds it. The running gateway tells, on its operators' port."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Final

import aiohttp
import msgspec
import typer

from gateway.cli.console import fail, settings_or_exit
from gateway.cli.limits_table import print_limits
from gateway.limits.left import TeamLimits
from gateway.settings import Settings

_SECONDS: Final = 10.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where it listens, not we
"""Where a gateway that listens on all addresses is found from its own machine."""

command = typer.Typer(help="What is left of limits and budgets.", no_args_is_help=True)


class _Unanswered(Exception):
    """There is no answer; the sentence says what to do."""


@command.callback()
def limits() -> None:
    """What is left of limits and budgets."""


@command.command()
def show(
    team: Annotated[str, typer.Option(help="Whose limits.")],
    key: Annotated[
        str | None, typer.Option(help="Only what counts a call by this key: its id or its name.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only what counts a call of this user.")] = None,
    model: Annotated[str | None, typer.Option(help="Only what counts a call to this model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answer as it is.")] = False,
) -> None:
    """Show what is left of a team's limits and budgets, and who holds it. Asks the running gateway."""
    settings = settings_or_exit()
    given = {"team": team, "key": key, "user": user, "model": model}
    try:
        answer = asyncio.run(_ask(settings, {name: value for name, value in given.items() if value}))
        if as_json:
            sys.stdout.write(msgspec.json.format(answer, indent=2).decode() + "\n")
        else:
            print_limits(msgspec.json.decode(answer, type=TeamLimits))
    except _Unanswered as error:
        fail([str(error)])
    except msgspec.DecodeError:
        fail([f"What answers at {_address(settings)} is no gateway of this release."])


async def _ask(settings: Settings, query: Mapping[str, str]) -> bytes:
    """The running gateway's answer. Raises _Unanswered."""
    if settings.admin_token is None:
        raise _Unanswered(
            "GATEWAY_ADMIN_TOKEN is not set. Set it to that of the running gateway: it answers nobody else."
        )
    address = _address(settings)
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(
                f"http://{address}/admin/limits",
                params=query,
                headers={"authorization": f"Bearer {settings.admin_token.get_secret_value()}"},
                allow_redirects=False,
            ) as answer,
        ):
            body = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        raise _Unanswered(
            f"No gateway answers at {address}. Start it with `gateway serve`, or set GATEWAY_ADMIN_LISTEN to "
            "where its operators' port is."
        ) from error
    if answer.status != 200:
        raise _Unanswered(_reason(answer.status, body, address))
    return body


def _reason(status: int, body: bytes, address: str) -> str:
    """What the gateway says about a question that it does not answer."""
    if status == 401:
        return f"The gateway at {address} has another GATEWAY_ADMIN_TOKEN than this command, or none."
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return f"What answers at {address} is no gateway: status {status}."


def _address(settings: Settings) -> str:
    host, _, port = settings.admin_listen.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}:{port}"
