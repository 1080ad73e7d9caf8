"""Who signed in, and how often somebody could not."""

from collections.abc import Sequence

from gateway.audit.refusals import RefusalTally
from gateway.audit.sign_ins import APART, SignIns
from gateway.core.actor import Act, Actor, Role
from tests.support.clock import ManualClock

LEAD = Actor("entra:alice", Role.TEAM_ADMIN, frozenset({"search", "ads"}))


async def test_those_who_are_let_in_are_named_and_those_who_are_not_are_counted() -> None:
    noted: list[Act] = []

    async def record(acts: Sequence[Act]) -> None:
        noted.extend(acts)

    tally = RefusalTally(record=record, replica="replica_1")
    sign_ins = SignIns(note=noted.append, tally=tally, clock=ManualClock())
    sign_ins.signed_in(LEAD)
    for _ in range(3):
        sign_ins.refused("unknown_holder")
    await tally.flush()
    counted = {"code": "unknown_holder", "rule": "operators.sign_in", "times": 3, "replica": "replica_1"}
    assert noted == [
        Act(
            "entra:alice",
            "console.signed_in",
            "console",
            details={"role": Role.TEAM_ADMIN, "teams": ["ads", "search"]},
        ),
        Act("gateway", "refused", "unknown", details=counted),
    ]


async def test_who_signs_in_again_and_again_is_on_record_once_a_minute() -> None:
    noted: list[Act] = []

    async def record(acts: Sequence[Act]) -> None:
        noted.extend(acts)

    clock = ManualClock()
    sign_ins = SignIns(note=noted.append, tally=RefusalTally(record=record, replica="replica_1"), clock=clock)
    for _ in range(100):
        sign_ins.signed_in(LEAD)
    clock.advance(APART)
    sign_ins.signed_in(LEAD)
    assert len(noted) == 2
