"""Which filter does what a rule asks for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.core.policy import FilterKind
from gateway.filters.interfaces import Filter
from gateway.filters.patterns import Patterns
from gateway.filters.secrets import Secrets

FILTERS: Final[Mapping[FilterKind, Filter]] = MappingProxyType(
    {FilterKind.PATTERNS: Patterns(), FilterKind.SECRETS: Secrets()}
)
