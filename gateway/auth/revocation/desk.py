"""Takes credentials back: of a user, a team, an issuer, or all. Single keys have a desk of their own.

What is taken back is so for good: nothing here gives it back. Whoever was meant by mistake needs a new
credential.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Final

from gateway.auth.interfaces import KeyRefused, Revocation, RevocationKind, RevocationStore
from gateway.core.actor import Act, Actor
from gateway.core.clock import Clock
from gateway.core.ids import new_id

MOST_AHEAD: Final = 30 * 86_400
"""Seconds from now at which a span may end at the latest: it keeps out whoever is let in by name, or by an
issuer that has lost its key; but a slip of the hand must not shut everybody out for years."""
LONGEST: Final = 200
"""Characters of a value and of a reason."""

_SUBJECTS: Final = ("user:", "service:")
_SECRET: Final = re.compile(r"gw[kt]_[\w-]{16,}|\beyJ[\w-]{8,}\.|\bsk-[\w-]{16,}")
"""What looks like a key or a token. Somebody who is in a hurry may paste one."""


class RevocationDesk:
    """Every method raises StoreUnavailable when the store is away."""

    def __init__(
        self,
        *,
        store: RevocationStore,
        clock: Clock,
        teams: Callable[[], Collection[str]],
        issuers: Callable[[], Collection[str]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`teams`, `issuers`: those of the policies in force. `changed`: tells all replicas to look."""
        self._store = store
        self._clock = clock
        self._teams = teams
        self._issuers = issuers
        self._changed = changed

    async def revoke(
        self,
        kind: str,
        value: str = "",
        *,
        by: Actor,
        since: int = 0,
        until: int | None = None,
        reason: str = "",
        cut_streams: bool = False,
    ) -> Revocation:
        """Take back what was issued from `since` to `until`, in seconds since 1970; None: until now.

        Raises KeyRefused, which names the field. When it returns, every replica looks, or will within its
        next poll.
        """
        now = self._clock.now()
        checked = _checked_kind(kind)
        revocation = Revocation(
            id=new_id("rev", self._clock),
            kind=checked,
            value=self._checked_value(checked, value),
            since=since,
            until=_checked_until(since, until, int(now)),
            at=int(now * 1000),
            by=by.name,
            reason=_checked_text("reason", reason),
            cut_streams=cut_streams,
        )
        await self._store.add(revocation, _act(revocation))
        await self._changed()
        return revocation

    async def list(self) -> Sequence[Revocation]:
        """All that was ever taken back, the oldest first."""
        return await self._store.list()

    def _checked_value(self, kind: RevocationKind, value: str) -> str:
        _checked_text("value", value)
        match kind:
            case RevocationKind.ALL:
                if value:
                    raise KeyRefused("value", "Everything is revoked without saying what: leave `value` out.")
                return ""
            case RevocationKind.USER:
                return _subject(value)
            case RevocationKind.TEAM:
                return _known(value, "team", self._teams())
            case _:
                return _known(value, "issuer", self._issuers())


def _checked_kind(kind: str) -> RevocationKind:
    if kind == RevocationKind.KEY:
        raise KeyRefused("kind", "A single key is revoked by its id: `gateway keys revoke`.")
    try:
        return RevocationKind(kind)
    except ValueError as error:
        raise KeyRefused("kind", "There are `user`, `team`, `issuer` and `all`.") from error


def _checked_until(since: int, until: int | None, now: int) -> int:
    """The end of the span, the very second in which it is asked for included."""
    if since < 0:
        raise KeyRefused("since", "Time begins in 1970: `since` is 0 or more.")
    if since > now:
        raise KeyRefused("since", "`since` is in the future: nothing has been issued then.")
    if until is None:
        return now
    if until < since:
        raise KeyRefused("until", "`until` is before `since`.")
    if until > now + MOST_AHEAD:
        raise KeyRefused("until", "`until` is more than 30 days ahead. No revocation can be taken back.")
    return until


def _checked_text(field: str, text: str) -> str:
    if len(text) > LONGEST:
        raise KeyRefused(field, f"`{field}` has more than {LONGEST} characters.")
    if not text.isprintable():
        raise KeyRefused(field, f"`{field}` is one line of printable characters.")
    if _SECRET.search(text):
        raise KeyRefused(field, f"`{field}` holds what looks like a key or a token. It would be on record.")
    return text


def _subject(value: str) -> str:
    """As callers have it: no name begins or ends with a space, though what is pasted may."""
    value = value.strip()
    if value.startswith("key:"):
        raise KeyRefused("value", "That is a key that a team owns. It is revoked by its id.")
    subject = value if value.startswith(_SUBJECTS) else f"user:{value}"
    if not subject.partition(":")[2].strip():
        raise KeyRefused("value", "Say which user: `user:alice`, or `service:ci`.")
    return subject


def _known(value: str, what: str, names: Collection[str]) -> str:
    if value in names:
        return value
    if not names:
        raise KeyRefused("value", f"There is no {what} in the policy files.")
    near = get_close_matches(value, names, n=3)
    others = f"Did you mean {_quoted(near)}?" if near else f"There are: {_quoted(sorted(names)[:20])}."
    raise KeyRefused("value", f"There is no {what} `{value}` in the policy files. {others}")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _act(revocation: Revocation) -> Act:
    kind, value = revocation.kind, revocation.value
    team = value if kind is RevocationKind.TEAM else ""
    named = kind in (RevocationKind.TEAM, RevocationKind.ISSUER)
    return Act(
        actor=revocation.by,
        action="revoked",
        target=f"{kind}:{value}" if named else value or kind.value,
        team=team,
        details={
            "revocation": revocation.id,
            "since": revocation.since,
            "until": revocation.until,
            "reason": revocation.reason,
            "cut_streams": revocation.cut_streams,
        },
    )
