"""What is left, as it is told: docs/commands.md has a word on every member."""

from dataclasses import fields

import pytest

from gateway.limits.left import BudgetLeft, Held, Raised, RateLeft, SlotsLeft, TeamLimits
from tests.repo.pages import names_in, page


@pytest.mark.parametrize("kind", [BudgetLeft, Held, Raised, RateLeft, SlotsLeft, TeamLimits])
def test_every_member_is_documented(kind: type) -> None:
    told = names_in(page("commands.md"))
    assert [field.name for field in fields(kind) if field.name not in told] == []
