"""Filters as policy files spell them. Patterns are tried as the file is read, so that none can fail later."""

import re
from typing import Annotated, Final, Literal

import re2
from pydantic import AfterValidator, Field, Tag

from gateway.core.policy import FilterKind, FilterRule
from gateway.policies.rule import OFF_TAG, Rule, SwitchedOff, kinds_by_name

PATTERN_MEMORY: Final = 1 << 20
"""Bytes that one compiled pattern may take: a rule is a set of them, and must stay fast."""

_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MEANINGLESS: Final = frozenset("AzC")


def _is_scannable(pattern: str) -> str:
    """All strings of a request are scanned as one text, so some things cannot be asked."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"is not an RE2 pattern: {_reason(error)}") from None
    if _MEANINGLESS.intersection(_ESCAPE.findall(pattern)):
        raise ValueError(r"must not use `\A`, `\z` or `\C`; `^` and `$` stand for the ends of a line")
    if compiled.search("") is not None:
        raise ValueError("matches the empty text, and so every request")
    return pattern


def _reason(error: re2.error) -> str:
    reason = error.args[0] if error.args else "unknown"
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


Pattern = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_is_scannable)]


class _Filter(Rule):
    message: Annotated[str, Field(max_length=500)] = ""
    """What the client is told; a sentence of the gateway's own when it is not said."""


class PatternsFilter(_Filter):
    """Refuses requests in which a pattern occurs, in any string and at any depth."""

    kind: Literal["patterns"]
    patterns: Annotated[list[Pattern], Field(min_length=1, max_length=1_000)]
    """RE2 expressions: linear in time, hence no look-around, no back-references. `(?i)` ignores case."""

    def _compiled(self, name: str) -> tuple[FilterRule, ...]:
        kind, patterns = FilterKind.PATTERNS, tuple(self.patterns)
        return (FilterRule(name=name, kind=kind, mode=self.mode, patterns=patterns, message=self.message),)


class SecretsFilter(_Filter):
    """Refuses requests that carry credentials: keys of clouds and services, private keys, tokens."""

    kind: Literal["secrets"]

    def _compiled(self, name: str) -> tuple[FilterRule, ...]:
        return (FilterRule(name=name, kind=FilterKind.SECRETS, mode=self.mode, message=self.message),)


FilterSpelling = Annotated[
    Annotated[PatternsFilter, Tag("(patterns)")]
    | Annotated[SecretsFilter, Tag("(secrets)")]
    | Annotated[SwitchedOff, Tag(OFF_TAG)],
    kinds_by_name("kind", "patterns", "secrets"),
]
