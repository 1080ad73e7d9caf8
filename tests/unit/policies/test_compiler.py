"""Facts about `gateway/policies/compiler.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.identity import Identity
from gateway.policies.compiler import compile_policies, version_of
from gateway.policies.problems import BrokenPolicies

GOLDEN = Path(__file__).parents[2] / "golden" / "policies"
PLACES = {
    "organization": "organization.yaml",
    "models": "models.yaml",
    "prices": "prices.yaml",
    "identity": "identity.yaml",
    "teams": "teams/{}.yaml",
}
WRONG = sorted(path for path in GOLDEN.glob("*/*.yaml") if path.parent.name in PLACES)

KNOWN = {"upstreams": frozenset({"openai"}), "endpoints": frozenset({"chat_completions", "responses"})}


def good_files() -> dict[str, bytes]:
    folder = GOLDEN / "good"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")}


def test_the_good_files_around_the_wrong_ones_are_good() -> None:
    assert list(compile_policies(good_files(), **KNOWN).teams) == ["search"]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_wrong_file_is_refused_with_the_message_beside_it(wrong: Path) -> None:
    name = PLACES[wrong.parent.name].format(wrong.stem)

    with pytest.raises(BrokenPolicies) as broken:
        compile_policies({**good_files(), name: wrong.read_bytes()}, **KNOWN)

    assert f"{broken.value}\n" == wrong.with_suffix(".txt").read_text()


def test_every_mistake_of_every_file_is_told_at_once() -> None:
    files = good_files()
    files["organization.yaml"] = b"limts: {}"
    files["models.yaml"] = b"models:\n  gpt-4o: {upstream: nowhere}\n"
    files["prices.yaml"] = b"models:\n  gpt-4o: {input: -1}\n"
    files["teams/search.yaml"] = b"team: search\nlimits:\n  a: {tokens: -1}\n"

    with pytest.raises(BrokenPolicies) as broken:
        compile_policies(files, **KNOWN)

    assert [(problem.file, problem.line) for problem in broken.value.problems] == [
        ("models.yaml", 2),
        ("organization.yaml", 1),
        ("prices.yaml", 2),
        ("teams/search.yaml", 3),
        ("teams/search.yaml", 3),
    ]


def test_the_version_is_short_and_the_same_for_the_same_files() -> None:
    files = good_files()

    assert version_of(files) == version_of(dict(reversed(files.items())))
    assert len(version_of(files)) == 12
    assert int(version_of(files), 16)


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.update({"models.yaml": files["models.yaml"] + b"\n"}),
        lambda files: files.update({"models.yaml": files["prices.yaml"].replace(b"10", b"11")}),
        lambda files: files.update({"teams/b.yaml": b""}),
        lambda files: files.update({"teams/c.yaml": files.pop("teams/search.yaml")}),
    ],
)
def test_any_change_of_any_file_is_another_version(change: Callable[[dict[str, bytes]], None]) -> None:
    files = good_files()
    change(files)

    assert version_of(files) != version_of(good_files())


def price_version(**changes: bytes | None) -> str:
    """Of the good files with some changed, or taken out."""
    files = good_files() | {f"{name}.yaml": text for name, text in changes.items() if text is not None}
    for name in [f"{name}.yaml" for name, text in changes.items() if text is None]:
        del files[name]
    return compile_policies(files, **KNOWN).catalogue.price_version


def test_the_price_book_has_a_version_of_its_own() -> None:
    assert len(price_version()) == 12
    assert int(price_version(), 16)
    assert price_version(prices=b"models: {gpt-4o: {input: 2.50, output: 11}}") != price_version()
    assert price_version(models=good_files()["models.yaml"] + b"\n") == price_version()
    assert price_version(organization=b"") == price_version()


def test_without_a_price_book_nothing_has_a_price() -> None:
    files = good_files()
    del files["prices.yaml"]

    catalogue = compile_policies(files, **KNOWN).catalogue

    assert [model.prices for model in catalogue.models.values()] == [(), ()]
    assert catalogue.ceiling is None
    assert catalogue.price_version == price_version(prices=b"")


def test_without_an_identity_file_nobody_else_vouches_for_anybody() -> None:
    assert compile_policies(good_files(), **KNOWN).identity == Identity()


def test_the_identity_file_is_part_of_the_version() -> None:
    identity = {"identity.yaml": b"forwarders: [10.0.0.0/8]"}

    policies = compile_policies(good_files() | identity, **KNOWN)

    assert [str(network) for network in policies.identity.forwarders] == ["10.0.0.0/8"]
    assert policies.version == version_of(good_files() | identity) != version_of(good_files())
