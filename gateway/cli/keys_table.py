"""Keys as people see them; and as JSON, in the words of the operators' API."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import RenderableType

from gateway.admin.keys_page import shown_key
from gateway.admin.shapes import ShownKey
from gateway.auth.interfaces import StoredKey
from gateway.auth.keys.life import KeyState, overlap_until, state_of
from gateway.auth.keys.uses import KeyUse
from gateway.cli.tables import plain, table
from gateway.cli.wording import dollars
from gateway.core.grant import UNNARROWED, Grant

_HEADINGS: Final = ("id", "team", "~name", "~owner", "state", "created", "expires", "last used", "from")
_COLOURS: Final = {
    KeyState.LIVE: "green",
    KeyState.EXPIRED: "yellow",
    KeyState.DISABLED: "yellow",
    KeyState.REVOKED: "red",
}


def keys_table(keys: Sequence[StoredKey], uses: Mapping[str, KeyUse], *, now: int) -> RenderableType:
    """A line each."""
    return table(_HEADINGS, [_line(key, uses.get(key.id), now) for key in keys])


def key_lines(key: StoredKey, use: KeyUse | None, *, now: int) -> RenderableType:
    """All that is known of one key, a line each."""
    until = overlap_until(key, now)
    told = {
        "id": key.id,
        "team": plain(key.team),
        "name": plain(key.name),
        "owner": plain(key.owner) if key.owner else "the team",
        "state": _state(key, now),
        "created": f"{moment(key.created_at)}{f' by {plain(key.created_by)}' if key.created_by else ''}",
        "secret made": moment(key.issued_at) if key.issued_at != key.created_at else "",
        "old secret": f"good until {moment(until)}" if until else "",
        "expires": moment(key.expires_at) if key.expires_at else "never",
        "disabled": moment(key.disabled_at) if key.disabled_at else "",
        "revoked": moment(key.revoked_at) if key.revoked_at else "",
        "last used": f"{moment(use.at)} from {plain(use.address)}" if use else "never",
        "may": _reach(key.grant),
        "from": ", ".join(key.addresses) or "everywhere",
        "imported": "yes" if key.imported else "",
    }
    lines = table(("", ""), [(f"[bold]{name}[/]", said) for name, said in told.items() if said])
    lines.show_header = False
    return lines


def key_record(key: StoredKey, use: KeyUse | None, *, now: int) -> ShownKey:
    """For JSON."""
    shown = shown_key(key, now)
    if use:
        shown.last_used_at, shown.last_used_from = use.at, use.address
    return shown


def moment(seconds: int) -> str:
    """Seconds since 1970, as people say them."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _line(key: StoredKey, use: KeyUse | None, now: int) -> Sequence[str]:
    return (
        key.id,
        plain(key.team),
        plain(key.name),
        plain(key.owner) if key.owner else "",
        _state(key, now),
        _day(key.created_at),
        _day(key.expires_at) if key.expires_at else "never",
        moment(use.at) if use else "never",
        plain(use.address) if use else "",
    )


def _state(key: StoredKey, now: int) -> str:
    state = state_of(key, now)
    return f"[{_COLOURS[state]}]{state}[/]"


def _reach(grant: Grant) -> str:
    """In words."""
    if grant == UNNARROWED:
        return "whatever its team may"
    said = [
        "only look (GET)" if grant.read_only else "",
        f"endpoints {plain(', '.join(grant.endpoints))}" if grant.endpoints != ("*",) else "",
        f"models {plain(', '.join(grant.models))}" if grant.models != ("*",) else "",
        f"{grant.requests_per_minute:,} requests a minute" if grant.requests_per_minute else "",
        f"{grant.tokens_per_minute:,} tokens a minute" if grant.tokens_per_minute else "",
        f"{grant.concurrent:,} at once" if grant.concurrent else "",
        f"{dollars(grant.dollars_per_month)} USD a month" if grant.dollars_per_month else "",
    ]
    return "; ".join(filter(None, said))


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
