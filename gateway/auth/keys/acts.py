"""What the audit trail is told of keys: everything but their hashes."""

from typing import Any, Final

from gateway.auth.interfaces import StoredKey
from gateway.core.actor import Act, Actor

_TOLD: Final = (
    *("name", "owner", "issued_at", "expires_at", "disabled_at", "revoked_at", "previous_until"),
    *("grant", "addresses", "imported"),
)


def created(key: StoredKey, by: Actor) -> Act:
    """A key that there was not before."""
    action = "key.imported" if key.imported else "key.created"
    after = {name: getattr(key, name) for name in _TOLD}
    return Act(by.name, action, _target(key), key.team, {"after": after})


def changed(action: str, before: StoredKey, after: StoredKey, by: Actor, **more: Any) -> Act:
    """What of it is not as it was, and what else is to be told."""
    names = [name for name in _TOLD if getattr(before, name) != getattr(after, name)]
    details = {
        "name": after.name,
        "before": {name: getattr(before, name) for name in names},
        "after": {name: getattr(after, name) for name in names},
        **more,
    }
    return Act(by.name, action, _target(after), after.team, details)


def _target(key: StoredKey) -> str:
    return f"key:{key.id}"
