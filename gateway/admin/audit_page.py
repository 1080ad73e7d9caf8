"""`/admin/audit`: what was done, by whom, the newest first; and whether the record of it is whole."""

from collections.abc import Mapping
from dataclasses import asdict

from gateway.admin.interfaces import Asked, AuditTrail, Handler
from gateway.admin.operations import USUALLY_LISTED
from gateway.admin.problems import Problem
from gateway.admin.shapes import Acts, ShownAct, Verdict


class AuditPage:
    """For auditors and operators."""

    def __init__(self, *, trail: AuditTrail) -> None:
        self._trail = trail

    def handlers(self) -> Mapping[str, Handler]:
        return {"audit": self.audit, "verify_audit": self.verify}

    async def audit(self, asked: Asked) -> Acts:
        query = asked.query
        most = query.get("limit", USUALLY_LISTED)
        lines = await self._trail.list(team=query.get("team"), before=query.get("after"), most=most + 1)
        shown = [ShownAct(**asdict(line)) for line in lines[:most]]
        more = len(lines) > most
        return Acts(data=shown, has_more=more, next=str(shown[-1].number) if more else None)

    async def verify(self, asked: Asked) -> Verdict:
        try:
            verdict = await self._trail.verify(asked.query.get("head"))
        except ValueError as error:
            raise Problem(400, f"{error}.", field="head") from None
        return Verdict(
            intact=verdict.intact,
            lines=verdict.lines,
            head=verdict.head,
            broken_at=verdict.broken_at,
            sentence=verdict.sentence,
        )
