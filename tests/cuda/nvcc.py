"""The kernels compiled for real devices: `make cuda`, and the gate on what ptxas says of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cuda import toolkit


@dataclass
class Kernel:
    """What ptxas says of one kernel on one target, in bytes but for the registers."""

    name: str
    target: str
    registers: int
    stack: int
    spills: int
    shared: int


def all_compiled(sources: Sequence[Path] | None = None) -> list[tuple[Path, str]]:
    """Every kernel, or those of the given files."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(toolkit.compiled, sources or sorted(toolkit.KERNELS.glob("*.cu"))))


def kernels(report: str) -> list[Kernel]:
    """One entry for each kernel and target in what `ptxas -v` printed."""
    entry = re.compile(
        r"Compiling entry function '(?P<name>\w+)' for '(?P<target>\w+)'.*?"
        r"(?P<stack>\d+) bytes stack frame, "
        r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
        r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
        re.DOTALL,
    )
    found = []
    for m in entry.finditer(report):
        shared = re.search(r"(\d+) bytes smem", m["rest"])
        spills = int(m["stores"]) + int(m["loads"])
        smem = int(shared[1]) if shared else 0
        found.append(Kernel(m["name"], m["target"], int(m["registers"]), int(m["stack"]), spills, smem))
    return found


def library(sources: Sequence[Path] | None = None) -> Path:
    """All kernels, or those of the given files, for all targets in one shared object."""
    objects = [obj for obj, _ in all_compiled(sources)]
    digest = hashlib.sha256("\0".join(map(str, objects)).encode()).hexdigest()[:16]
    module = toolkit.KEPT / f"cuda-devices.{digest}.so"
    return module if module.exists() else toolkit.linked(objects, module)


if __name__ == "__main__":
    if toolkit.find() is None:
        raise SystemExit("no nvcc: `make cuda` brings it")
    print(f"{library().relative_to(toolkit.ROOT)}: {', '.join(toolkit.TARGETS)}")
