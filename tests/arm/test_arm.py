"""64-bit Arm: cross-compiled and run under qemu, each instruction set against the portable code and x86."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from engine import Model
from engine.model.catalog import find_model
from engine.model.checkpoint import read_model
from tests.arm import cross

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(cross.missing()), reason=f"arm: {cross.missing()}"),
]
CPUS = {
    "cortex-a72": (["portable", "neon"], ["neon", "portable"]),  # as in a Raspberry Pi 4
    "neoverse-n1": (["portable", "neon", "dotprod"], ["neon", "portable"]),  # Graviton 2, Ampere
    "max": (["portable", "neon", "dotprod", "i8mm"], ["neonbf16", "neon", "portable"]),
}
LEVELS = CPUS["max"][0]
PROMPT = "何謂氣血？".encode()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross.build(tmp_path_factory.mktemp("arm"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross.dump(read_model(find_model("tcm")), PROMPT, tmp_path_factory.mktemp("model") / "tcm")


@pytest.mark.skipif(cross.HERE, reason="qemu's CPUs are meant")
@pytest.mark.parametrize("cpu", CPUS)
def test_a_CPU_has_the_levels_that_it_can_run(program: Path, cpu: str) -> None:
    inference, training = (line.split() for line in cross.emulate(program, "levels", cpu=cpu).splitlines())
    assert (inference, training) == CPUS[cpu]


def test_the_int8_kernels_give_the_same_sums(program: Path, tmp_path: Path) -> None:
    test = cross.compiled(cross.ROOT / "tests/cpu_vnni/native_test.c", tmp_path, ["-O1"])
    kernels = [program.parent / f"{name}.o" for name in cross.KERNELS]
    printed = cross.emulate(cross.link(tmp_path / "kernels", [test, *kernels]))
    assert printed.split() == LEVELS


def test_the_float_work_of_inference_gives_the_same_bits(program: Path) -> None:
    lines = [line.split() for line in cross.emulate(program, "rows").splitlines()]
    assert lines == [[isa, "portable" if isa == "portable" else "neon"] for isa in LEVELS]


@pytest.mark.parametrize("isa", LEVELS)
def test_the_bundled_model_writes_what_it_writes_here(program: Path, model: Path, isa: str) -> None:
    """Bits of the prompt, text and state: conversations may move between x86 and Arm."""
    there = [bytes.fromhex(line) for line in cross.emulate(program, "write", model, isa, "1", "200").split()]
    session = Model.load("tcm").session()
    bits = session.bits(PROMPT).tobytes()
    written = "".join(session.generate(max_bytes=200, seed=1))
    assert there == [bits, written.encode(), session.native.save()[0]]
    assert len(written) > 30


def test_the_operators_of_training_agree(program: Path) -> None:
    assert cross.emulate(program, "train").split() == CPUS["max"][1]


@pytest.mark.skipif(cross.HERE, reason="qemu counts")
def test_each_level_needs_fewer_instructions(program: Path) -> None:
    """Products for one row and for some; engine/BENCHMARKS.md has the whole table."""
    for rows, at_least in ((1, (1.2, 2.0, 0.9)), (8, (1.5, 2.5, 1.2))):
        counts = [cross.count(program, f"matmul_i8:{rows},160,160", isa) for isa in LEVELS]
        for isa, (before, after), share in zip(LEVELS[1:], pairwise(counts), at_least, strict=True):
            assert before > share * after, f"{rows} rows, {isa}: {before} -> {after}"
