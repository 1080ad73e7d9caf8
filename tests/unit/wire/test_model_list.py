"""The models endpoints' answers."""

import msgspec

from gateway.core.policy import Model
from gateway.wire.model_list import model_list, one_model

GPT = Model(name="gpt-4o", upstream="openai", upstream_model="gpt-4o-2024-08-06", deprecated="2027-01-14")
HOUSE = Model(name="house", upstream="azure", upstream_model="deployment-7")


def test_a_model_is_told_in_openais_shape() -> None:
    assert msgspec.json.decode(one_model(GPT)) == {
        "id": "gpt-4o",
        "object": "model",
        "created": 0,
        "owned_by": "openai",
        "shutdown_date": "2027-01-14",
    }


def test_the_list_holds_the_given_models_in_their_order() -> None:
    listed = msgspec.json.decode(model_list([HOUSE, GPT]))
    assert [entry["id"] for entry in listed["data"]] == ["house", "gpt-4o"]


def test_the_list_has_openais_shape() -> None:
    assert msgspec.json.decode(model_list([])) == {"object": "list", "data": []}


def test_what_the_upstream_calls_a_model_is_not_told() -> None:
    assert b"deployment-7" not in model_list([HOUSE])
