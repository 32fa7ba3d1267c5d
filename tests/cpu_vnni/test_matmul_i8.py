"""matmul_i8 of every instruction set against NumPy's integers and against the portable one."""

from __future__ import annotations

import numpy as np
import pytest

from engine import _ops

# What the model is made of: (N, K).
MODEL_SHAPES = [
    (160, 160),
    (480, 160),
    (640, 160),
    (160, 320),
    (128, 160),
    (512, 128),
    (128, 256),
    (256, 128),
]
BATCHES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 64]
SIZES = range(1, 131)  # past all edges of registers and tiles


@pytest.fixture(params=_ops.kernels_compiled())
def isa(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name not in _ops.kernels_supported():
        pytest.skip(f"this CPU has no {name}")
    return name


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact: float64 holds every sum of so few products."""
    return (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.int32)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape, dtype=np.int8)


def check(isa: str, a: np.ndarray, b: np.ndarray) -> None:
    out = _ops.matmul_i8(isa, a, b)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, product(a, b), err_msg=f"a {a.shape}, b {b.shape}")


def test_every_small_size(isa: str) -> None:
    """All N and K up to 130, each with another M; then every M."""
    weights, rows = draw(0, 130 * 130), draw(1, 130 * 130)
    for N in SIZES:
        for K in SIZES:
            M = BATCHES[(N + K) % len(BATCHES)]
            check(isa, rows[: M * K].reshape(M, K), weights[: N * K].reshape(N, K))
    for M in SIZES:
        check(isa, rows[: M * 35].reshape(M, 35), weights[: 50 * 35].reshape(50, 35))


@pytest.mark.parametrize(("N", "K"), MODEL_SHAPES)
def test_shapes_of_the_model(isa: str, N: int, K: int) -> None:
    b = draw(1, N, K)
    for M in BATCHES:
        a = draw(M, M, K)
        check(isa, a, b)
        np.testing.assert_array_equal(_ops.matmul_i8(isa, a, b), _ops.matmul_i8("portable", a, b))


@pytest.mark.parametrize("K", [511, 512, 513, 1023, 1024, 1025, 3000])
def test_long_rows(isa: str, K: int) -> None:
    for N in (1, 16, 35, 130):
        check(isa, draw(2, 6, K), draw(3, N, K))


@pytest.mark.parametrize("M", [1, 2, 3, 4, 9, 33])
@pytest.mark.parametrize("shape", [(17, 19), (160, 320), (33, 1025)])
def test_extreme_values(isa: str, M: int, shape: tuple[int, int]) -> None:
    """A kernel that saturates between additions fails here. -128 too, though the model never uses it."""
    N, K = shape
    for a in (-128, -127, 127):
        for b in (-128, -127, 127):
            check(isa, np.full((M, K), a, np.int8), np.full((N, K), b, np.int8))
    rng = np.random.default_rng(M)
    check(
        isa,
        rng.choice(np.array([-127, 127], np.int8), (M, K)),
        rng.choice(np.array([-127, 127], np.int8), (N, K)),
    )


@pytest.mark.parametrize(("M", "N", "K"), [(0, 16, 16), (3, 0, 16), (3, 20, 0), (0, 0, 0)])
def test_empty(isa: str, M: int, N: int, K: int) -> None:
    out = _ops.matmul_i8(isa, np.zeros((M, K), np.int8), np.zeros((N, K), np.int8))
    np.testing.assert_array_equal(out, np.zeros((M, N), np.int32))


def test_a_row_does_not_depend_on_its_batch(isa: str) -> None:
    a, b = draw(4, 64, 160), draw(5, 480, 160)
    whole = _ops.matmul_i8(isa, a, b)
    for M in (1, 2, 3, 7):
        np.testing.assert_array_equal(_ops.matmul_i8(isa, a[:M], b), whole[:M])


def test_names_of_instruction_sets() -> None:
    compiled, supported = _ops.kernels_compiled(), _ops.kernels_supported()
    assert compiled[0] == supported[0] == "portable"
    assert [name for name in compiled if name in supported] == supported


def test_an_unknown_instruction_set_is_refused_by_name() -> None:
    a = np.zeros((1, 1), np.int8)
    with pytest.raises(ValueError, match=r"unknown instruction set 'sse9' \(this build has portable"):
        _ops.matmul_i8("sse9", a, a)
    with pytest.raises(ValueError, match="unknown instruction set '中"):
        _ops.matmul_i8("中" * 100, a, a)


def test_an_instruction_set_the_cpu_lacks_is_refused() -> None:
    lacking = [name for name in _ops.kernels_compiled() if name not in _ops.kernels_supported()]
    if not lacking:
        pytest.skip("this CPU has every instruction set in the build")
    a = np.zeros((1, 1), np.int8)
    for name in lacking:
        with pytest.raises(
            ValueError, match=rf"this CPU lacks the instruction set '{name}' \(it has portable"
        ):
            _ops.matmul_i8(name, a, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((2, 3), np.int8), np.zeros((2, 4), np.int8)),
        (np.zeros(3, np.int8), np.zeros((2, 3), np.int8)),
        (np.zeros((2, 3), np.int16), np.zeros((2, 3), np.int8)),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.int8)),
        (np.zeros((3, 2), np.int8).T, np.zeros((2, 3), np.int8)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match="takes C-contiguous int8 arrays"):
        _ops.matmul_i8("portable", a, b)


def test_sums_that_could_leave_32_bits_are_refused() -> None:
    a = np.zeros((1, 131072), np.int8)
    with pytest.raises(ValueError, match="K up to 131071, not 131072"):
        _ops.matmul_i8("portable", a, a)
