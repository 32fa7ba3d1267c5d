"""PLM_REQUIRE turns the skips it names into failures, and no others; the list of slow modules is true; tests
marked `alone` are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FIRST_MODULES, SLOW_MODULES

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


def test_every_module_named_is_there() -> None:
    root = HOUSE_RULES.parent.parent
    assert [module for module in (*SLOW_MODULES, *FIRST_MODULES) if not (root / module).exists()] == []


SHARED = """
import pathlib, time, pytest

def begin_and_end(seconds):
    with open("times", "a") as times:
        print(MARK, time.monotonic(), file=times)
        time.sleep(seconds)
        print(MARK, time.monotonic(), file=times)

@pytest.mark.parametrize("number", range(COUNT))
@MARKER
def test_it(number):
    begin_and_end(SECONDS)
"""


@pytest.mark.slow
def test_no_test_of_another_process_runs_beside_one_that_is_to_be_alone(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOUSE_RULES.read_text())
    for mark, marker, count, seconds in (("a", "alone", 2, 0.3), ("b", "slow", 20, 0.02)):
        text = SHARED.replace("MARKER", f"pytest.mark.{marker}").replace("MARK", repr(mark))
        text = text.replace("COUNT", str(count)).replace("SECONDS", str(seconds))
        (tmp_path / f"test_{mark}.py").write_text(text)
    options = ["-p", "xdist", "-n", "2", "--dist", "loadfile", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--timeout", "60", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "22 passed" in run.stdout, run.stdout + run.stderr
    rows = [line.split() for line in (tmp_path / "times").read_text().splitlines()]
    spans = {mark: sorted(float(moment) for name, moment in rows if name == mark) for mark in ("a", "b")}
    assert len(spans["b"]) == 40
    for begin, end in zip(spans["a"][::2], spans["a"][1::2], strict=True):
        assert not [moment for moment in spans["b"] if begin < moment < end]


def test_slow_modules_are_left_out_and_others_are_not() -> None:
    asked = ["tests/test_conftest.py", "tests/bot/test_latency.py", "-m", "not slow", "--collect-only", "-q"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *asked],
        capture_output=True,
        text=True,
        cwd=HOUSE_RULES.parent.parent,
    )
    assert "tests/test_conftest.py::test_every_module_named_is_there" in run.stdout, run.stderr
    assert "tests/bot/test_latency.py::" not in run.stdout
