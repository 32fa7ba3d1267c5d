from __future__ import annotations

import numpy as np
import pytest

from .device import Device
from .reference import arrays, close, normal

Arrays = tuple[np.ndarray, ...]


def forward(qkv: np.ndarray, past: np.ndarray, bias: np.ndarray, d: int) -> Arrays:
    """y and the weights, in float64; see engine/src/train/ops/attention.h."""
    B, length, _ = qkv.shape
    heads, W = bias.shape
    q, now = qkv[..., : heads * d].reshape(B, length, heads, d), qkv[..., heads * d :]
    seen = np.concatenate([past, now], axis=1)
    windows = np.stack([seen[:, t : t + W] for t in range(length)], axis=1)  # (B, length, W, 2 d)
    scores = np.einsum("bthi,btji->bthj", q, windows[..., :d]) / np.sqrt(d) + bias
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return np.einsum("bthj,btji->bthi", p, windows[..., d:]).reshape(B, length, heads * d), p


def backward(dy: np.ndarray, p: np.ndarray, qkv: np.ndarray, past: np.ndarray, d: int) -> Arrays:
    B, length, _ = qkv.shape
    heads, W = p.shape[2:]
    q, g = (x[..., : heads * d].reshape(B, length, heads, d) for x in (qkv, dy))
    seen = np.concatenate([past, qkv[..., heads * d :]], axis=1)
    dseen, dq, dbias = np.zeros_like(seen), np.zeros_like(q), np.zeros((heads, W))
    for t in range(length):
        k, v = seen[:, t : t + W, :d], seen[:, t : t + W, d:]
        dp = np.einsum("bhi,bji->bhj", g[:, t], v)
        ds = p[:, t] * (dp - (p[:, t] * dp).sum(-1, keepdims=True))
        dbias += ds.sum(0)
        dq[:, t] = np.einsum("bhj,bji->bhi", ds, k) / np.sqrt(d)
        dseen[:, t : t + W, :d] += np.einsum("bhj,bhi->bji", ds, q[:, t]) / np.sqrt(d)
        dseen[:, t : t + W, d:] += np.einsum("bhj,bhi->bji", p[:, t], g[:, t])
    return np.concatenate([dq.reshape(B, length, -1), dseen[:, W - 1 :]], axis=-1), dbias


def test_the_reference_by_differences(rng: np.random.Generator) -> None:
    B, length, heads, d, W = 2, 4, 2, 3, 3
    qkv, past = rng.normal(size=(B, length, (heads + 2) * d)), rng.normal(size=(B, W - 1, 2 * d))
    bias, dy = rng.normal(size=(heads, W)), rng.normal(size=(B, length, heads * d))
    dqkv, dbias = backward(dy, forward(qkv, past, bias, d)[1], qkv, past, d)
    for array, gradient in ((qkv, dqkv), (bias, dbias)):
        for i in np.ndindex(*array.shape):
            before, sums = array[i], []
            for step in (1e-5, -1e-5):
                array[i] = before + step
                sums.append((forward(qkv, past, bias, d)[0] * dy).sum())
            array[i] = before
            assert abs((sums[0] - sums[1]) / 2e-5 - gradient[i]) < 1e-7


@pytest.mark.parametrize(
    ("B", "length", "heads", "d", "W"),
    [(1, 1, 1, 1, 1), (2, 5, 3, 4, 3), (1, 17, 4, 8, 33), (1, 33, 5, 33, 40)],
)
def test_attention(
    device: Device, B: int, length: int, heads: int, d: int, W: int, rng: np.random.Generator
) -> None:
    qkv, past = normal(rng, B, length, (heads + 2) * d), normal(rng, B, W - 1, 2 * d)
    bias, dy = normal(rng, heads, W), normal(rng, B, length, heads * d)
    y, p = device.empty(B, length, heads * d), device.empty(B, length, heads, W)
    x, before, b, g, dbias = arrays(device, qkv, past, bias, dy, bias)
    device.attention_forward(y, p, x, before, b, B, length, heads, d, W)
    want_y, want_p = forward(*(a.astype(np.float64) for a in (qkv, past, bias)), d)
    close(y, want_y)
    close(p, want_p)
    dqkv, ds = device.empty(B, length, (heads + 2) * d), device.empty(B, length, heads, W)
    space = device.empty(B * -(-length // 16), heads * W)
    device.attention_backward(dqkv, dbias, ds, space, g, p, x, before, B, length, heads, d, W)
    want_dqkv, want_dbias = backward(*(a.astype(np.float64) for a in (dy, p.numpy(), qkv, past)), d)
    close(dqkv, want_dqkv)
    close(dbias, bias + want_dbias)
