from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from gateway.simulator.errors import Refusal
from gateway.simulator.schema import example


class Mood(Enum):
    CALM = "calm"


class Step(BaseModel):
    explanation: str
    next: "Step | None"


class Everything(BaseModel):
    name: Annotated[str, Field(min_length=20)]
    code: Annotated[str, Field(max_length=3)]
    day: date
    mood: Mood
    kind: Literal["only"]
    share: Annotated[float, Field(ge=0, le=1)]
    age: Annotated[int, Field(gt=17, lt=21)]
    tags: Annotated[list[str], Field(min_length=2)]
    step: Step
    children: list["Everything"] = []
    missing: None = None


def test_a_model_of_every_simple_kind_is_satisfied() -> None:
    Everything.model_validate(example(Everything.model_json_schema()))


def test_a_schema_that_forks_without_end_stays_small() -> None:
    fork: dict[str, Any] = {"properties": {name: {"$ref": "#"} for name in "abcdefgh"}}
    fork["required"] = list(fork["properties"])

    assert len(str(example(fork))) < 100_000


def test_a_schema_that_asks_for_too_much_stays_small() -> None:
    assert len(example({"type": "array", "minItems": 10**9})) == 100
    assert len(example({"type": "string", "minLength": 10**9})) == 10_000


def test_a_broken_schema_is_refused() -> None:
    with pytest.raises(Refusal):
        example({"type": "integer", "minimum": "many"})
