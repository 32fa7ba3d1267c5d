"""The rooms of the engine: each imports only from itself and from those before it, never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_layers import imports_of, name, python_files

ENGINE = Path(__file__).parents[2] / "engine"
ROOMS = (
    "model",
    "likelihood",
    "inference",
    "training",
    "reading",
    "emergency",
    "library",
    "grounding",
    "cli",
)
# Where a function may import: a native module that may not be there, and what only some runs need.
LATE = {
    "engine/model/device.py": {"engine"},
    "engine/training/history.py": {"matplotlib.backends.backend_agg", "matplotlib.figure"},
    "engine/cli/conversation.py": {"readline"},
    "engine/cli/emergency.py": {"engine.emergency.training"},  # NumPy, for training alone
    "engine/emergency/evaluation.py": {"matplotlib.figure"},
}


def modules() -> dict[str, Path]:
    """The engine's modules by dotted name, without its front door, which imports them late."""
    paths = {".".join(p.relative_to(ENGINE.parent).with_suffix("").parts): p for p in python_files("engine")}
    return {module.removesuffix(".__init__"): path for module, path in paths.items() if path.parent != ENGINE}


def arrows() -> dict[str, set[str]]:
    """What each module imports of the others, also where only a type is named or a function imports."""
    ours = modules()
    return {module: modules_named(path) & ours.keys() - {module} for module, path in ours.items()}


def modules_named(path: Path) -> set[str]:
    """Dotted names that a module imports. `from engine.library import store` names the module `store` there,
    and the room itself only where something else is taken of it."""
    ours, named = modules(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= (inner & ours.keys()) | (set() if inner <= ours.keys() else {node.module})
    return named


def test_every_module_lies_in_a_room() -> None:
    assert {module.split(".")[1] for module in modules()} == set(ROOMS)
    assert [p.name for p in ENGINE.glob("*.py")] == ["__init__.py"]


def test_rooms_import_only_what_lies_before_them() -> None:
    back = [
        f"{module} imports {target}"
        for module, targets in arrows().items()
        for target in targets
        if ROOMS.index(target.split(".")[1]) > ROOMS.index(module.split(".")[1])
    ]
    assert back == []


def test_no_import_goes_round_in_a_circle() -> None:
    left = arrows()
    while leaves := {module for module, targets in left.items() if not targets & left.keys()}:
        left = {module: targets for module, targets in left.items() if module not in leaves}
    assert sorted(left) == []


def test_no_room_enters_by_the_front_door() -> None:
    """`from engine import Model` inside it would hide an arrow; native modules alone come from there."""
    native = {"engine", "engine._core", "engine._train", "engine._cuda"}
    for module, path in modules().items():
        taken = {
            n for n in imports_of(path) if n == "engine" or (n.count(".") == 1 and n.startswith("engine."))
        }
        assert taken - {f"engine.{room}" for room in ROOMS} <= native, module


@pytest.mark.parametrize("path", python_files("engine"), ids=name)
def test_imports_stand_at_the_top(path: Path) -> None:
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    late = {
        node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert late <= LATE.get(name(path), set())


def test_the_front_door_and_the_list_of_commands_load_neither_numpy_nor_native_code() -> None:
    code = "import sys, engine.cli; print({'numpy', 'engine._core', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
