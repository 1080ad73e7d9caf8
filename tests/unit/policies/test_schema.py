"""Facts about `gateway/policies/schema.py`."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.decision import Mode
from gateway.core.policy import AllowList, Price, Rates
from gateway.policies.price_lines import Prices
from gateway.policies.schema import (
    FileKind,
    Models,
    ModelSpelling,
    Organization,
    Team,
    json_schema,
)


def test_a_model_is_called_the_same_upstream_unless_it_says_otherwise() -> None:
    assert ModelSpelling(upstream="openai").compiled("gpt-4o").upstream_model == "gpt-4o"
    assert ModelSpelling(upstream="azure", upstream_model="d7").compiled("gpt-4o").upstream_model == "d7"


def test_a_deprecation_is_a_date() -> None:
    model = ModelSpelling(upstream="openai", deprecated="2027-01-14").compiled("gpt-4o")

    assert model.deprecated == "2027-01-14"


def test_a_model_has_the_lines_of_the_book_that_bear_its_name() -> None:
    models = Models.model_validate({"models": {"a": {"upstream": "openai"}, "b": {"upstream": "openai"}}})
    book = Prices.model_validate({"models": {"a": {"input": 1}}, "ceiling": {"input": 100}})

    catalogue = models.compiled(book, "77d1")

    assert catalogue.models["a"].prices == (Price(Rates(input=1_000_000)),)
    assert catalogue.models["b"].prices == ()
    assert (catalogue.price_version, catalogue.ceiling) == ("77d1", Rates(input=100_000_000))


def test_a_catalogue_finds_models_by_their_aliases() -> None:
    models = Models.model_validate(
        {"models": {"gpt-4o": {"upstream": "openai"}}, "aliases": {"fast": "gpt-4o"}}
    )

    catalogue = models.compiled()

    assert catalogue.find("fast") is catalogue.models["gpt-4o"]


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (["gpt-4o"], AllowList(("gpt-4o",))),
        ({"allow": ["gpt-4o"], "mode": "warn"}, AllowList(("gpt-4o",), Mode.WARN)),
        ([], AllowList(())),
    ],
)
def test_an_allow_list_can_be_short_or_long(spelling: Any, expected: AllowList) -> None:
    allowed = Organization.model_validate({"models": spelling}).models

    assert allowed is not None
    assert allowed.compiled() == expected


@pytest.mark.parametrize("name", ["search", "Team-7", "a.b_c"])
def test_a_team_name_can_stand_in_labels_and_keys(name: str) -> None:
    assert Team(team=name).team == name


@pytest.mark.parametrize("name", ["", "{search}", "a b", "-a", "a" * 65, "ä"])
def test_a_team_name_that_could_be_misread_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Team(team=name)


@pytest.mark.parametrize("kind", FileKind)
def test_the_schema_of_a_file_describes_every_key_and_closes_every_object(kind: FileKind) -> None:
    schema = json_schema(kind)

    objects = {name: node for name, node in schema["$defs"].items() if "properties" in node}
    assert len(schema["anyOf"]) == 1
    assert all(node["additionalProperties"] is False for node in objects.values())
    missing = [f"{name}.{key}" for name, node in objects.items() for key in node["properties"]]
    missing = [key for key in missing if "description" not in _property(objects, key) and key not in OBVIOUS]
    assert missing == []


OBVIOUS = {
    "Clamp.at_least",
    "Clamp.at_most",
    "Default.default",
    "Default.value",
    "Force.force",
    "Force.value",
    "Guard.guard",
    "PatternsFilter.kind",
    "SecretsFilter.kind",
}


def _property(nodes: dict[str, Any], key: str) -> dict[str, Any]:
    node, _, name = key.partition(".")
    return nodes[node]["properties"][name]  # type: ignore[no-any-return]


def test_the_schema_of_all_files_has_one_alternative_for_each_kind() -> None:
    assert [file["$ref"] for file in json_schema()["anyOf"]] == [
        "#/$defs/Organization",
        "#/$defs/Models",
        "#/$defs/Prices",
        "#/$defs/Identities",
        "#/$defs/Team",
    ]


@pytest.mark.parametrize("name", ["RateLimit", "BudgetRule", "IncreaseSpelling"])
def test_the_schema_asks_for_exactly_one_unit(name: str) -> None:
    node = json_schema()["$defs"][name]

    units = [each["required"] for each in node["oneOf"]]
    assert {"requests", "images", "audio_seconds"} <= {unit for [unit] in units}
    assert all(unit in node["properties"] for [unit] in units)
    assert (["dollars"] in units) == (name != "RateLimit")


def test_the_schema_takes_one_scope_or_a_list() -> None:
    per = json_schema()["$defs"]["BudgetRule"]["properties"]["per"]

    scope = {"$ref": "#/$defs/Scope"}
    assert per["anyOf"] == [scope, {"type": "array", "items": scope, "minItems": 1, "uniqueItems": True}]
