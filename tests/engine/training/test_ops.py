"""Every operator: float64 against numpy and finite differences, every instruction set against float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import _ops as ops
from engine import _train

ISAS = _train.supported()
Arrays = tuple[np.ndarray, ...]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rmsnorm(inp: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return inp / np.sqrt((inp**2).mean(-1, keepdims=True) + 1e-5) * weight


def conv(inp: np.ndarray, history: np.ndarray, weight: np.ndarray) -> np.ndarray:
    x = np.concatenate([history, inp], axis=1)
    length = inp.shape[1]
    return sum(x[:, k : k + length] * weight[:, k] for k in range(3))


def scan(fvo: np.ndarray, bias: np.ndarray, s0: np.ndarray) -> np.ndarray:
    f, v, o = np.split(fvo, 3, axis=-1)
    state, rows = s0, []
    for t in range(fvo.shape[1]):
        keep = sigmoid(f[:, t] + bias)
        state = keep * state + (1 - keep) * v[:, t]
        rows.append(state * o[:, t] * sigmoid(o[:, t]))
    return np.stack(rows, axis=1)


def swiglu(inp: np.ndarray) -> np.ndarray:
    gate, up = np.split(inp, 2, axis=-1)
    return gate * sigmoid(gate) * up


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def differences(f: Callable[[np.ndarray], np.ndarray], at: np.ndarray, dout: np.ndarray) -> np.ndarray:
    """Gradient of sum(f(at) * dout) by central differences."""
    gradient = np.zeros_like(at)
    for i in np.ndindex(*at.shape):
        high, low = at.copy(), at.copy()
        high[i] += 1e-5
        low[i] -= 1e-5
        gradient[i] = ((f(high) - f(low)) * dout).sum() / 2e-5
    return gradient


def cast(argument: Any, dtype: type[np.floating]) -> Any:
    """Arrays of real numbers in another precision; everything else as it is."""
    real = isinstance(argument, np.ndarray) and argument.dtype.kind == "f"
    return argument.astype(dtype) if real else argument


def agree(isa: str, function: Callable[..., Any], *arguments: Any, rtol: float = 2e-4) -> None:
    """The instruction set's float32 result is close to the float64 table's on the same numbers."""
    single = [cast(a, np.float32) for a in arguments]
    double = [cast(a, np.float64) for a in single]
    got, want = function(isa, *single), function("float64", *double)
    for g, w in zip(*((x if isinstance(x, tuple) else (x,)) for x in (got, want)), strict=True):
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol * max(1e-30, np.abs(w).max()))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


WIDTHS = [1, 15, 16, 17, 31, 32, 33, 96, 160]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("isa", ISAS)
def test_rmsnorm(isa: str, width: int, rng: np.random.Generator) -> None:
    inp, weight, dout = normal(rng, 5, width), normal(rng, width), normal(rng, 5, width)
    out, rinv = ops.rmsnorm_forward("float64", inp, weight)
    np.testing.assert_allclose(out, rmsnorm(inp, weight), rtol=1e-12)
    agree(isa, ops.rmsnorm_forward, inp, weight)
    agree(isa, ops.rmsnorm_backward, dout, inp, rinv, weight)


def test_rmsnorm_backward_by_differences(rng: np.random.Generator) -> None:
    inp, weight, dout = normal(rng, 3, 7), normal(rng, 7), normal(rng, 3, 7)
    _, rinv = ops.rmsnorm_forward("float64", inp, weight)
    dinp, dweight = ops.rmsnorm_backward("float64", dout, inp, rinv, weight)
    np.testing.assert_allclose(dinp, differences(lambda x: rmsnorm(x, weight), inp, dout), atol=1e-7)
    np.testing.assert_allclose(dweight, differences(lambda w: rmsnorm(inp, w), weight, dout), atol=1e-7)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [1, 2, 3, 9])
@pytest.mark.parametrize("isa", ISAS)
def test_conv(isa: str, length: int, width: int, rng: np.random.Generator) -> None:
    inp, history, weight = normal(rng, 2, length, width), normal(rng, 2, 2, width), normal(rng, width, 3)
    dout = normal(rng, 2, length, width)
    out = ops.conv_forward("float64", inp, history, weight)
    np.testing.assert_allclose(out, conv(inp, history, weight), rtol=1e-10, atol=1e-12)
    agree(isa, ops.conv_forward, inp, history, weight)
    agree(isa, ops.conv_backward, dout, inp, history, weight)


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_conv_backward_by_differences(length: int, rng: np.random.Generator) -> None:
    inp, history, weight = normal(rng, 2, length, 4), normal(rng, 2, 2, 4), normal(rng, 4, 3)
    dout = normal(rng, 2, length, 4)
    dinp, dweight = ops.conv_backward("float64", dout, inp, history, weight)
    np.testing.assert_allclose(dinp, differences(lambda x: conv(x, history, weight), inp, dout), atol=1e-7)
    np.testing.assert_allclose(dweight, differences(lambda w: conv(inp, history, w), weight, dout), atol=1e-7)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("isa", ISAS)
def test_scan(isa: str, width: int, rng: np.random.Generator) -> None:
    fvo, bias, s0 = 2 * normal(rng, 2, 11, 3 * width), normal(rng, width), normal(rng, 2, width)
    dy = normal(rng, 2, 11, width)
    y, a, s = ops.scan_forward("float64", fvo, bias, s0)
    np.testing.assert_allclose(y, scan(fvo, bias, s0), rtol=1e-10, atol=1e-12)
    agree(isa, ops.scan_forward, fvo, bias, s0)
    agree(isa, ops.scan_backward, dy, fvo, a, s, s0)


def test_scan_backward_by_differences(rng: np.random.Generator) -> None:
    fvo, bias, s0 = 2 * normal(rng, 2, 5, 9), normal(rng, 3), normal(rng, 2, 3)
    dy = normal(rng, 2, 5, 3)
    _, a, s = ops.scan_forward("float64", fvo, bias, s0)
    dfvo, dbias = ops.scan_backward("float64", dy, fvo, a, s, s0)
    np.testing.assert_allclose(dfvo, differences(lambda x: scan(x, bias, s0), fvo, dy), atol=1e-7)
    np.testing.assert_allclose(dbias, differences(lambda b: scan(fvo, b, s0), bias, dy), atol=1e-7)


def test_channels_do_not_mix_however_many(rng: np.random.Generator) -> None:
    """Backward passes go through blocks of 512 channels: the last ones alone give the same."""
    fvo, bias, s0, dy = (
        normal(rng, 2, 3, 3, 530),
        normal(rng, 530),
        normal(rng, 2, 530),
        normal(rng, 2, 3, 530),
    )
    history, taps = normal(rng, 2, 2, 530), normal(rng, 530, 3)

    def gradients(c: slice) -> Arrays:
        gates, start, out = fvo[..., c].reshape(2, 3, -1), s0[:, c].copy(), dy[..., c].copy()
        _, a, s = ops.scan_forward("float64", gates, bias[c].copy(), start)
        dfvo, dbias = ops.scan_backward("float64", out, gates, a, s, start)
        inp = fvo[:, :, 0, c].copy()
        dinp, dtaps = ops.conv_backward("float64", out, inp, history[..., c].copy(), taps[c].copy())
        return dfvo.reshape(2, 3, 3, -1), dbias, dinp, dtaps.T

    for whole, last in zip(gradients(slice(0, 530)), gradients(slice(500, 530)), strict=True):
        np.testing.assert_allclose(whole[..., 500:], last, rtol=1e-12)


@pytest.mark.parametrize("isa", ISAS)
def test_scan_stands_extreme_gates(isa: str) -> None:
    fvo = np.full((1, 4, 48), 200.0, np.float32)
    fvo[:, 1::2] = -200.0
    y, a, _ = ops.scan_forward(isa, fvo, np.zeros(16, np.float32), np.zeros((1, 16), np.float32))
    assert np.isfinite(y).all()
    assert ((a >= 0) & (a <= 1)).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("isa", ISAS)
def test_swiglu(isa: str, width: int, rng: np.random.Generator) -> None:
    inp, dout = 3 * normal(rng, 5, 2 * width), normal(rng, 5, width)
    np.testing.assert_allclose(ops.swiglu_forward("float64", inp), swiglu(inp), rtol=1e-12)
    agree(isa, ops.swiglu_forward, inp)
    agree(isa, ops.swiglu_backward, dout, inp)
    if width < 16:
        got = ops.swiglu_backward("float64", dout, inp)
        np.testing.assert_allclose(got, differences(swiglu, inp, dout), atol=1e-7)


@pytest.mark.parametrize("width", [1, 2, 16, 33, 48])
@pytest.mark.parametrize("isa", ISAS)
def test_bilinear_and_groupnorm(isa: str, width: int, rng: np.random.Generator) -> None:
    inp, dout = normal(rng, 5, 2 * width), normal(rng, 5, width)
    np.testing.assert_allclose(
        ops.bilinear_forward("float64", inp), inp[:, :width] * inp[:, width:], rtol=1e-12
    )
    agree(isa, ops.bilinear_forward, inp)
    agree(isa, ops.bilinear_backward, dout, inp)
    out, rinv = ops.groupnorm_forward("float64", inp)
    np.testing.assert_allclose(out, groupnorm(inp), rtol=1e-10, atol=1e-10)
    agree(isa, ops.groupnorm_forward, inp)
    agree(isa, ops.groupnorm_backward, np.tile(dout, 2), out, rinv)


def groupnorm(inp: np.ndarray) -> np.ndarray:
    x = inp - inp.mean(-1, keepdims=True)
    return x / np.sqrt(np.maximum((x**2).sum(-1, keepdims=True), 1e-18) / inp.shape[-1])


def test_bilinear_and_groupnorm_backward_by_differences(rng: np.random.Generator) -> None:
    inp, half, dout = normal(rng, 3, 8), normal(rng, 3, 4), normal(rng, 3, 8)
    got = ops.bilinear_backward("float64", half, inp)
    np.testing.assert_allclose(got, differences(lambda x: x[:, :4] * x[:, 4:], inp, half), atol=1e-7)
    got = ops.groupnorm_backward("float64", dout, *ops.groupnorm_forward("float64", inp))
    np.testing.assert_allclose(got, differences(groupnorm, inp, dout), atol=1e-7)
    constant = np.full((1, 8), 3.0)  # held at 1e-18: nothing infinite
    np.testing.assert_array_equal(ops.groupnorm_forward("float64", constant)[0], np.zeros((1, 8)))


@pytest.mark.parametrize("isa", ISAS)
def test_embedding(isa: str, rng: np.random.Generator) -> None:
    table, ids, dout = normal(rng, 9, 33), np.array([3, 0, 8, 3, 3]), normal(rng, 5, 33)
    np.testing.assert_array_equal(ops.embedding_forward("float64", table, ids), table[ids])
    want = np.zeros((9, 33))
    np.add.at(want, ids, dout)
    np.testing.assert_allclose(ops.embedding_backward("float64", dout, ids, 9), want, rtol=1e-12)
    agree(isa, ops.embedding_forward, table, ids)
    agree(isa, ops.embedding_backward, dout, ids, 9)


@pytest.mark.parametrize("isa", ISAS)
def test_cross_entropy(isa: str, rng: np.random.Generator) -> None:
    logits, targets = 5 * normal(rng, 6, 256), np.array([0, 255, 7, 7, 100, 31], np.uint8)

    def losses(z: np.ndarray) -> np.ndarray:
        return np.log(np.exp(z).sum(-1)) - z[np.arange(6), targets]

    got = ops.cross_entropy_forward("float64", logits, targets)
    np.testing.assert_allclose(got, losses(logits), rtol=1e-10)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    want = 0.3 * (probabilities - np.eye(256)[targets])
    np.testing.assert_allclose(ops.cross_entropy_backward("float64", logits, targets, 0.3), want, atol=1e-12)
    agree(isa, ops.cross_entropy_forward, logits, targets)
    agree(isa, ops.cross_entropy_backward, logits, targets, 0.3)


@pytest.mark.parametrize("isa", ISAS)
def test_adamw(isa: str, rng: np.random.Generator) -> None:
    weight, grad, m = normal(rng, 37), normal(rng, 37), normal(rng, 37)
    v = normal(rng, 37) ** 2
    rest = (0.01, 0.9, 0.95, 1e-8, 0.1, 0.5, 0.19, 0.0975)
    w1, m1, v1 = ops.adamw_update("float64", weight, m, v, grad, *rest)
    want_m, want_v = 0.9 * m + 0.1 * grad * 0.5, 0.95 * v + 0.05 * (grad * 0.5) ** 2
    want = weight - 0.01 * (want_m / 0.19 / (np.sqrt(want_v / 0.0975) + 1e-8) + 0.1 * weight)
    np.testing.assert_allclose(w1, want, rtol=1e-10)
    np.testing.assert_allclose(m1, want_m, rtol=1e-10)
    np.testing.assert_allclose(v1, want_v, rtol=1e-10)
    agree(isa, ops.adamw_update, weight, m, v, grad, *rest)


def orthogonalized(x: np.ndarray) -> np.ndarray:
    """About U V^T of x = U S V^T: the polynomial of ops/muon.h applied to the singular values."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    s = s / np.linalg.norm(s)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u * s) @ vt


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (12, 12), (16, 40), (33, 31), (70, 90), (300, 45)])
@pytest.mark.parametrize("isa", ISAS)
def test_muon(isa: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    weight, grad, m = (normal(rng, *shape) for _ in range(3))
    rest = (0.01, 0.95, 0.1, 0.5)
    w1, m1 = ops.muon_update("float64", weight, m, grad, *rest)
    want_m = 0.95 * m + 0.05 * 0.5 * grad
    step = orthogonalized(0.95 * want_m + 0.05 * 0.5 * grad)
    want = weight - 0.01 * (0.2 * np.sqrt(max(shape)) * step + 0.1 * weight)
    np.testing.assert_allclose(m1, want_m, rtol=1e-10)
    np.testing.assert_allclose(w1, want, rtol=1e-8)
    single = [a.astype(np.float32) for a in (weight, m, grad)]
    got, momentum = ops.muon_update(isa, *single, *rest)
    np.testing.assert_allclose(momentum, want_m, rtol=1e-5, atol=1e-6)
    # bf16 keeps 8 bits of each operand, and the steps of the iteration amplify what it loses.
    error = np.linalg.norm(got - want) / np.linalg.norm(want - 0.999 * weight)
    assert error < (0.05 if isa == "avx512bf16" else 1e-3)


@pytest.mark.parametrize("isa", ["float64", *(isa for isa in ISAS if isa != "avx512bf16")])
@pytest.mark.parametrize("shape", [(16, 32), (40, 24), (24, 24)])
def test_muon_learns_rare_directions_as_fast_as_common_ones(
    isa: str, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    u, _, vt = np.linalg.svd(normal(rng, *shape), full_matrices=False)
    grad, zero = (u * np.logspace(0, -1.5, min(shape))) @ vt, np.zeros(shape)
    number = np.float64 if isa == "float64" else np.float32
    step, _ = ops.muon_update(isa, *(a.astype(number) for a in (zero, zero, grad)), 1.0, 0.95, 0.0, 1.0)
    sizes = np.linalg.svd(step, compute_uv=False) / (0.2 * np.sqrt(max(shape)))
    assert 0.6 < sizes.min() < sizes.max() < 1.25


SIZES = [
    *[(1, 1, 1), (2, 3, 5), (11, 31, 33), (12, 32, 32), (13, 33, 31), (25, 65, 130)],
    *[(64, 480, 160), (7, 256, 128), (400, 40, 30)],
]


@pytest.mark.parametrize(("M", "N", "K"), SIZES)
@pytest.mark.parametrize("isa", ISAS)
def test_matmul(isa: str, M: int, N: int, K: int, rng: np.random.Generator) -> None:
    inp, weight, dout, onto = normal(rng, M, K), normal(rng, N, K), normal(rng, M, N), normal(rng, M, N)
    empty = np.zeros((0, 0))
    np.testing.assert_allclose(ops.matmul_forward("float64", inp, weight, empty), inp @ weight.T, rtol=1e-9)
    both = ops.matmul_forward("float64", inp, weight, onto)
    np.testing.assert_allclose(both, onto + inp @ weight.T, rtol=1e-9)
    dinp, dweight = ops.matmul_backward("float64", dout, inp, weight)
    np.testing.assert_allclose(dinp, dout @ weight, rtol=1e-9)
    np.testing.assert_allclose(dweight, dout.T @ inp, rtol=1e-9)
    # bf16 keeps 8 bits of each operand: a product is off by up to 2^-8, a sum of random ones by much less.
    rtol = 8e-3 if isa == "avx512bf16" else 2e-5
    for target in (empty, onto):
        agree(isa, ops.matmul_forward, inp, weight, target, rtol=rtol)
    agree(isa, ops.matmul_backward, dout, inp, weight, rtol=rtol)


def test_an_unknown_or_missing_instruction_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown instruction set avx9"):
        ops.swiglu_forward("avx9", np.zeros((1, 2), np.float32))


CONFIG = {
    "width": 12,
    "layers": 2,
    "state": 9,
    "hidden": 10,
    "head_width": 8,
    "head_hidden": 7,
    "head_layers": 1,
}
TABLES = {"characters": 300, "bigrams": 50, "trigrams": 40, "embedding": 6, "views": 3, "skip": 1}
WORDS = {"patch": "word", "longest": 3, "pieces": 60, "prefixes": 30}
ATTENTION = {"mixers": "ra", "heads": 3, "head_size": 4, "window": 6}
GROUPED = ATTENTION | {"heads": 5, "head_size": 36, "window": 35}  # four heads together, one alone
WYGPT = {"mixers": "w", "patch": "byte", "heads": 3, "window": 6}
CONFIGS = [
    CONFIG,
    CONFIG | TABLES,
    CONFIG | WORDS,
    CONFIG | TABLES | WORDS,
    CONFIG | {"patch": "byte"},
    CONFIG | ATTENTION,
    CONFIG | ATTENTION | {"head_size": 40, "window": 3},
    CONFIG | ATTENTION | {"heads": 5, "head_size": 17, "window": 19},
    CONFIG | WYGPT,
]
TEXT = np.frombuffer("脉浮，bad:\N{HERB}".encode() + b"\xe4\xff\x80\xf0\x9f\xfd" + "é".encode(), np.uint8)
ENGLISH = np.frombuffer(b"It was, as (p < 0.05) showed,\n\n  longer than 12mm\xe4 \xff", np.uint8)


@pytest.mark.parametrize("text", [TEXT, ENGLISH], ids=["mixed", "english"])
@pytest.mark.parametrize("config", CONFIGS)
def test_network_gradient_by_differences(config: dict[str, Any], text: np.ndarray) -> None:
    """The whole model's gradient in float64, at random weights of every tensor."""
    weights = ops.initial_weights(config, 3).astype(np.float64)
    rng = np.random.default_rng(1)
    weights += 0.05 * rng.normal(size=weights.size)
    losses, gradient = ops.network("float64", config, weights, text, 64)
    assert len(losses) == len(text)
    for name, shape, offset in ops.layout(config):
        size = int(np.prod(shape))
        touched = offset + np.flatnonzero(gradient[offset : offset + size])
        for i in rng.choice(touched, min(4, len(touched)), replace=False):
            up, down = weights.copy(), weights.copy()
            up[i] += 1e-5
            down[i] -= 1e-5
            means = [ops.network("float64", config, w, text, 64)[0].mean() for w in (up, down)]
            assert gradient[i] == pytest.approx((means[0] - means[1]) / 2e-5, abs=1e-8, rel=1e-5), name


@pytest.mark.parametrize("window", [1, 2, 3, 5])
@pytest.mark.parametrize("text", [TEXT, ENGLISH], ids=["mixed", "english"])
@pytest.mark.parametrize("config", CONFIGS)
def test_windows_carry_the_state(config: dict[str, Any], text: np.ndarray, window: int) -> None:
    weights = ops.initial_weights(config, 3).astype(np.float64)
    whole, _ = ops.network("float64", config, weights, text, 64)
    pieces, _ = ops.network("float64", config, weights, text, window)
    np.testing.assert_allclose(pieces, whole, rtol=1e-10)
    np.testing.assert_array_equal(ops.losses("float64", config, weights, text, window), pieces)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("config", [CONFIG, CONFIG | ATTENTION, CONFIG | GROUPED, CONFIG | WYGPT])
def test_network_on_every_instruction_set(isa: str, config: dict[str, Any]) -> None:
    weights = ops.initial_weights(config, 3)
    want, _ = ops.network("float64", config, weights.astype(np.float64), TEXT, 64)
    for window in (1, 64):
        got, _ = ops.network(isa, config, weights, TEXT, window)
        np.testing.assert_allclose(got, want, rtol=2e-2 if isa == "avx512bf16" else 1e-4)


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        (CONFIG, 2 * (9 + 2 * 12)),
        (CONFIG | ATTENTION, 9 + 24 + 5 * 2 * 4 + 24),
        (CONFIG | WYGPT, 2 * 5 * 2 * 12),
    ],
)
def test_size_of_the_carried_state(config: dict[str, Any], numbers: int) -> None:
    assert ops.state_size(config) == numbers
