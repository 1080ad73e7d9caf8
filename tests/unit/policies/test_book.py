"""Facts about `gateway/policies/book.py`."""

from collections.abc import Callable

import pytest

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.grant import UNNARROWED, Grant
from gateway.core.policy import Policy
from gateway.core.principal import Principal
from gateway.policies.book import PolicyBook
from gateway.policies.policy_set import PolicySet

Compiled = Callable[..., PolicySet]
KEYS = "team: search\nkeys:\n  nightly: {models: [o3]}\n"


def asks(team: str = "search", key_name: str = "daily", grant: Grant = UNNARROWED) -> Principal:
    return Principal(f"{team}/{key_name}", team=team, key_id="k1", key_name=key_name, grant=grant)


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


def test_a_grant_that_narrows_nothing_changes_nothing(book: PolicyBook) -> None:
    assert book.policy_for(asks(grant=Grant())) is book.policy_set.teams["search"].policy


def test_a_credential_that_reaches_less_far_has_a_narrower_policy(book: PolicyBook) -> None:
    grant = Grant(endpoints=("responses",), requests_per_minute=5)

    policy = book.policy_for(asks(grant=grant))

    assert isinstance(policy, Policy)
    assert policy.grant == grant
    assert [limit.name for limit in policy.limits] == ["team-tokens", "key.requests"]
    assert book.policy_for(asks(grant=grant)) is policy


def test_the_policy_that_is_narrowed_is_the_keys_own(book: PolicyBook) -> None:
    policy = book.policy_for(asks(key_name="nightly", grant=Grant(read_only=True)))

    assert isinstance(policy, Policy)
    assert policy.models.names == ("o3",)


def test_a_narrowed_policy_is_of_the_set_in_force(book: PolicyBook, compiled: Compiled) -> None:
    asking = asks(grant=Grant(read_only=True))
    book.policy_for(asking)

    book.replace(compiled(search="team: search\nmodels: [o3]"))

    policy = book.policy_for(asking)
    assert isinstance(policy, Policy)
    assert policy.models.names == ("o3",)
    assert policy.version == book.version
