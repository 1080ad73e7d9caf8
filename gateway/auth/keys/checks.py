"""What a key must be like to be made. Whatever is wrong is refused with the name of the field."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from gateway.auth.interfaces import KeyRefused
from gateway.auth.keys.life import checked_end
from gateway.auth.network.addresses import network
from gateway.core.grant import UNNARROWED, Grant
from gateway.core.patterns import matches

LONGEST_TEXT: Final = 200
"""Characters of an owner, and of a reason."""
MOST_LISTED: Final = 100
"""Patterns, and networks."""
MOST: Final = 10**12
"""Of any amount."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_OWNERS: Final = ("user:", "service:")
_AMOUNTS: Final = ("requests_per_minute", "tokens_per_minute", "concurrent", "dollars_per_month")
_SECRET: Final = re.compile(r"gw[kt]_[\w-]{16,}|\beyJ[\w-]{8,}\.|\bsk-[\w-]{16,}")
"""What looks like a key or a token. Somebody who is in a hurry may paste one."""
_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as somebody wants it."""

    team: str
    name: str
    """What it is for; unique among the team's keys that are not revoked."""
    owner: str = ""
    """`user:alice`, `service:ci`; empty: the team itself."""
    expires_at: int | None = None
    """Seconds since 1970; None: never."""
    grant: Grant = UNNARROWED
    addresses: Sequence[str] = ()
    """Networks from which it may be used; none: from everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChecks:
    """What there is to be named, as the policies in force say it."""

    teams: Callable[[], Collection[str]]
    endpoints: Callable[[], Collection[str]]
    models: Callable[[], Collection[str]]

    def checked(self, new: NewKey, now: int) -> NewKey:
        """The same, spelled in one way. Raises KeyRefused."""
        _check_known("team", "team", new.team, self.teams())
        if not _NAME.fullmatch(new.name):
            raise KeyRefused(
                "name",
                "A name begins with a letter or a digit, and has at most 64 letters, digits, dots, hyphens "
                "and underscores.",
            )
        checked_end(new.expires_at, now)
        self._check_grant(new.grant)
        return NewKey(
            team=new.team,
            name=new.name,
            owner=_checked_owner(new.owner),
            expires_at=new.expires_at,
            grant=new.grant,
            addresses=_checked_addresses(new.addresses),
        )

    def _check_grant(self, grant: Grant) -> None:
        _check_patterns("endpoint", grant.endpoints, self.endpoints())
        _check_patterns("model", grant.models, self.models())
        for name in _AMOUNTS:
            amount = getattr(grant, name)
            if amount is not None and not 0 < amount <= MOST:
                raise KeyRefused(
                    f"grant.{name}", f"`{name}` is from 1 to {MOST:,}; left out there is no limit."
                )


def checked_reason(reason: str) -> str:
    """Why something is done. Raises KeyRefused."""
    return _checked_text("reason", reason)


def _check_patterns(what: str, patterns: Sequence[str], names: Collection[str]) -> None:
    field = f"grant.{what}s"
    if not patterns:
        raise KeyRefused(field, f"Without any {what} the key would be good for nothing. `*` stands for all.")
    if len(patterns) > MOST_LISTED:
        raise KeyRefused(field, f"There are more than {MOST_LISTED} patterns. `*` stands for any characters.")
    for pattern in patterns:
        if pattern != "*" and not any(matches((pattern,), name) for name in names):
            _check_known(field, what, pattern, names)


def _check_known(field: str, what: str, name: str, names: Collection[str]) -> None:
    if name in names:
        return
    where = "" if what == "endpoint" else " in the policy files"
    said = _short(name)
    raise KeyRefused(field, f"There is no {what} `{said}`{where}. {_others(said, names)}")


def _others(name: str, names: Collection[str]) -> str:
    if near := get_close_matches(name, names, n=3):
        return f"Did you mean {' or '.join(f'`{each}`' for each in near)}?"
    if not names:
        return "There is none at all."
    listed = sorted(names)[:_MOST_NAMED]
    return f"There are: {', '.join(listed)}{', …' if len(names) > len(listed) else '.'}"


def _checked_owner(owner: str) -> str:
    _checked_text("owner", owner)
    if not owner:
        return ""
    kind, colon, who = owner.partition(":")
    if f"{kind}{colon}" not in _OWNERS or not who or any(char.isspace() for char in who):
        raise KeyRefused(
            "owner", "An owner is `user:` and a name, or `service:` and a name; left out, it is the team."
        )
    return owner


def _checked_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    if len(addresses) > MOST_LISTED:
        raise KeyRefused("addresses", f"There are more than {MOST_LISTED} networks.")
    try:
        return tuple(dict.fromkeys(str(network(each)) for each in addresses))
    except ValueError as error:
        raise KeyRefused("addresses", f"{error}.") from error


def _checked_text(field: str, text: str) -> str:
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise KeyRefused(field, f"`{field}` is one line of at most {LONGEST_TEXT} printable characters.")
    if _SECRET.search(text):
        raise KeyRefused(field, f"`{field}` holds what looks like a key or a token. It would be on record.")
    return text


def _short(text: str) -> str:
    """What was written, as far as a sentence bears it."""
    return "".join(char if char.isprintable() else "?" for char in text[:64])
