"""The Makefile: its help names every target, and what a machine lacks is said in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing was built."""
    for path in ("Makefile", "setup.py", "pyproject.toml", ".ci/constraints.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Without what a running make tells the makes inside it.
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        [shutil.which("make") or "make", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**inherited, **environment},
    )


def own_lines(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in run.stderr.splitlines() if line.startswith("make: ") and "***" not in line]


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_help_is_the_default_and_names_every_target(bare: Path) -> None:
    run = make(bare)
    listed = set(re.findall(r"^  make ([\w-]+) ", run.stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (help .*)$", (bare / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert listed == set(phony[1].split())
    assert {"build", "serve", "chat", "test", "lint", "bench"} <= listed
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize("reason", ["exit 1", "exit 127"])
def test_an_old_or_missing_python_is_one_line(bare: Path, reason: str) -> None:
    run = make(bare, "build", f"PYTHON={script(bare, 'oldpython', reason)}")
    assert run.returncode == 2
    (line,) = own_lines(run)
    assert "Python 3.11 or newer is needed" in line
    assert "apt-get install python3.11-venv python3.11-dev, then make PYTHON=python3.11 serve" in line
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize(("lacking", "package"), [("ensurepip", "python3-venv"), ("Python.h", "python3-dev")])
def test_a_part_of_python_that_is_missing_is_one_line(bare: Path, lacking: str, package: str) -> None:
    python = script(bare, "python", f'case "$*" in *{lacking}*) exit 1 ;; esac')
    run = make(bare, "build", f"PYTHON={python}")
    assert run.returncode == 2
    (line,) = own_lines(run)
    assert f"apt-get install {package}" in line


def test_a_missing_compiler_is_one_line(bare: Path) -> None:
    programs = bare / "programs"
    programs.mkdir()
    for program in ("sh", "find", "cksum", "cut", "pwd"):
        (programs / program).symlink_to(shutil.which(program) or "")
    python = script(bare, "python", "exit 0")
    run = make(bare, "build", f"PYTHON={python}", PATH=str(programs))
    assert run.returncode == 2
    (line,) = own_lines(run)
    assert "apt-get install g++" in line


def test_a_moved_checkout_does_not_use_the_old_environment(bare: Path) -> None:
    """An environment holds its own absolute path: the copy would run the original's program."""
    moved = bare.parent / "moved"
    here = make(bare, "-n", "build").stdout
    shutil.copytree(bare, moved)
    there = make(moved, "-n", "build").stdout
    stamps = [set(re.findall(r"\.made-\d+", text)) for text in (here, there)]
    assert len(stamps[0]) == len(stamps[1]) == 1
    assert stamps[0] != stamps[1]


@pytest.mark.parametrize(
    ("said", "status", "line"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "no advisory about 1 packages"),
        ([{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}], 1, "a 1: PYSEC-1"),
        ([{"name": "a", "skip_reason": "not found"}], 0, "skipped"),
        (None, 0, "skipped"),
    ],
)
def test_known_holes_fail_the_lint_and_an_absent_network_does_not(
    tmp_path: Path, said: object, status: int, line: str
) -> None:
    answer = json.dumps({"dependencies": said})
    script = f"print({answer!r})" if said else "raise SystemExit('no network')"
    (tmp_path / "pip_audit.py").write_text(script)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, ROOT / ".ci" / "audit"], env=env, capture_output=True, text=True)
    assert (run.returncode, line in run.stdout) == (status, True), run
    assert run.stdout.count("\n") == 1
