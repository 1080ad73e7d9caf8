"""From a directory of YAML files to a PolicySet: all or nothing.

`organization.yaml` and `models.yaml` stand at the top, and `prices.yaml` if anything has a price. Every other
YAML file, at the top or in `teams/`, is a team's and says which in its `team:` key. So the same files serve
as a tree in a repository and as the flat mount of a ConfigMap. Names that begin with a dot are not looked at,
but for a mount's `..data`: it is followed once, so that all files are of one version even while the mount is
being swapped.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from gateway.policies.compiler import compile_policies
from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies, Problem
from gateway.policies.reading import MODELS, ORGANIZATION

LARGEST_FILE: Final = 1 << 20
MOST_FILES: Final = 10_000

_MOUNT: Final = "..data"
_TEAMS: Final = "teams"
_SUFFIXES: Final = frozenset({".yaml", ".yml"})


def load_policies(directory: Path, *, upstreams: Collection[str], endpoints: Collection[str]) -> PolicySet:
    """The policies of a directory. `upstreams` and `endpoints`: the names that may stand in the files.

    Raises BrokenPolicies with every mistake of every file.
    """
    return compile_policies(read_files(directory), upstreams=upstreams, endpoints=endpoints)


def read_files(directory: Path) -> dict[str, bytes]:
    """The bytes of all policy files, by their path in the directory. Raises BrokenPolicies."""
    mount = directory / _MOUNT
    root = mount.resolve() if mount.exists() else directory
    problems: list[Problem] = []
    files: dict[str, bytes] = {}
    for path in _policy_files(root, problems):
        name = path.relative_to(root).as_posix()
        try:
            files[name] = _read(path)
        except OSError as error:
            problems.append(Problem(name, 0, "", f"cannot be read: {error.strerror or error}"))
    known = files.keys() | {problem.file for problem in problems}
    missing = [name for name in (ORGANIZATION, MODELS) if name not in known]
    problems += [Problem(name, 0, "", f"is missing in {directory}") for name in missing]
    if problems:
        raise BrokenPolicies(sorted(problems))
    return files


def _policy_files(root: Path, problems: list[Problem]) -> list[Path]:
    """All YAML files of the top and of `teams/`, in a fixed order."""
    folders = [root, root / _TEAMS] if (root / _TEAMS).is_dir() else [root]
    try:
        found = [path for folder in folders for path in folder.iterdir()]
    except OSError as error:
        problems.append(Problem(str(root), 0, "", f"cannot be read: {error.strerror}"))
        return []
    paths = sorted(path for path in found if path.suffix in _SUFFIXES and not path.name.startswith("."))
    if len(paths) > MOST_FILES:
        problems.append(Problem(str(root), 0, "", f"has more than {MOST_FILES} policy files"))
    return paths[:MOST_FILES]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(f"it is larger than {LARGEST_FILE} bytes")
    return content
