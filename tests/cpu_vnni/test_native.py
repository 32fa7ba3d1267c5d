"""The int8 kernels as C, without Python around them: run under sanitizers, and what their objects hold."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

from engine import _ops

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "cpu_vnni"
X86 = platform.machine() in ("x86_64", "AMD64")
X86_FLAGS = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avxvnni": ["-mavx2", "-mavxvnni"],
    "avx512vnni": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"],
}
ARM_FLAGS = {
    "neon": [],
    "dotprod": ["-march=armv8.2-a+dotprod"],
    "i8mm": ["-march=armv8.2-a+dotprod+i8mm"],
}
FLAGS = X86_FLAGS if X86 else ARM_FLAGS
SANITIZE = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def compile_kernels(folder: Path, flags: list[str], isa_flags: dict[str, list[str]]) -> list[Path]:
    objects = []
    for source in sorted(KERNELS.glob("*.c")):
        isa = source.stem.rsplit("_", 1)[-1]
        own = isa_flags.get(isa, [])
        objects.append(folder / f"{source.stem}.o")
        run("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", *flags, *own, "-c", source, "-o", objects[-1])
    return objects


def build_native_test(folder: Path, isa_flags: dict[str, list[str]]) -> Path:
    program = folder / "native_test"
    source = ROOT / "tests/cpu_vnni/native_test.c"
    objects = compile_kernels(folder, SANITIZE, isa_flags)
    run(
        "gcc",
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        *SANITIZE,
        f"-I{ROOT}",
        source,
        *objects,
        "-o",
        program,
    )
    return program


def test_kernels_under_sanitizers(tmp_path: Path) -> None:
    assert run(build_native_test(tmp_path, FLAGS)).split() == _ops.kernels_supported()


@pytest.mark.skipif("avx512vnni" not in _ops.kernels_supported(), reason="this CPU has no AVX-512 VNNI")
def test_avxvnni_in_the_encoding_of_avx512(tmp_path: Path) -> None:
    """Most machines have one of the two encodings of vpdpbusd; the source is the same for both."""
    program = build_native_test(tmp_path, {**FLAGS, "avxvnni": ["-mavx512vl", "-mavx512vnni"]})
    assert run(program, "avxvnni").split() == ["avxvnni"]


def test_objects_share_nothing_but_their_table(tmp_path: Path) -> None:
    """A function with an outside name could be merged with that of an object for a lesser CPU."""
    for obj in compile_kernels(tmp_path, ["-O3"], FLAGS):
        isa = obj.stem.rsplit("_", 1)[-1]
        if isa not in _ops.kernels_compiled():
            continue
        symbols = [
            line.split()[-1] for line in run("nm", "--extern-only", "--defined-only", obj).splitlines()
        ]
        assert symbols == [f"cpu_vnni_{isa}"]


@pytest.mark.parametrize("isa", sorted({**X86_FLAGS, **ARM_FLAGS}))
def test_elsewhere_than_on_its_processors_a_kernel_file_is_empty(isa: str) -> None:
    elsewhere = ["-U__x86_64__", "-U__aarch64__"]
    assert not run("gcc", "-E", "-P", *elsewhere, KERNELS / f"matmul_i8_{isa}.c").strip()


def test_only_dispatch_asks_for_the_cpu() -> None:
    asks = re.compile(r"__builtin_cpu|cpuid|xgetbv|getauxval", re.IGNORECASE)
    assert [f.name for f in KERNELS.iterdir() if f.suffix in (".c", ".h") and asks.search(f.read_text())] == [
        "dispatch.c"
    ]
