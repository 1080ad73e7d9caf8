"""Policies for credentials that reach less far than their team. Nothing here ever widens a policy.

A grant's own limits stand among the policy's others and are reserved with them. Their names have a dot, which
names in policy files cannot have: so no limit of a file shares a counter with them.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Final, NamedTuple

from gateway.core.grant import Grant
from gateway.core.policy import Budget, Counted, Limit, Period, Policy, Scope
from gateway.core.principal import CredentialKind, Principal

REQUESTS: Final = "key.requests"
TOKENS: Final = "key.tokens"
CONCURRENT: Final = "key.concurrent"
MONTH: Final = "key.month"

_OF_MANY: Final = frozenset({CredentialKind.JWT, CredentialKind.EXCHANGED_KEY})
"""Credentials with one id for all users of an issuer. Each user counts alone."""

_Per = tuple[Scope, ...]


def narrowed(policy: Policy, grant: Grant, per: _Per = (Scope.KEY,)) -> Policy:
    """The policy within the grant. `per`: whom the grant's own limits count together."""
    return replace(
        policy,
        grant=grant,
        limits=(*policy.limits, *_limits(grant, per)),
        budgets=(*policy.budgets, *_budgets(grant, per)),
    )


class NarrowedPolicies:
    """Remembers them, so that one caller has one policy, the very same object, for as long as nothing
    changes."""

    def __init__(self, *, most: int = 10_000) -> None:
        """`most`: policies that are remembered; the one longest unused is forgotten."""
        self._most = most
        self._known: OrderedDict[_Caller, _Known] = OrderedDict()

    def of(self, policy: Policy, principal: Principal) -> Policy:
        """The policy, narrowed to what the principal's credential reaches."""
        per = (Scope.USER, Scope.KEY) if principal.kind in _OF_MANY else (Scope.KEY,)
        caller = _Caller(principal.team, principal.key_name, per, principal.grant)
        known = self._known.get(caller)
        if known is None or known.within is not policy:
            known = self._known[caller] = _Known(policy, narrowed(policy, principal.grant, per))
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        self._known.move_to_end(caller)
        return known.policy


class _Caller(NamedTuple):
    team: str
    key_name: str
    per: _Per
    grant: Grant


class _Known(NamedTuple):
    within: Policy
    """What was narrowed: after a reload it is another."""
    policy: Policy


def _limits(grant: Grant, per: _Per) -> list[Limit]:
    rates = (
        (REQUESTS, Counted.REQUESTS, grant.requests_per_minute),
        (TOKENS, Counted.TOKENS, grant.tokens_per_minute),
    )
    limits = [
        Limit(name=name, counts=counts, per=per, amount=amount, burst=amount)
        for name, counts, amount in rates
        if amount is not None
    ]
    if grant.concurrent is not None:
        limits.append(Limit(CONCURRENT, Counted.CONCURRENT, per, grant.concurrent))
    return limits


def _budgets(grant: Grant, per: _Per) -> list[Budget]:
    if grant.dollars_per_month is None:
        return []
    return [Budget(MONTH, Counted.DOLLARS, per, grant.dollars_per_month, Period.MONTH)]
