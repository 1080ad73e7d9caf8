"""What can be wrong with a Redis, and what operators are told of it."""

from enum import StrEnum
from typing import Any, Final, NamedTuple


class Severity(StrEnum):
    REFUSE = "refuse"
    """It cannot keep limits. A gateway that runs goes on as if it were away."""
    WARN = "warn"
    """It keeps limits, or will again, but not as well as it should."""


class Fault(StrEnum):
    NO_REDIS = "no_redis"
    LOGIN = "login"
    RIGHTS = "rights"
    KIND = "kind"
    VERSION = "version"
    SCRIPTS = "scripts"
    REPLICA = "replica"
    EVICTION = "eviction"
    FULL = "full"
    WRITES = "writes"
    SLOTS = "slots"
    SLOTS_DOWN = "slots_down"
    CLOCK = "clock"
    SLOW = "slow"
    SIGNALS = "signals"


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    severity: Severity
    fault: Fault
    where: str
    """`host:port`, or a socket."""
    sentence: str
    """What, where, and what to do. Shows no secret."""

    @classmethod
    def of(cls, fault: Fault, where: str, **facts: Any) -> "Finding":
        """`facts`: what the fault's sentence has blanks for."""
        severity, sentence = _SENTENCES[fault]
        return cls(severity, fault, where, sentence.format(where=where, **facts))


_SENTENCES: Final = {
    Fault.NO_REDIS: (Severity.REFUSE, "{where} does not speak the protocol of Redis. Name a Redis."),
    Fault.LOGIN: (
        Severity.REFUSE,
        "{where} does not take the user and password. Look at its ACL, and at the URL.",
    ),
    Fault.RIGHTS: (
        Severity.REFUSE,
        "{where} does not let the gateway's user do what its scripts do ({reply}). "
        "Give it the rights that docs/operations.md lists.",
    ),
    Fault.KIND: (Severity.REFUSE, "{where} is {is_a}. Name it as {url}"),
    Fault.VERSION: (
        Severity.REFUSE,
        "{where} is Redis {version}. The gateway needs 6.2 or newer, or Valkey.",
    ),
    Fault.SCRIPTS: (
        Severity.REFUSE,
        "{where} does not run the gateway's scripts ({reply}). It must run Lua scripts.",
    ),
    Fault.REPLICA: (
        Severity.WARN,
        "{where} is a replica, which takes no writes. Name the master, or the sentinels that know it.",
    ),
    Fault.EVICTION: (
        Severity.WARN,
        "{where} evicts keys once it is full (maxmemory-policy {policy}), and an evicted counter begins "
        "anew: limits would let more through. Set maxmemory-policy noeviction.",
    ),
    Fault.FULL: (
        Severity.WARN,
        "{where} is full and takes no writes. Raise its maxmemory, or remove other keys.",
    ),
    Fault.WRITES: (
        Severity.WARN,
        "{where} takes no writes at the moment ({reply}). Look at its replicas and its disk.",
    ),
    Fault.SLOTS: (Severity.WARN, "{where}: {count} of 16384 slots are served by no node. Mend the cluster."),
    Fault.SLOTS_DOWN: (Severity.WARN, "{where}: the cluster is down ({reply}). Mend the cluster."),
    Fault.CLOCK: (
        Severity.WARN,
        "The clock of {where} is {skew:.0f} s {way} this machine's. Limits go by the former, records by the "
        "latter. Set both by NTP.",
    ),
    Fault.SLOW: (
        Severity.WARN,
        "{where} takes {took:.0f} ms to answer; the gateway waits {most:.0f} ms at most. Bring them closer.",
    ),
    Fault.SIGNALS: (
        Severity.WARN,
        "{where} does not let the gateway's user publish and subscribe ({reply}). Limits are kept all the "
        "same; what is revoked or changed at one replica is noticed by the others within a second instead of "
        "at once, since each looks twice a second, and a request is explained by its own replica alone. Give "
        "it the rights that docs/operations.md lists.",
    ),
}
