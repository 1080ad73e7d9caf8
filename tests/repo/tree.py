"""The project's own files, as the tests in this folder read them. Knows where things are, judges nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
GATEWAY: Final = ROOT / "gateway"
_NOT_OURS: Final = {
    *{".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "__pycache__"},
    *{"node_modules", "var", "build", "dist"},
}


def name_of(path: Path) -> str:
    """The path as people write it: `gateway/core/call.py`."""
    return path.relative_to(ROOT).as_posix()


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file that belongs to the project, below `folder`."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name in _NOT_OURS or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def modules(folder: Path = GATEWAY) -> dict[str, ast.Module]:
    """The parsed Python files below `folder`, by name."""
    return {
        name_of(path): ast.parse(path.read_text(encoding="utf-8"), name_of(path))
        for path in files(folder)
        if path.suffix == ".py"
    }
