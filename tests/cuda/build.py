"""Builds kernels for the host: checked (GCC's thread-sanitizer hooks feed our checker) or asan (address and
undefined-behaviour sanitizers). Objects are kept by content in build/cuda: a second run compiles nothing."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pybind11

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "cuda"
HOST_DEVICE = ROOT / "engine/src/host_device"
SHIM = ROOT / "tests/cuda/shim"
SEEDED_FAULTS = ROOT / "tests/cuda/seeded_faults"
PARTS = ROOT / "tests/cuda/parts"
KEPT = ROOT / "build/cuda"

SUPPORTED = platform.machine() in ("x86_64", "AMD64") and platform.system() == "Linux"

COMMON = ["-std=c++17", "-g1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
COMMON += [
    "-Wno-unknown-pragmas",
    "-ffp-contract=off",
    f"-I{SHIM}",
    f"-iquote{KERNELS}",
    f"-iquote{ROOT}/engine/src",
]
ASAN = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
KERNEL_FLAGS = {"checked": ["-O1", "-fsanitize=thread,alignment"], "asan": ["-O1", *ASAN]}
RUNTIME_FLAGS = {"checked": ["-O2"], "asan": ["-O1", *ASAN]}
# libtsan is not linked: the functions that the compiler calls are the checker's.
LINK_FLAGS = {"checked": ["-Wl,-z,defs"], "asan": ASAN}
ONLY_IN = {"checker.cpp": "checked", "hooks.cpp": "checked", "unchecked.cpp": "asan"}


def run(*command: str | Path, errors: bool = False) -> str:
    """What the command prints, on its error output too if wanted; RuntimeError if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=280)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(str(command[0])).name} failed:\n{done.stderr[-4000:]}")
    return done.stdout + (done.stderr if errors else "")


@cache
def headers_digest() -> bytes:
    files = sorted([*KERNELS.glob("*.h"), *SHIM.glob("*.h"), *HOST_DEVICE.glob("*.h")])
    return hashlib.sha256(
        b"\0".join([run("g++", "--version").encode(), *(f.read_bytes() for f in files)])
    ).digest()


def compiled(source: Path, flags: list[str], headers: bytes = b"") -> Path:
    """The object of one source, made only if none of the same content, headers and flags is there."""
    words = [*COMMON, *flags]
    recipe = headers_digest() + headers + source.read_bytes() + "\0".join(words).encode()
    obj = KEPT / f"{source.stem}.{hashlib.sha256(recipe).hexdigest()[:16]}.o"
    with obj.with_suffix(".lock").open("w") as lock:  # another process of tests may be making it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not obj.exists():
            scratch = obj.with_suffix(f".{os.getpid()}")
            run("g++", *words, "-x", "c++", "-c", source, "-o", scratch)
            scratch.replace(obj)
    return obj


def library_objects(variant: str, folder: Path) -> list[Path]:
    """All kernels in `folder`, and the shim."""
    KEPT.mkdir(parents=True, exist_ok=True)
    runtime = [f for f in sorted(SHIM.glob("*.cpp")) if ONLY_IN.get(f.name, variant) == variant]
    jobs = [(f, KERNEL_FLAGS[variant]) for f in sorted(folder.glob("*.cu"))]
    jobs += [(f, RUNTIME_FLAGS[variant]) for f in runtime]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda job: compiled(*job), jobs))


def linked(name: str, objects: list[Path], flags: list[str]) -> Path:
    digest = hashlib.sha256("\0".join(map(str, objects)).encode()).hexdigest()[:16]
    module = KEPT / f"{name}.{digest}.so"
    if not module.exists():
        scratch = module.with_suffix(f".{os.getpid()}")
        run("g++", "-shared", *objects, *flags, "-o", scratch)
        scratch.replace(module)
    return module


def library(variant: str, folder: Path = KERNELS) -> Path:
    """A shared object of all kernels in `folder` and the shim; `variant` is "checked" or "asan"."""
    return linked(f"{folder.name}-{variant}", library_objects(variant, folder), LINK_FLAGS[variant])


def back_end(variant: str) -> Path:
    """engine._cuda on the executor: its host code as it is, against the shim instead of CUDA's runtime."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kernels = library_objects(variant, KERNELS)
    words = [
        *RUNTIME_FLAGS[variant],
        f"-I{ROOT}",
        f"-I{ROOT}/engine/src",
        f"-isystem{pybind11.get_include()}",
    ]
    words += [f"-isystem{sysconfig.get_path('include')}"]
    host = ROOT / "engine/src/cuda"
    sources = [*sorted(KERNELS.glob("*.cpp")), *sorted(host.glob("*.cpp"))]
    infer, text = host.parent / "infer", host.parent / "text"
    shared = ("vector_ops_portable", "network", "sampling", "trunk_state", "wygpt_penalty")
    sources += [*(infer / f"{name}.cpp" for name in shared), text / "text.cpp"]
    lower = [
        f for folder in (host, infer, text, host.parent / "train") for f in sorted(folder.glob("*.[hi]*"))
    ]
    headers = b"\0".join(f.read_bytes() for f in lower)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = kernels + list(pool.map(lambda source: compiled(source, words, headers), sources))
    return linked("_cuda", objects, [flag for flag in LINK_FLAGS[variant] if flag != "-Wl,-z,defs"])


def vector_ops_reference() -> Path:
    """The CPU's float work of inference with C names: vector_ops_reference.cpp."""
    KEPT.mkdir(parents=True, exist_ok=True)
    own = ROOT / "tests/cuda/vector_ops_reference.cpp"
    infer = ROOT / "engine/src/infer"
    sources = [own, infer / "vector_ops_portable.cpp"]
    content = [f.read_bytes() for f in (*sources, infer / "vector_ops.h", infer / "vector_ops.inc")]
    module = KEPT / f"vector_ops.{hashlib.sha256(b''.join(content)).hexdigest()[:16]}.so"
    if not module.exists():
        scratch = module.with_suffix(f".{os.getpid()}")
        flags = [
            "-std=c++17",
            "-O1",
            "-ffp-contract=off",
            "-fPIC",
            "-shared",
            f"-I{ROOT}",
            f"-I{ROOT}/engine/src",
        ]
        run("g++", *flags, *sources, "-o", scratch)
        scratch.replace(module)
    return module
