"""Shaping as policy files spell it: clamp, default, force, strip, guard. All speak of top-level members."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, Tag, model_validator

from gateway.core.policy import ShapingKind, ShapingRule
from gateway.policies.rule import EVERYTHING, OFF_TAG, NamePatterns, Rule, SwitchedOff, kinds_by_verb

UNTOUCHABLE: Final = frozenset({"model", "stream", "stream_options"})
"""What was judged, or what the gateway itself needs: aliases change the model, nothing changes the stream."""


def _is_shapeable(member: str) -> str:
    if member in UNTOUCHABLE:
        raise ValueError("cannot be shaped; to send another model, write an alias in models.yaml")
    return member


def _listed(members: Any) -> Any:
    return [members] if isinstance(members, str) else members


def _whole(number: float) -> float:
    """4096 stays 4096: `max_tokens: 4096.0` would be refused upstream."""
    return int(number) if number.is_integer() else number


Member = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"), AfterValidator(_is_shapeable)]
Members = Annotated[
    list[Member], BeforeValidator(_listed, json_schema_input_type=Member | list[Member]), Field(min_length=1)
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False), AfterValidator(_whole)]


class _Shaping(Rule):
    endpoints: NamePatterns = EVERYTHING
    """The endpoints whose requests it shapes. `*` stands for any run of characters."""
    models: NamePatterns = EVERYTHING
    """The models whose requests it shapes."""

    def _rule(self, name: str, kind: ShapingKind, member: str = "", **more: Any) -> ShapingRule:
        return ShapingRule(
            name=name,
            kind=kind,
            mode=self.mode,
            member=member,
            endpoints=self.endpoints,
            models=self.models,
            **more,
        )


class Clamp(_Shaping):
    """Keeps a number within bounds. A member that the client left out stays out: give it a default."""

    clamp: Members
    """One member or several."""
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("must have `at_least`, `at_most` or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("`at_least` is above `at_most`")
        return self

    def _compiled(self, name: str) -> tuple[ShapingRule, ...]:
        bounds = {"at_least": self.at_least, "at_most": self.at_most}
        return tuple(self._rule(name, ShapingKind.CLAMP, member, **bounds) for member in self.clamp)


class Default(_Shaping):
    """Fills in a member that the client left out, or set to null."""

    default: Member
    value: JsonValue

    def _compiled(self, name: str) -> tuple[ShapingRule, ...]:
        return (self._rule(name, ShapingKind.DEFAULT, self.default, value=self.value),)


class Force(_Shaping):
    """Sets a member, whatever the client said."""

    force: Member
    value: JsonValue = None
    from_: Literal["principal.subject", "principal.team"] | None = Field(None, alias="from")
    """In place of a value: who asks."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if ("value" in self.model_fields_set) == (self.from_ is not None):
            raise ValueError("must have exactly one of `value` and `from`")
        return self

    def _compiled(self, name: str) -> tuple[ShapingRule, ...]:
        source = self.from_.removeprefix("principal.") if self.from_ else None
        rule = self._rule(name, ShapingKind.FORCE, self.force, value=self.value, from_principal=source)
        return (rule,)


class Strip(_Shaping):
    """Takes members out."""

    strip: Members
    """One member or several."""

    def _compiled(self, name: str) -> tuple[ShapingRule, ...]:
        return tuple(self._rule(name, ShapingKind.STRIP, member) for member in self.strip)


class Guard(_Shaping):
    """Refuses, before it is sent, an input that is longer than the model's context window."""

    guard: Literal["context_window"]

    def _compiled(self, name: str) -> tuple[ShapingRule, ...]:
        return (self._rule(name, ShapingKind.CONTEXT_WINDOW),)


ShapingSpelling = Annotated[
    Annotated[Clamp, Tag("(clamp)")]
    | Annotated[Default, Tag("(default)")]
    | Annotated[Force, Tag("(force)")]
    | Annotated[Strip, Tag("(strip)")]
    | Annotated[Guard, Tag("(guard)")]
    | Annotated[SwitchedOff, Tag(OFF_TAG)],
    kinds_by_verb("clamp", "default", "force", "strip", "guard"),
]
