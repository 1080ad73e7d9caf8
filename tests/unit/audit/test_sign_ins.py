"""Who signed in, and out; and how often somebody could not."""

from collections.abc import Sequence

from gateway.audit.refusals import RefusalTally
from gateway.audit.sign_ins import SignIns
from gateway.core.actor import Act, Actor, Role

LEAD = Actor("entra:alice", Role.TEAM_ADMIN, frozenset({"search", "ads"}))


async def test_those_who_are_let_in_are_named_and_those_who_are_not_are_counted() -> None:
    noted: list[Act] = []

    async def record(acts: Sequence[Act]) -> None:
        noted.extend(acts)

    tally = RefusalTally(record=record, replica="replica_1")
    sign_ins = SignIns(note=noted.append, tally=tally)
    sign_ins.signed_in(LEAD)
    for _ in range(3):
        sign_ins.refused("unknown_holder")
    sign_ins.signed_out(LEAD)
    await tally.flush()
    counted = {"code": "unknown_holder", "rule": "operators.sign_in", "times": 3, "replica": "replica_1"}
    assert noted == [
        Act(
            "entra:alice",
            "console.signed_in",
            "console",
            details={"role": Role.TEAM_ADMIN, "teams": ["ads", "search"]},
        ),
        Act("entra:alice", "console.signed_out", "console"),
        Act("gateway", "refused", "unknown", details=counted),
    ]
