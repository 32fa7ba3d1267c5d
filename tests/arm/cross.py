"""The program of native_test.cpp for 64-bit Arm, run here or under qemu, and its instructions counted."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.model.checkpoint import ModelFile
from engine.model.config import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
HERE = platform.machine() == "aarch64"
PREFIX = "" if HERE else "aarch64-linux-gnu-"
QEMU = "qemu-aarch64-static"
# As setup.py has them.
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
IN_ORDER = "-fno-schedule-insns"
FLAGS = {
    "neon": [IN_ORDER],
    "neonbf16": [IN_ORDER, "-march=armv8.2-a+bf16"],
    "dotprod": [IN_ORDER, "-march=armv8.2-a+dotprod"],
    "i8mm": [IN_ORDER, "-march=armv8.2-a+dotprod+i8mm"],
}
TRAINING = ["-ffp-contract=fast", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"]
KERNELS = ["dispatch", *(f"matmul_i8_{isa}" for isa in ("portable", "neon", "dotprod", "i8mm"))]
INFERENCE = [
    *("batcher", "character_model", "generation", "network", "sampling", "session", "step"),
    *("trunk_state", "weights", "wygpt_penalty", "vector_ops_portable", "vector_ops_neon"),
]
TRAIN = ["memory", "ops_dispatch", "ops_portable", "ops_neon", "ops_neonbf16"]
SOURCES = [
    *(f"cpu_vnni/{name}.c" for name in KERNELS),
    *(f"engine/src/infer/{name}.cpp" for name in INFERENCE),
    *(f"engine/src/train/{name}.cpp" for name in TRAIN),
    *("engine/src/text/stop_strings.cpp", "engine/src/text/text.cpp", "engine/src/model/tensors.cpp"),
    "tests/arm/native_test.cpp",
]
# Compiled as one, as setup.py does: their headers are most of the work.
TOGETHER = {
    "generation": ["batcher", "generation", "network", "sampling", "session"],
    "model": ["character_model", "trunk_state", "weights"],
}


def missing() -> str:
    """What this machine lacks to build and run the program, "" if nothing."""
    wanted = ["g++"] if HERE else [f"{PREFIX}g++", f"{PREFIX}gcc", QEMU]
    lacking = [name for name in wanted if shutil.which(name) is None]
    return f"no {', '.join(lacking)} (g++-aarch64-linux-gnu, qemu-user-static)" if lacking else ""


def run(*command: str | Path, timeout: float = 240) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command[0]}: {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def compiled(source: Path, folder: Path, flags: Iterable[str]) -> Path:
    obj = folder / f"{source.stem}.o"
    compiler, standard = ("gcc", "c11") if source.suffix == ".c" else ("g++", "c++17")
    include = [f"-I{ROOT}", f"-I{ROOT}/engine/src"]
    run(f"{PREFIX}{compiler}", f"-std={standard}", *WARNINGS, *flags, *include, "-c", source, "-o", obj)
    return obj


def build(folder: Path, optimize: str = "-O2") -> Path:
    """The program, linked statically. What is counted is compiled as setup.py does, the rest with less."""
    units, alone = [], set(SOURCES)
    for unit, names in TOGETHER.items():
        members = [f"engine/src/infer/{name}.cpp" for name in names]
        units.append(folder / f"{unit}.cpp")
        units[-1].write_text("".join(f'#include "{ROOT / member}"\n' for member in members))
        alone -= set(members)

    def compile_one(source: Path) -> Path:
        isa = source.stem.rsplit("_", 1)[-1]
        counted = isa in (*FLAGS, "portable") or source in units or source.stem == "step"
        flags = ["-O3" if counted else optimize, "-fno-math-errno", *FLAGS.get(isa, [])]
        training = source.parent.name == "train"
        return compiled(source, folder, [*flags, *(TRAINING if training else ["-ffp-contract=off"])])

    sources = [*units, *(ROOT / source for source in sorted(alone))]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    return link(folder / "native_test", objects)


def link(program: Path, objects: Iterable[Path]) -> Path:
    run(f"{PREFIX}g++", "-static", "-pthread", *objects, "-o", program)
    return program


def emulate(program: Path, *arguments: str | Path, cpu: str = "max", options: Iterable[str] = ()) -> str:
    """Runs the program. Elsewhere than under qemu the CPU is the one that is there."""
    before = [] if HERE else [QEMU, "-cpu", cpu, *options]
    return run(*before, program, *arguments)


def count(program: Path, name: str, isa: str, *model: Path, repeats: tuple[int, int] = (1, 2)) -> float:
    """Instructions of one repetition of a work: the difference of two runs, so that the start drops out.

    qemu logs each block of instructions once with its code, and its address each time that it runs.
    """
    first, second = (total(program, name, isa, str(n), *model) for n in repeats)
    return (second - first) / (repeats[1] - repeats[0])


def total(program: Path, *work: str | Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        fifo = Path(folder) / "log"
        os.mkfifo(fifo)
        command = [QEMU, "-cpu", "max", "-d", "in_asm,exec,nochain", "-D", fifo, program, "work", *work]
        with subprocess.Popen([str(word) for word in command]) as process, fifo.open("rb") as log:
            counted = instructions(log)
        assert process.returncode == 0, f"{work}: {process.returncode}"
        return counted


def instructions(log: Iterable[bytes]) -> int:
    sizes: dict[bytes, int] = {}
    runs: Counter[bytes] = Counter()
    block, size = b"", 0
    place = re.compile(rb"/([0-9a-f]{16})/")
    for line in log:
        if line.startswith(b"Trace"):
            found = place.search(line)
            if found:
                runs[found[1]] += 1
        elif line.startswith(b"0x"):
            if not block:
                block = line[2:10].rjust(16, b"0") if line[10:11] == b":" else line[2:18]
            size += 1
        elif block:
            sizes[block], block, size = size, b"", 0
    return sum(times * sizes[where] for where, times in runs.items())


def dump(file: ModelFile, prompt: bytes, path: Path) -> Path:
    """A model file and a prompt as native_test.cpp reads them."""
    config = file.config
    assert isinstance(config, ModelConfig)
    parts: list[bytes] = []
    for name, value in asdict(config).items():
        word = name if isinstance(value, str) else f"size {name}"
        parts.append(f"{word} {value}\n".encode())
    parts += [f"prompt {len(prompt)}\n".encode(), prompt, b"\n"]
    for name in config.tensors:
        tensor = file.tensors[name]
        if tensor.dtype == np.int8:
            scale = np.ascontiguousarray(file.tensors[f"{name}.scale"], np.float32)
            parts.append(f"tensor {name} {tensor.size} {scale.size}\n".encode())
            parts += [tensor.tobytes(), scale.tobytes(), b"\n"]
        else:
            values = np.ascontiguousarray(file.float32(name))
            parts += [f"tensor {name} 0 {values.size}\n".encode(), values.tobytes(), b"\n"]
    path.write_bytes(b"".join(parts))
    return path
