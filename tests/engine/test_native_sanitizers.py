"""Inference as C++ under the address, undefined-behaviour and thread sanitizers; see native_test.cpp."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine import _ops
from tests.cpu_vnni.test_native import FLAGS, ROOT, X86, compile_kernels, run

ROOMS = [ROOT / "engine/src" / room for room in ("infer", "text", "model")]
AVX512 = {"avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma"]}
ISA_FLAGS = {**FLAGS, **(AVX512 if X86 else {})}
COMMON = ["-g1", "-ffp-contract=off", "-fno-math-errno", "-fno-sanitize-recover=all"]
MEMORY = ["-O1", *COMMON, "-fsanitize=address,undefined,float-divide-by-zero,float-cast-overflow"]
THREADS = ["-O1", *COMMON, "-fsanitize=thread"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # other tests may share the cores


def build(folder: Path, flags: list[str]) -> Path:
    def compile_one(source: Path) -> Path:
        own = ISA_FLAGS.get(source.stem.rsplit("_", 1)[-1], [])
        obj = folder / f"{source.stem}.o"
        warnings = ["-Wall", "-Wextra", "-Werror", "-D_GLIBCXX_ASSERTIONS"]
        run(
            "g++",
            "-std=c++17",
            *warnings,
            f"-I{ROOT}",
            f"-I{ROOT}/engine/src",
            *flags,
            *own,
            "-c",
            source,
            "-o",
            obj,
        )
        return obj

    sources = [source for room in ROOMS for source in sorted(room.glob("*.cpp"))]
    sources = [source for source in sources if not source.stem.startswith("bindings")]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, [*sources, ROOT / "tests/engine/native_test.cpp"]))
    program = folder / "native_test"
    run("g++", *flags, *objects, *compile_kernels(folder, flags, ISA_FLAGS), "-pthread", "-o", program)
    return program


def test_inference_under_sanitizers(tmp_path: Path) -> None:
    assert run(build(tmp_path, MEMORY)).split() == _ops.kernels_supported()


def test_threads_under_the_thread_sanitizer(tmp_path: Path) -> None:
    program = build(tmp_path, THREADS)
    done = subprocess.run([program, "threads"], capture_output=True, text=True, timeout=240)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the thread sanitizer cannot run with this kernel's address layout")
    assert done.stdout.split() == ["threads"], done.stderr[-2000:]
