"""What `gateway keys` is told: its options, and how people spell amounts and times in them."""

import re
import time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from gateway.auth.keys.api_keys import parse_key
from gateway.core.grant import Grant

_ID_LENGTH: Final = 12
_MOST_DAYS: Final = 3660
_DAY: Final = 86_400
_MOST_DOLLARS: Final = 1_000_000
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": _DAY}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


def seconds_of(text: str) -> int:
    """`24h`, `30m`, `7d`, `90s`, or `0`. Raises typer.BadParameter."""
    if text.strip() == "0":
        return 0
    written = _DURATION.fullmatch(text.strip())
    if written is None:
        raise typer.BadParameter(
            "write a number and its unit (90s, 30m, 24h, 7d), or 0.", param_hint="--overlap"
        )
    return int(written[1]) * _UNITS[written[2]]


def micro_dollars_of(text: str) -> int:
    """`12.50`: whole micro-dollars. Raises typer.BadParameter."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise typer.BadParameter("write dollars, such as 250 or 12.50.") from None
    if not amount.is_finite() or not 0 < amount <= _MOST_DOLLARS or amount.scaleb(6) % 1:
        raise typer.BadParameter(
            f"write dollars above 0, up to {_MOST_DOLLARS:,}, with six decimal places at most."
        )
    return int(amount.scaleb(6))


def key_id_alone(text: str) -> str:
    """A key's id, as it is. Somebody who is in a hurry may paste the whole key: what is too long for an id is
    not repeated. Raises typer.BadParameter."""
    if (whole := parse_key(text)) is not None:
        raise typer.BadParameter(f"that is a whole key, which is a secret. Its id is `{whole.id}`.")
    if len(text) > _ID_LENGTH:
        raise typer.BadParameter(
            f"a key's id has {_ID_LENGTH} letters and digits, as `gateway keys list` shows it."
        )
    return text


def in_days(days: int | None) -> int | None:
    """So many days from now, in seconds since 1970."""
    return None if days is None else int(time.time()) + days * _DAY


def grant_of(
    *,
    endpoints: list[str],
    models: list[str],
    read_only: bool,
    requests: int | None,
    tokens: int | None,
    concurrent: int | None,
    dollars: int | None,
) -> Grant:
    """What the options say of how far a key reaches. What is not said is not narrowed."""
    return Grant(
        endpoints=tuple(endpoints) or ("*",),
        models=tuple(models) or ("*",),
        read_only=read_only,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        concurrent=concurrent,
        dollars_per_month=dollars,
    )


KeyId = Annotated[
    str, typer.Argument(callback=key_id_alone, help="The key's id, as `gateway keys list` shows it.")
]
Team = Annotated[str, typer.Option(help="The team that the key belongs to.")]
Name = Annotated[str, typer.Option(help="What the key is for; unique within the team.")]
Owner = Annotated[
    str, typer.Option(metavar="WHO", help="Whose it is: user:alice, service:ci. Default: the team's.")
]
Days = Annotated[
    int | None, typer.Option(min=1, max=_MOST_DAYS, help="Days until it expires. Default: never.")
]
LaterEnd = Annotated[
    int | None,
    typer.Option(min=1, max=_MOST_DAYS, help="Days until the key expires. Default: as before."),
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option("--endpoint", help="Only this endpoint; * is any characters; several times."),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model; * is any characters; several times.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="It may only look: nothing but GET.")]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--from", metavar="NETWORK", help="Only from this network (10.0.0.0/8) or address; several times."
    ),
]
Requests = Annotated[
    int | None, typer.Option("--requests-per-minute", min=1, help="Requests a minute, for this key alone.")
]
Tokens = Annotated[
    int | None, typer.Option("--tokens-per-minute", min=1, help="Tokens a minute, for this key alone.")
]
Concurrent = Annotated[int | None, typer.Option(min=1, help="Requests at once, for this key alone.")]
Dollars = Annotated[
    int | None,
    typer.Option(
        "--dollars-per-month",
        metavar="USD",
        parser=micro_dollars_of,
        help="Dollars a month, for this key alone: 250, 12.50.",
    ),
]
Overlap = Annotated[
    str,
    typer.Option(
        metavar="TIME", help="For how long the old secret is good as well: 24h, 30m, 7d; 0: no longer at all."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
