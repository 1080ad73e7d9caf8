"""What was taken back, in memory: a look at it costs some dict look-ups, and never waits.

Time is told in whole seconds, both ends included. So a credential that was issued in the very second in which
its like was taken back is taken back too: better one too many than one too few.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.core.principal import Principal

_Spans = Sequence[Revocation]


class KnownRevocations:
    """A Revocations. Empty until it is told; what it knew before is then forgotten."""

    def __init__(self) -> None:
        self._count = 0
        self._take({})

    def __repr__(self) -> str:
        return f"<KnownRevocations {self._count}>"

    def __len__(self) -> int:
        return self._count

    def replace(self, revocations: Sequence[Revocation]) -> None:
        """These are all that there are."""
        self._count = len(revocations)
        ordered = sorted(revocations, key=lambda each: (each.kind, each.value))
        grouped = groupby(ordered, key=lambda each: (each.kind, each.value))
        self._take({what: _needed(spans) for what, spans in grouped})

    def covers(self, principal: Principal) -> Revocation | None:
        """What took this principal's credential back; of several one that cuts streams, if there is any."""
        if not self._count:
            return None
        found = None
        for spans in (
            self._all,
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

    def _take(self, spans: Mapping[tuple[RevocationKind, str], _Spans]) -> None:
        def of(kind: RevocationKind) -> Mapping[str, _Spans]:
            return {value: each for (its, value), each in spans.items() if its is kind}

        self._keys = of(RevocationKind.KEY)
        self._users = of(RevocationKind.USER)
        self._teams = of(RevocationKind.TEAM)
        self._issuers = of(RevocationKind.ISSUER)
        self._all = of(RevocationKind.ALL).get("", ())


def _needed(spans: Iterable[Revocation]) -> _Spans:
    """Those that say more than the others, first those that cut streams: mostly it is one."""
    wide_first = sorted(spans, key=lambda each: (not each.cut_streams, each.since, -each.until))
    needed: list[Revocation] = []
    for each in wide_first:
        if not any(other.since <= each.since and each.until <= other.until for other in needed):
            needed.append(each)
    return needed
