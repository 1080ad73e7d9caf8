"""Whose policy holds for a line of the ledger."""

from pathlib import Path

import pytest

from gateway.cli.holders import Holders
from gateway.policies.loader import load_policies
from tests.support.policy_files import write_policies


@pytest.fixture
def holders(tmp_path: Path) -> Holders:
    search = 'cost_centre: "1"\nkeys:\n  web: {cost_centre: "2"}\n'
    policies = load_policies(
        write_policies(tmp_path, search=search, ads=""), upstreams=["openai"], endpoints=frozenset({"models"})
    )
    return Holders(policies, {"k1": "web", "k2": "batch"})


@pytest.mark.parametrize(
    ("team", "key_id", "cost_centre"),
    [
        ("search", "k1", "2"),
        ("search", "k2", "1"),
        ("search", "k9", "1"),
        ("ads", "k1", ""),
        ("gone", "k1", ""),
    ],
)
def test_the_key_is_asked_before_its_team(holders: Holders, team: str, key_id: str, cost_centre: str) -> None:
    assert holders.cost_centre(team, key_id) == cost_centre


def test_a_team_that_is_gone_has_no_policy(holders: Holders) -> None:
    assert holders.policy("gone", "k1") is None
