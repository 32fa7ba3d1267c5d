"""The scripts around `make wheel`. The wheel itself is built and tried by `.ci/run`."""

from __future__ import annotations

import importlib.util
import platform
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader(name, str(ROOT / "deploy" / name))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def check_wheel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("check_wheel", monkeypatch)


def test_a_wheel_is_tried_with_the_python_of_its_tag(check_wheel: ModuleType) -> None:
    here = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    name = "personal_lm-0.1.0-{0}-{0}-manylinux_2_35_{1}.whl"
    machine = platform.machine()
    assert check_wheel.interpreter(Path(name.format(here, machine))) == sys.executable
    assert check_wheel.interpreter(Path(name.format("cp399", machine))) is None
    assert check_wheel.interpreter(Path(name.format(here, "riscv64"))) is None, "another machine's"


def test_a_wheel_for_another_machine_is_compiled_and_named_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build_wheel = script("build_wheel", monkeypatch)
    monkeypatch.setattr(build_wheel, "ROOT", tmp_path)
    (tmp_path / "aarch64-linux-gnu-g++").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    set_up = build_wheel.across("aarch64", sys.executable, tmp_path)
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    expected = {
        "CXX": "aarch64-linux-gnu-g++", "PLM_TARGET": "aarch64", "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "SETUPTOOLS_EXT_SUFFIX": f".{tag}-aarch64-linux-gnu.so",
    }  # fmt: skip
    assert expected.items() <= set_up.items()
    with pytest.raises(SystemExit, match=r"no riscv64-linux-gnu-g\+\+"):
        build_wheel.across("riscv64", sys.executable, tmp_path)


def test_what_an_installation_takes_is_counted_by_package_without_pip(
    check_wheel: ModuleType, tmp_path: Path
) -> None:
    packages = tmp_path / "lib/python3.11/site-packages"
    for name, size in {
        "pip/x.py": 9_000_000, "pip-1.dist-info/RECORD": 9_000_000, "numpy/a.so": 3_000_000,
        "numpy.libs/b.so": 2_000_000, "engine/m.py": 1_000_000, "engine/__pycache__/m.pyc": 500_000,
    }.items():  # fmt: skip
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(bytes(size))
    expected = {"all": 6.5, "numpy": 5.0, "engine": 1.0, "bytecode": 0.5, "others": 0}
    assert check_wheel.sizes(tmp_path) == expected


def test_nothing_but_the_environment_is_on_the_path(
    check_wheel: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLM_REDIS_URL", "redis://elsewhere")
    found = check_wheel.environment(Path("/env"), PLM_PORT=1)
    assert (found["PATH"], found["PLM_PORT"], found.get("PLM_REDIS_URL")) == ("/env/bin", "1", None)
