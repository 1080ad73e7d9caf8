"""Imports point one way: the table below is the law."""

import ast
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from tests.repo.tree import modules

GROUND: Final = {"core"}
TOOLS: Final = {"wire", "telemetry", "background", "database", "signals", "audit"}
CONCERNS: Final = {
    *{"auth", "policies", "limits", "filters", "shaping", "upstream", "metering", "ownership"},
}
JOURNEY: Final = {
    *{"gate", "expectation", "accounting", "recovery", "relay", "oversight", "local_answers", "draining"},
    *{"explaining", "pipeline", "rehearsal"},
}
EDGES: Final = {"server", "admin"}
BELOW_APP: Final = GROUND | TOOLS | CONCERNS | JOURNEY | EDGES

MAY_IMPORT: Final[dict[str, set[str]]] = {
    "core": set(),
    **dict.fromkeys(TOOLS, GROUND),
    "audit": GROUND | {"database"},
    **dict.fromkeys(CONCERNS, GROUND | TOOLS),  # never each other
    "gate": GROUND,
    "expectation": GROUND | TOOLS | CONCERNS,
    "accounting": GROUND | TOOLS | CONCERNS | {"expectation"},
    "recovery": GROUND | TOOLS | CONCERNS,
    "draining": GROUND | TOOLS,
    "relay": GROUND | TOOLS | CONCERNS,
    "oversight": GROUND | TOOLS | CONCERNS | {"relay"},
    "local_answers": GROUND | TOOLS | CONCERNS,
    "explaining": GROUND | TOOLS | CONCERNS,
    "pipeline": GROUND | TOOLS | CONCERNS | JOURNEY - {"pipeline", "rehearsal"},
    "rehearsal": GROUND | TOOLS | CONCERNS | {"explaining", "gate", "pipeline"},
    **dict.fromkeys(EDGES, GROUND | TOOLS | CONCERNS | JOURNEY),
    "settings": GROUND | {"wire"},  # a YAML file is read, and its mistakes told, in one way
    "simulator": set(),  # a stand-in for OpenAI shares nothing with what it tests
    "app": BELOW_APP | {"settings"},
    "cli": BELOW_APP | {"settings", "app", "simulator"},
    "__main__": {"cli"},
    "__init__": set(),
}
"""For each room (a folder or a file of gateway/): the other rooms that it may import."""

WAITING: Final = {
    "asyncio",
    "selectors",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
}
"""Standard modules that do I/O or wait: not for `core` and `wire`."""


def room_of(module: str) -> str:
    """`gateway.core.call`, `gateway/core/call.py` -> `core`; the package itself -> `__init__`."""
    parts = module.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "gateway":
            yield from ((node.lineno, f"gateway.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "."


def strays(file: str, tree: ast.Module) -> Iterator[str]:
    """One sentence for each import of ours that points the wrong way."""
    room = room_of(file)
    allowed = MAY_IMPORT.get(room, set())
    for line, module in imports(tree):
        other = room_of(module)
        ours = module.split(".")[0] == "gateway" and not other.startswith("__")
        if ours and other != room and other not in allowed:
            yield f"{file}:{line} imports {module}; {room} may import {sorted(allowed) or 'nothing'}"


def outsiders(file: str, tree: ast.Module) -> Iterator[str]:
    """One sentence for each import in `core` that is not of ours and not of the standard library."""
    for line, module in imports(tree):
        top = module.split(".")[0]
        if top != "gateway" and top not in sys.stdlib_module_names:
            yield f"{file}:{line} imports {module}"


def waiters(file: str, tree: ast.Module) -> Iterator[str]:
    """One sentence for each thing in the file that waits or is there for waiting."""
    for line, module in imports(tree):
        if module.split(".")[0] in WAITING:
            yield f"{file}:{line} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{file}:{node.lineno} waits"


def test_every_room_of_the_gateway_has_its_row_in_the_table() -> None:
    assert {room_of(file) for file in modules()} <= set(MAY_IMPORT)


def test_imports_point_one_way() -> None:
    assert [stray for file, tree in modules().items() for stray in strays(file, tree)] == []


def test_core_stands_on_the_standard_library_alone() -> None:
    core = {file: tree for file, tree in modules().items() if room_of(file) == "core"}
    assert [found for file, tree in core.items() for found in outsiders(file, tree)] == []


def test_wire_never_waits() -> None:
    wire = {file: tree for file, tree in modules().items() if room_of(file) == "wire"}
    assert [found for file, tree in wire.items() for found in waiters(file, tree)] == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("gateway/core/call.py", "import gateway.wire.sse"),
        ("gateway/auth/bearer.py", "from gateway.limits.bucket import Bucket"),
        ("gateway/limits/memory/limiter.py", "def late():\n    from gateway import pipeline"),
        ("gateway/server/proxy.py", "from gateway.settings import Settings"),
        ("gateway/simulator/chat.py", "from gateway.wire import sse"),
        ("gateway/pipeline.py", "if TYPE_CHECKING:\n    from gateway.server.reply import Reply"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(file: str, source: str) -> None:
    assert len(list(strays(file, ast.parse(source)))) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("gateway/cli/main.py", "from gateway import __version__"),
        ("gateway/limits/memory/limiter.py", "from gateway.limits.bucket import Bucket"),
        ("gateway/server/proxy.py", "from gateway.pipeline import Pipeline"),
        ("gateway/core/call.py", "import dataclasses"),
    ],
)
def test_an_import_that_points_the_right_way_is_let_be(file: str, source: str) -> None:
    assert list(strays(file, ast.parse(source))) == []
