"""What is put on record of keys."""

from dataclasses import replace

import msgspec

from gateway.auth.keys.acts import changed, created
from gateway.core.grant import Grant
from tests.unit.auth.conftest import BY, a_stored_key

KEY = a_stored_key("k7", secret="s", previous_hash=b"another hash that is secret")


def test_a_new_key_is_told_with_all_that_it_may() -> None:
    act = created(replace(KEY, grant=Grant(models=("gpt-4o",)), addresses=("10.0.0.0/8",)), BY)
    assert (act.actor, act.action, act.target, act.team) == ("cli:tester", "key.created", "key:k7", "search")
    after = msgspec.json.decode(msgspec.json.encode(act.details))["after"]
    assert (after["name"], after["addresses"]) == ("web", ["10.0.0.0/8"])
    assert after["grant"]["models"] == ["gpt-4o"]


def test_an_imported_key_is_told_as_such() -> None:
    assert created(replace(KEY, imported=True), BY).action == "key.imported"


def test_of_a_change_only_what_changed_is_told() -> None:
    act = changed("key.disabled", KEY, replace(KEY, disabled_at=5), BY, reason="tired")
    assert (act.action, act.details) == (
        "key.disabled",
        {"name": "web", "before": {"disabled_at": None}, "after": {"disabled_at": 5}, "reason": "tired"},
    )


def test_no_hash_is_on_record() -> None:
    after = replace(KEY, secret_hash=b"a new hash that is secret")
    acts = created(KEY, BY), changed("key.rotated", KEY, after, BY)
    assert not any("hash" in str(act) for act in acts)
