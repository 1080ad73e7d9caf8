"""Facts about `gateway/policies/loader.py`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.core.policy import Counted
from gateway.policies import loader
from gateway.policies.loader import load_policies, read_files
from gateway.policies.problems import BrokenPolicies
from gateway.wire.endpoints import SERVED

Directory = Callable[..., Path]
EXAMPLES = Path(__file__).parents[3] / "policies"


def problems_of(directory: Path) -> list[str]:
    with pytest.raises(BrokenPolicies) as broken:
        read_files(directory)
    return [str(problem) for problem in broken.value.problems]


def test_a_tree_of_files_is_loaded(directory: Directory, known: Mapping[str, Any]) -> None:
    policies = load_policies(directory(support="team: support"), **known)

    assert sorted(policies.teams) == ["search", "support"]


def test_the_flat_mount_of_a_configmap_is_the_same_policies(
    directory: Directory, tmp_path: Path, known: Mapping[str, Any]
) -> None:
    version = tmp_path / "mount" / "..2026_11_20"
    version.mkdir(parents=True)
    for path in directory().rglob("*.yaml"):
        (version / path.name).write_bytes(path.read_bytes())
        (tmp_path / "mount" / path.name).symlink_to(f"..data/{path.name}")
    (tmp_path / "mount" / "..data").symlink_to(version.name)

    assert sorted(read_files(tmp_path / "mount")) == ["models.yaml", "organization.yaml", "search.yaml"]
    assert list(load_policies(tmp_path / "mount", **known).teams) == ["search"]


def test_all_files_of_a_mount_are_of_the_version_it_points_to(directory: Directory, tmp_path: Path) -> None:
    mount = directory()
    (mount / "..new").mkdir()
    for name in ("organization.yaml", "models.yaml"):
        (mount / "..new" / name).write_bytes(b"new")
    (mount / "..data").symlink_to("..new")

    assert read_files(mount) == {"organization.yaml": b"new", "models.yaml": b"new"}


def test_hidden_files_and_other_kinds_of_files_are_not_looked_at(directory: Directory) -> None:
    folder = directory()
    for name in (".hidden.yaml", "README.md", "teams/.search.yaml.swp", "teams/notes.txt", "teams/.x.yaml"):
        (folder / name).write_bytes(b"not a policy")

    assert sorted(read_files(folder)) == ["models.yaml", "organization.yaml", "teams/search.yaml"]


def test_both_spellings_of_the_ending_are_read(directory: Directory) -> None:
    folder = directory()
    (folder / "teams" / "b.yml").write_bytes(b"team: b")

    assert "teams/b.yml" in read_files(folder)


def test_an_empty_directory_lacks_two_files(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == [
        f"models.yaml: is missing in {tmp_path}",
        f"organization.yaml: is missing in {tmp_path}",
    ]


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert f"{tmp_path}/nowhere: cannot be read: No such file or directory" in problems_of(
        tmp_path / "nowhere"
    )


def test_a_file_that_cannot_be_read_is_told(directory: Directory) -> None:
    folder = directory()
    (folder / "teams" / "dangling.yaml").symlink_to("nowhere")
    (folder / "teams" / "folder.yaml").mkdir()

    assert problems_of(folder) == [
        "teams/dangling.yaml: cannot be read: No such file or directory",
        "teams/folder.yaml: cannot be read: Is a directory",
    ]


def test_a_file_has_a_largest_size(directory: Directory) -> None:
    folder = directory()
    (folder / "teams" / "huge.yaml").write_bytes(b"#" * (loader.LARGEST_FILE + 1))
    (folder / "teams" / "large.yaml").write_bytes(b"#" * loader.LARGEST_FILE)

    assert problems_of(folder) == ["teams/huge.yaml: cannot be read: it is larger than 1048576 bytes"]


def test_a_directory_has_a_largest_number_of_files(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "MOST_FILES", 2)

    assert "has more than 2 policy files" in problems_of(directory())[0]


def test_the_example_policies_are_good() -> None:
    endpoints = {endpoint.name for endpoint in SERVED}

    policies = load_policies(EXAMPLES, upstreams={"openai"}, endpoints=endpoints)

    assert sorted(policies.teams) == ["research", "search", "support"]
    assert all(model.upstream == "openai" for model in policies.catalogue.models.values())


def test_the_example_policies_show_what_budgets_can_say() -> None:
    endpoints = {endpoint.name for endpoint in SERVED}

    teams = load_policies(EXAMPLES, upstreams={"openai"}, endpoints=endpoints).teams

    policies = [policy for team in teams.values() for policy in (team.policy, *team.keys.values())]
    budgets = {budget for policy in policies for budget in policy.budgets}
    assert all(any(budget.counts is Counted.DOLLARS for budget in policy.budgets) for policy in policies)
    assert any(budget.increases for budget in budgets)
    assert any(budget.strict for budget in teams["research"].keys["interns"].budgets)
    assert any(len(limit.per) > 1 for policy in policies for limit in policy.limits)


def test_with_the_example_policies_the_first_team_may_use_every_endpoint_and_model() -> None:
    endpoints = {endpoint.name for endpoint in SERVED}
    policy = load_policies(EXAMPLES, upstreams={"openai"}, endpoints=endpoints).teams["search"].policy

    assert policy.endpoints.names == ("*",)
    assert policy.models.names == ("*",)
    defaults = {endpoint.default_model for endpoint in SERVED} - {None}
    assert defaults <= policy.catalogue.models.keys()
