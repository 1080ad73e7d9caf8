"""What was taken back, in memory: a look at it costs some dict look-ups, and never waits.

Time is told in whole seconds, both ends included. So a credential that was issued in the very second in which
its like was taken back is taken back too: better one too many than one too few.
"""

from collections import defaultdict
from collections.abc import Sequence
from operator import is_

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.core.principal import Principal

_Spans = Sequence[Revocation]


class KnownRevocations:
    """A Revocations. Empty until it is told."""

    def __init__(self) -> None:
        self._known: Sequence[Revocation] = ()
        self._spans: defaultdict[RevocationKind, dict[str, _Spans]] = defaultdict(dict)
        self._forget()

    def __repr__(self) -> str:
        return f"<KnownRevocations {len(self)}>"

    def __len__(self) -> int:
        return len(self._known)

    def replace(self, revocations: Sequence[Revocation]) -> Sequence[Revocation]:
        """These are all that there are. Gives those that were not known. It costs little when they begin with
        the very ones that were told the last time."""
        known = self._known
        if len(known) <= len(revocations) and all(map(is_, known, revocations)):
            new = revocations[len(known) :]
        else:
            ids = {each.id for each in known}
            new = [each for each in revocations if each.id not in ids]
            self._forget()
        for each in revocations[len(self._known) :]:
            spans = self._spans[each.kind]
            spans[each.value] = _needed([*spans.get(each.value, ()), each])
        self._known = tuple(revocations)
        return new

    def covers(self, principal: Principal) -> Revocation | None:
        """What took this principal's credential back; of several one that cuts streams, if there is any."""
        if not self._known:
            return None
        found = None
        for spans in (
            self._all.get("", ()),
            self._keys.get(principal.key_id, ()),
            self._users.get(principal.subject, ()),
            self._teams.get(principal.team, ()),
            self._issuers.get(principal.issuer, ()) if principal.issuer else (),
        ):
            for each in spans:
                if each.since <= principal.issued_at <= each.until:
                    if each.cut_streams:
                        return each
                    found = each
                    break
        return found

    def _forget(self) -> None:
        self._known = ()
        self._spans.clear()
        self._keys = self._spans[RevocationKind.KEY]
        self._users = self._spans[RevocationKind.USER]
        self._teams = self._spans[RevocationKind.TEAM]
        self._issuers = self._spans[RevocationKind.ISSUER]
        self._all = self._spans[RevocationKind.ALL]


def _needed(spans: _Spans) -> _Spans:
    """Those that say more than the others, first those that cut streams: mostly it is one."""
    wide_first = sorted(spans, key=lambda each: (not each.cut_streams, each.since, -each.until))
    needed: list[Revocation] = []
    for each in wide_first:
        if not any(other.since <= each.since and each.until <= other.until for other in needed):
            needed.append(each)
    return needed
