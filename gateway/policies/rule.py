"""What all rules of policy files have in common: a mode, and one key that tells their kind.

A rule turns itself into values of `core.policy`: none when it is off, several when it names several members.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field

from gateway.core.decision import Mode

OFF_TAG: Final = "(off)"


class Node(BaseModel):
    """A mapping in a policy file. Unknown keys are refused; descriptions of keys go into the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Rule(Node):
    mode: Mode = Mode.ENFORCE
    """`off`; `shadow` counts and logs what would have happened; `warn` also tells the client; `enforce`."""

    def compiled(self, name: str) -> tuple[Any, ...]:
        """The rule as values of `core.policy`; none when it is off."""
        return () if self.mode is Mode.OFF else self._compiled(name)

    def _compiled(self, name: str) -> tuple[Any, ...]:
        raise NotImplementedError


class SwitchedOff(Node):
    """Takes an inherited rule away."""

    mode: Literal["off"]
    """Nothing but `off`. A rule that says more replaces the inherited one."""

    def compiled(self, _name: str) -> tuple[Any, ...]:
        return ()


def kinds_by_verb(*verbs: str, **kinds: tuple[str, ...]) -> Discriminator:
    """Tells rules apart by the one of these keys that they have. `kinds` have several to choose from.

    Tags are `(verb)` or `(kind)`, as no key is.
    """
    tags = {verb: kind for kind, group in kinds.items() for verb in group} | {verb: verb for verb in verbs}

    def tag(value: Any) -> str | None:
        if not isinstance(value, dict):
            return None
        if value == {"mode": "off"}:
            return OFF_TAG
        found = [verb for verb in tags if verb in value]
        return f"({tags[found[0]]})" if len(found) == 1 else None

    return _discriminator(tag, f"must have exactly one of {spoken(tuple(tags))}")


def kinds_by_name(key: str, *names: str) -> Discriminator:
    """Tells rules apart by the name that one of their keys holds."""

    def tag(value: Any) -> str | None:
        if not isinstance(value, dict):
            return None
        if value == {"mode": "off"}:
            return OFF_TAG
        return f"({value[key]})" if value.get(key) in names else None

    return _discriminator(tag, f"must have a `{key}`: {spoken(names)}")


def _discriminator(tag: Callable[[Any], str | None], message: str) -> Discriminator:
    return Discriminator(tag, custom_error_type="unclear_rule", custom_error_message=message)


def spoken(words: tuple[str, ...]) -> str:
    """`a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}" if len(quoted) > 1 else quoted[0]


def _is_pattern(name: str) -> str:
    if not name or any(character in "?[]" or character.isspace() for character in name):
        raise ValueError("must be a name, in which `*` stands for any run of characters")
    return name


NamePattern = Annotated[str, Field(max_length=128), AfterValidator(_is_pattern)]
NamePatterns = Annotated[tuple[NamePattern, ...], Field(min_length=1)]
EVERYTHING: Final = ("*",)
HolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What a team, a key, an issuer or a service is called: safe in labels, counters and paths."""
