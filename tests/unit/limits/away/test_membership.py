"""How large this replica's part is."""

import pytest

from gateway.limits.away.membership import Membership
from gateway.limits.interfaces import Share


@pytest.fixture
def membership() -> Membership:
    return Membership(replicas=4)


def test_one_that_has_never_heard_takes_one_part_of_those_there_are_said_to_be(
    membership: Membership,
) -> None:
    assert membership.share == Share(0, 4)


def test_a_larger_part_counts_from_the_second_beat(membership: Membership) -> None:
    membership.hear(Share(1, 2))
    assert membership.share == Share(1, 4)
    membership.hear(Share(1, 2))
    assert membership.share == Share(1, 2)


def test_a_smaller_part_counts_at_once(membership: Membership) -> None:
    membership.hear(Share(3, 6))
    assert membership.share == Share(3, 6)


def test_a_lower_rank_counts_from_the_second_beat(membership: Membership) -> None:
    for _ in range(2):
        membership.hear(Share(3, 4))
    membership.hear(Share(1, 4))
    assert membership.share == Share(3, 4)
    membership.hear(Share(1, 4))
    assert membership.share == Share(1, 4)


def test_a_higher_rank_counts_at_once(membership: Membership) -> None:
    membership.hear(Share(2, 4))
    assert membership.share == Share(2, 4)


def test_a_rank_is_always_below_the_number(membership: Membership) -> None:
    for share in (Share(4, 5), Share(0, 1), Share(1, 2), Share(0, 2), Share(0, 1)):
        membership.hear(share)
        assert membership.share.rank < membership.share.of
