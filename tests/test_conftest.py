"""PLM_REQUIRE turns the skips it names into failures, and no others; the list of slow modules is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SLOW_MODULES

HOUSE_RULES = Path(__file__).with_name("conftest.py")
TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no Redis server on PATH")
def test_marked():
    pass

def test_called():
    pytest.skip("needs CUDA")
"""


@pytest.mark.parametrize(
    ("required", "summary"),
    [
        ("", "2 skipped"),
        ("redis", "1 skipped, 1 error"),
        ("cuda, redis", "1 failed, 1 error"),
        ("chromium", "2 skipped"),
    ],
)
def test_required_things_are_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str, summary: str
) -> None:
    monkeypatch.setenv("PLM_REQUIRE", required)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "conftest.py").write_text(HOUSE_RULES.read_text())
    (tmp_path / "test_it.py").write_text(TESTS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert summary in run.stdout.splitlines()[-1], run.stdout + run.stderr


def test_every_slow_module_is_there() -> None:
    root = HOUSE_RULES.parent.parent
    assert [module for module in SLOW_MODULES if not (root / module).exists()] == []


def test_slow_modules_are_left_out_and_others_are_not() -> None:
    asked = ["tests/test_conftest.py", "tests/bot/test_latency.py", "-m", "not slow", "--collect-only", "-q"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *asked],
        capture_output=True,
        text=True,
        cwd=HOUSE_RULES.parent.parent,
    )
    assert "tests/test_conftest.py::test_every_slow_module_is_there" in run.stdout, run.stderr
    assert "tests/bot/test_latency.py::" not in run.stdout
