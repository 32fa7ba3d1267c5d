"""Closed and full standard streams, as cron and services leave them: one line, and no traceback."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.service import free_port, wait_until
from tests.tiny_model import write_tiny_model

CLOSED_INPUT = "Error: standard input: is closed; give it a file, or < /dev/null\n"
CLOSED_OUTPUT = "Error: standard output: is closed; give it a file, or > /dev/null\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", dtype="bf16")


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PLM_")}


def plm(arguments: str, redirections: str, module: str = "engine.cli") -> subprocess.CompletedProcess[str]:
    command = f"exec {shlex.quote(sys.executable)} -m {module} {arguments} {redirections}"
    return subprocess.run(
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
    )


@pytest.mark.parametrize("command", ["chat {}", "score {} -", "choose {}"])
def test_a_closed_input_is_one_line(model: Path, command: str) -> None:
    run = plm(command.format(model), "<&-")
    assert (run.returncode, run.stderr, run.stdout) == (1, CLOSED_INPUT, "")


def test_a_closed_output_is_one_line_before_anything_is_done(model: Path) -> None:
    out = model.with_name("int8")
    run = plm(f"quantize {model} {out}", ">&-", "bot.cli")
    assert (run.returncode, run.stderr, out.exists()) == (1, CLOSED_OUTPUT, False)


def test_what_is_written_goes_into_no_file_by_a_closed_stream_s_number(model: Path) -> None:
    """Without care the model that is read would be standard input, and the file that is written output."""
    out = model.with_name("quantized")
    assert plm(f"quantize {model} {out}", "<&- 2>&-").returncode == 0
    assert plm(f"info {out}", "<&-").stdout.startswith("name ")
    assert plm(f"info {out}", "<&- >&- 2>&-").returncode == 1


def test_a_full_output_is_one_line(model: Path) -> None:
    run = plm(f"info {model}", "> /dev/full")
    assert (run.returncode, run.stderr.count("\n"), "No space left" in run.stderr) == (1, 1, True)


@pytest.mark.slow
def test_a_service_runs_without_any_stream(model: Path) -> None:
    port = free_port()
    settings = {"PLM_PORT": str(port), "PLM_MODEL": str(model), "PLM_LIBRARY": "none"}
    command = f"exec {shlex.quote(sys.executable)} -m bot.cli engine <&- >&- 2>&-"
    with subprocess.Popen(["sh", "-c", command], env=clean_environment() | settings) as service:
        try:
            wait_until(lambda: answers(port) or service.poll() is not None, 60, "the engine host answers")
            assert service.poll() is None
        finally:
            service.terminate()


def answers(port: int) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=1).ok
    return False
