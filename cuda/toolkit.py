"""nvcc, wherever it is, and what it makes of the sources here: for setup.py and the tests.

Objects and what ptxas says of them are kept by content in build/cuda.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "cuda"
HOST_DEVICE = ROOT / "engine/src/host_device"  # what the CPU's code includes too
KEPT = ROOT / "build/cuda"

TARGETS = ("sm_80", "sm_86", "sm_89", "sm_90")  # A100; RTX 30; RTX 40 and L4; H100
HOST = ["-std=c++17", "-O3", "-Xcompiler", "-fPIC,-fvisibility=hidden", "-Xcompiler", "-Wall,-Wextra"]
# No fused products but where fmaf says so: inference must give the CPU's bits (cuda/infer_math.h).
FLAGS = [
    *HOST,
    "-fmad=false",
    "-Xptxas",
    "-v",
    "-Werror",
    "all-warnings",
    f"-I{KERNELS}",
    f"-I{ROOT}/engine/src",
]
# No source asks for its target, so one PTX serves all: half the time, and ptxas makes the same code of it.
FLAGS += ["-gencode", f"arch=compute_{TARGETS[0][3:]},code=[{','.join(TARGETS)}]"]


def run(*command: str | Path) -> str:
    """All that the command prints; RuntimeError if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(str(command[0])).name} failed:\n{done.stderr[-4000:]}")
    return done.stdout + done.stderr


@cache
def find() -> Path | None:
    """The nvcc of this environment (`make cuda` puts it there), else the one on PATH."""
    own = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin/nvcc"))
    found = own[-1] if own else shutil.which("nvcc")
    return Path(found) if found else None


def nvcc() -> Path:
    found = find()
    if found is None:
        raise RuntimeError("no nvcc: `make cuda` brings it")
    return found


def runtime() -> Path:
    """The runtime library as a file: PyPI's toolkit has none without a version, which -lcudart would want.

    nvcc may be a wrapper on PATH, so it is asked where it lies, and not guessed from.
    """
    top = re.search(r"^#\$ TOP=(.*)$", run(nvcc(), "--dryrun", "-x", "cu", os.devnull), re.MULTILINE)
    places = [nvcc().parent.parent / "lib", *(Path(top[1], end) for end in ("lib64", "lib") if top)]
    found = [file for place in places for file in sorted(place.glob("libcudart.so*"))]
    if not found:
        raise RuntimeError(f"no libcudart.so beside nvcc in {places[-1]}: `make cuda` brings it")
    return found[0].resolve()


@cache
def version() -> str:
    return run(nvcc(), "--version")


def compiled(source: Path, flags: Sequence[str] = FLAGS, headers: Sequence[Path] = ()) -> tuple[Path, str]:
    """The object of one source, for all targets if it has kernels, and what was said in making it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    read = [*sorted(KERNELS.glob("*.h")), *sorted(HOST_DEVICE.glob("*.h")), *headers, source]
    recipe = [version().encode(), *(f.read_bytes() for f in read), *map(str.encode, flags)]
    digest = hashlib.sha256(b"\0".join(recipe)).hexdigest()[:16]
    obj = KEPT / f"{source.stem}.nvcc.{digest}.o"
    report = obj.with_suffix(".txt")
    if not (obj.exists() and report.exists()):
        scratch = obj.with_suffix(f".{os.getpid()}.o")
        report.write_text(run(nvcc(), *flags, "-c", source, "-o", scratch))
        scratch.replace(obj)
    return obj, report.read_text()


def linked(objects: Sequence[Path], module: Path) -> Path:
    """A shared object that finds the runtime library where it is now."""
    library, scratch = runtime(), module.with_suffix(f".{os.getpid()}.so")
    words = ["-shared", "-cudart", "none", "-Xlinker", f"-rpath={library.parent}", f"-L{library.parent}"]
    run(nvcc(), *words, *objects, f"-l:{library.name}", "-o", scratch)
    scratch.replace(module)
    return module
