"""Facts about `gateway/policies/book.py`."""

from collections.abc import Callable

import pytest

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Policy
from gateway.core.principal import Principal
from gateway.policies.book import PolicyBook
from gateway.policies.policy_set import PolicySet

Compiled = Callable[..., PolicySet]
KEYS = "team: search\nkeys:\n  nightly: {models: [o3]}\n"


def asks(team: str = "search", key_name: str = "daily") -> Principal:
    return Principal(subject=f"{team}/{key_name}", team=team, key_id="k1", key_name=key_name)


@pytest.fixture
def book(compiled: Compiled) -> PolicyBook:
    return PolicyBook(compiled(search=KEYS))


def test_a_key_that_no_file_names_has_its_teams_policy(book: PolicyBook) -> None:
    assert book.policy_for(asks()) is book.policy_set.teams["search"].policy


def test_a_key_that_a_file_names_has_a_policy_of_its_own(book: PolicyBook) -> None:
    policy = book.policy_for(asks(key_name="nightly"))

    assert isinstance(policy, Policy)
    assert policy.models.names == ("o3",)


def test_a_team_that_no_file_names_may_do_nothing(book: PolicyBook) -> None:
    deny = book.policy_for(asks(team="strangers"))

    assert isinstance(deny, Deny)
    assert (deny.code, deny.mode, deny.rule) == (ErrorCode.PERMISSION_DENIED, Mode.ENFORCE, "teams")
    assert "search" not in deny.reason


def test_a_replaced_set_is_in_force_at_once(book: PolicyBook, compiled: Compiled) -> None:
    before = book.version
    policy_set = compiled(search="team: search\nmodels: [gpt-4o]")

    book.replace(policy_set)

    policy = book.policy_for(asks(key_name="nightly"))
    assert isinstance(policy, Policy)
    assert policy.models.names == ("gpt-4o",)
    assert book.version == policy.version == policy_set.version != before
    assert book.catalogue is policy_set.catalogue
