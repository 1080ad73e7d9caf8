"""Facts about `gateway/shaping/change.py`."""

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingKind, ShapingRule
from gateway.shaping.change import Change


def test_a_rule_that_only_watches_notes_what_it_would_have_done() -> None:
    rule = ShapingRule("few", ShapingKind.CLAMP, Mode.WARN, member="n", at_most=4)

    note = Change(4, ErrorCode.REQUEST_EXCEEDS_LIMIT, "It would be 4.").noted(rule)

    assert note == Deny(
        ErrorCode.REQUEST_EXCEEDS_LIMIT, "It would be 4.", "shaping.few", Mode.WARN, param="n"
    )
