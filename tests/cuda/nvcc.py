"""The kernels compiled for real devices: `make cuda`, and the gate on what ptxas says of them.

Objects and ptxas' reports are kept by content in build/cuda.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import build

TARGETS = ("sm_80", "sm_86", "sm_89", "sm_90")  # A100; RTX 30; RTX 40 and L4; H100
# No fused products but where fmaf says so: inference must give the CPU's bits (cuda/infer_math.h).
FLAGS = ["-std=c++17", "-O3", "-fmad=false", "-Xptxas", "-v", "-Xcompiler", "-fPIC,-fvisibility=hidden"]
FLAGS += ["-Xcompiler", "-Wall,-Wextra", "-Werror", "all-warnings", f"-I{build.KERNELS}"]


@dataclass
class Kernel:
    """What ptxas says of one kernel on one target, in bytes but for the registers."""

    name: str
    target: str
    registers: int
    stack: int
    spills: int
    shared: int


@cache
def find() -> Path | None:
    """The nvcc of this environment (`make cuda` puts it there), else the one on PATH."""
    own = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin/nvcc"))
    found = own[-1] if own else shutil.which("nvcc")
    return Path(found) if found else None


def toolkit_libraries() -> Path:
    """Where the runtime library lies. nvcc may be a wrapper on PATH, so it is asked and not guessed from."""
    nvcc = find()
    assert nvcc is not None
    own = nvcc.parent.parent / "lib"
    if own.is_dir():
        return own
    said = build.run(nvcc, "--dryrun", "-x", "cu", "/dev/null", errors=True)
    top = re.search(r"^#\$ TOP=(.*)$", said, re.MULTILINE)
    return Path(top[1] if top else "/usr/local/cuda", "lib64")


def compiled(source: Path) -> tuple[Path, str]:
    """The object of one source for all targets, and ptxas' report."""
    nvcc = find()
    assert nvcc is not None
    build.KEPT.mkdir(parents=True, exist_ok=True)
    targets = [word for t in TARGETS for word in ("-gencode", f"arch=compute_{t[3:]},code={t}")]
    headers = b"\0".join(f.read_bytes() for f in sorted(build.KERNELS.glob("*.h")))
    recipe = [
        build.run(nvcc, "--version").encode(),
        headers,
        source.read_bytes(),
        *map(str.encode, FLAGS + targets),
    ]
    obj = build.KEPT / f"{source.stem}.nvcc.{hashlib.sha256(b''.join(recipe)).hexdigest()[:16]}.o"
    report = obj.with_suffix(".txt")
    if not (obj.exists() and report.exists()):
        scratch = obj.with_suffix(f".{os.getpid()}.o")
        said = build.run(nvcc, *FLAGS, *targets, "-c", source, "-o", scratch, errors=True)
        report.write_text(said)
        scratch.replace(obj)
    return obj, report.read_text()


def all_compiled() -> list[tuple[Path, str]]:
    sources = sorted(build.KERNELS.glob("*.cu"))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(compiled, sources))


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


def library() -> Path:
    """All kernels for all targets in one shared object, with the runtime library beside it."""
    nvcc = find()
    assert nvcc is not None
    objects = [obj for obj, _ in all_compiled()]
    digest = hashlib.sha256("\0".join(map(str, objects)).encode()).hexdigest()[:16]
    module = build.KEPT / f"cuda-devices.{digest}.so"
    if not module.exists():
        place = toolkit_libraries()
        words = ["-shared", "-cudart", "shared", f"-L{place}", "-Xlinker", f"-rpath={place}"]
        scratch = module.with_suffix(f".{os.getpid()}.so")
        build.run(nvcc, *words, *objects, "-o", scratch)
        scratch.replace(module)
    return module


if __name__ == "__main__":
    if find() is None:
        raise SystemExit("no nvcc: `make cuda` brings it")
    print(f"{library().relative_to(build.ROOT)}: {', '.join(TARGETS)}")
