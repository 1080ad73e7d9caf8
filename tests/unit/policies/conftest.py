"""A small set of policy files, and ways to write others."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from gateway.core.policy import Policy
from gateway.policies.compiler import compile_policies
from gateway.policies.policy_set import PolicySet

UPSTREAMS = frozenset({"openai", "azure"})
ENDPOINTS = frozenset({"chat_completions", "responses", "embeddings", "images_generations"})

ORGANIZATION = """
models: [gpt-4o*]
limits:
  team-tokens: {per: team, tokens: 1000}
"""
MODELS = """
models:
  gpt-4o: {upstream: openai}
  gpt-4o-mini: {upstream: openai, deprecated: 2027-01-14, replacement: gpt-4o}
  o3: {upstream: openai, deprecated: 2026-12-11}
  gpt-image-1: {upstream: openai}
  house-model: {upstream: azure, upstream_model: deployment-7}
aliases: {fast: gpt-4o-mini, hidden: o3}
"""
TEAM = "team: search\n"


def files(**texts: str) -> dict[str, bytes]:
    """The small set; `organization`, `models`, `prices`, `identity` and team names say other text."""
    wanted = {"organization": ORGANIZATION, "models": MODELS, "search": TEAM, **texts}
    paths = {name: f"{name}.yaml" for name in ("organization", "models", "prices", "identity")}
    return {paths.get(name, f"teams/{name}.yaml"): dedent(text).encode() for name, text in wanted.items()}


@pytest.fixture
def policy_files() -> Callable[..., dict[str, bytes]]:
    return files


@pytest.fixture
def compiled() -> Callable[..., PolicySet]:
    def compile_texts(**texts: str) -> PolicySet:
        return compile_policies(files(**texts), upstreams=UPSTREAMS, endpoints=ENDPOINTS)

    return compile_texts


@pytest.fixture
def known() -> Mapping[str, Any]:
    """What loaders are told of the world."""
    return {"upstreams": UPSTREAMS, "endpoints": ENDPOINTS}


@pytest.fixture
def policy(compiled: Callable[..., PolicySet]) -> Callable[..., Policy]:
    """The policy of a team `search` whose file has this text, after its name."""

    def team_policy(text: str = "") -> Policy:
        return compiled(search=TEAM + dedent(text)).teams["search"].policy

    return team_policy


@pytest.fixture
def directory(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small set, or another, into a directory."""

    def write(**texts: str) -> Path:
        for name, content in files(**texts).items():
            path = tmp_path / "policies" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "policies"

    return write
