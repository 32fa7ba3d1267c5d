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


@pytest.fixture
def check_wheel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("check_wheel", str(ROOT / "deploy/check_wheel"))
    spec = importlib.util.spec_from_loader("check_wheel", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_wheel_is_tried_with_the_python_of_its_tag(check_wheel: ModuleType) -> None:
    here = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    name = "personal_lm-0.1.0-{0}-{0}-manylinux_2_35_{1}.whl"
    machine = platform.machine()
    assert check_wheel.interpreter(Path(name.format(here, machine))) == sys.executable
    assert check_wheel.interpreter(Path(name.format("cp399", machine))) is None
    assert check_wheel.interpreter(Path(name.format(here, "riscv64"))) is None, "another machine's"


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
