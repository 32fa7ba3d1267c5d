"""Where measurements of the bot are kept: tests/bench/load/bot.jsonl, a line for each run of a command."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.service import descendants

RECORDS = Path(__file__).with_name("bot.jsonl")


def record(what: str, figures: Mapping[str, Any]) -> None:
    """Add a line: what was measured, when, on which device and commit, and the figures."""
    head = {"what": what, "date": time.strftime("%Y-%m-%d"), "device": device(), "commit": commit()}
    with RECORDS.open("a") as file:
        file.write(json.dumps({**head, **figures}, ensure_ascii=False) + "\n")


def parser_for(text: str | None) -> argparse.ArgumentParser:
    """A command whose help is the head of its module."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def device() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def table(rows: list[tuple[object, ...]]) -> str:
    """Rows of cells as lines of Markdown; the first one is the head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def resident_mb(pid: int) -> float:
    """Resident memory of a process and all that it started, in MB (2**20); 0 if it has ended."""
    pages = 0
    for one in (pid, *descendants(pid)):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
