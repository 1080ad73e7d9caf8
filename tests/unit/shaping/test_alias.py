"""Facts about `gateway/shaping/alias.py`."""

from collections.abc import Callable
from dataclasses import replace

from gateway.core.call import Call
from gateway.core.endpoint import JSON, Endpoint
from gateway.core.policy import Model
from gateway.shaping.alias import alias


def test_a_name_that_the_upstream_knows_stays(chat: Callable[..., Call], model: Model) -> None:
    assert alias(chat(), model) is None


def test_an_alias_becomes_the_upstreams_name(chat: Callable[..., Call], model: Model) -> None:
    assert alias(chat(model="fast"), replace(model, upstream_model="deployment-7")) == "deployment-7"


def test_a_request_without_a_model_names_the_one_it_was_judged_as(model: Model) -> None:
    images = Endpoint("images", "POST", "/v1/images", "images", default_model="gpt-4o")

    assert alias(Call(images, JSON, b"{}"), model) == "gpt-4o"
