"""Calls, rules and people to shape with."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from gateway.core.call import Call
from gateway.core.endpoint import JSON, Dialect, Endpoint
from gateway.core.policy import Catalogue, Model, Policy, ShapingRule
from gateway.core.principal import Principal
from gateway.wire.parse import parse_json

CHAT = Endpoint("chat_completions", "POST", "/v1/chat/completions", "chat", dialect=Dialect.CHAT)
RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses", dialect=Dialect.RESPONSES)


class Words:
    """A tokenizer that counts words, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def total(self, texts: Iterable[str], encoding: str) -> int:
        self.asked.append(list(texts))
        return sum(len(text.split()) for text in self.asked[-1])


@pytest.fixture
def tokenizer() -> Words:
    return Words()


@pytest.fixture
def principal() -> Principal:
    return Principal(subject="search/daily", team="search", key_id="k1", key_name="daily")


@pytest.fixture
def model() -> Model:
    return Model(name="gpt-4o", upstream="openai", upstream_model="gpt-4o", context_window=100)


@pytest.fixture
def chat() -> Callable[..., Call]:
    """A chat request with these members."""

    def call(endpoint: Endpoint = CHAT, **members: Any) -> Call:
        return parse_json(endpoint, JSON, msgspec.json.encode({"model": "gpt-4o", **members}))

    return call


@pytest.fixture
def policy() -> Callable[..., Policy]:
    """A policy with these shaping rules."""

    def of(*rules: ShapingRule) -> Policy:
        return Policy(team="search", version="v1", catalogue=Catalogue({}), shaping=rules)

    return of
