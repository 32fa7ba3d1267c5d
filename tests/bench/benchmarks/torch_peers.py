"""Models of equal size in PyTorch that the trainer is measured beside: what one would write there instead.

Character-synchronous ones have the twin's embeddings and head around another trunk; byte models read a window
of bytes and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.config import ModelConfig
from tests.bench.benchmarks.torch_twin import Swiglu, Twin, gain, matrix, rmsnorm, table

HEAD_DIM = 32


class Positions(nn.Module):
    """Learned positions within a window: cheaper than rotations, in favour of the peer."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = table(length, width)

    def forward(self, x: Tensor, carried: Any = None, keep: Tensor | None = None) -> tuple[Tensor, None]:
        return x + self.table[: x.shape[1]], None


class AttentionLayer(nn.Module):
    """Causal attention over the window, then a SwiGLU, each behind an RMSNorm."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = gain(width), matrix(3 * width, width), matrix(width, width)
        self.swiglu = Swiglu(width, hidden)

    def forward(self, x: Tensor, carried: Any = None, keep: Tensor | None = None) -> tuple[Tensor, None]:
        B, T, D = x.shape
        qkv = F.linear(rmsnorm(x, self.norm), self.qkv).view(B, T, 3, D // HEAD_DIM, HEAD_DIM)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.swiglu(x + F.linear(y.transpose(1, 2).reshape(B, T, D), self.out)), None


class GruTrunk(nn.Module):
    """Two layers of nn.GRU between the widths of embeddings and head, the state carried on."""

    def __init__(self, width: int, state: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, state, 2, batch_first=True)
        self.out = matrix(width, state)

    def forward(self, x: Tensor, carried: Any, keep: Tensor) -> tuple[Tensor, Any]:
        y, end = self.gru(x, None if carried is None else carried * keep[None, :, None])
        return F.linear(y, self.out).float(), end.detach()


class ByteModel(nn.Module):
    """Embedding, layers, logits; a byte's row predicts the next byte."""

    def __init__(self, width: int, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.embedding = table(256, width)
        self.layers = nn.ModuleList(layers)
        self.norm, self.out = gain(width), matrix(256, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, T, 256) after each byte of (B, T)."""
        x = F.embedding(inputs, self.embedding)
        for layer in self.layers:
            x, _ = layer(x)
        return F.linear(rmsnorm(x, self.norm), self.out).float()


class ByteGru(nn.Module):
    """nn.Embedding, two layers of nn.GRU, nn.Linear."""

    def __init__(self, state: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, state // 2)
        self.gru = nn.GRU(state // 2, state, 2, batch_first=True)
        self.out = nn.Linear(state, 256)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(self.gru(self.embedding(inputs))[0]).float()


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def nearest(make: Callable[[int], nn.Module], sizes: Iterable[int], parameters: int) -> nn.Module:
    """The model of the size that comes nearest to `parameters`."""

    def distance(size: int) -> int:
        with torch.device("meta"):
            return abs(count(make(size)) - parameters)

    return make(min(sizes, key=distance))


def attention_twin(config: ModelConfig, length: int) -> nn.Module:
    def make(layers: int) -> nn.Module:
        trunk = [AttentionLayer(config.width, config.hidden) for _ in range(layers)]
        return Twin(config, [Positions(length, config.width), *trunk])

    return nearest(make, range(1, 40), config.parameters)


def gru_twin(config: ModelConfig) -> nn.Module:
    return nearest(
        lambda n: Twin(config, [GruTrunk(config.width, n)]), range(64, 1024, 16), config.parameters
    )


def byte_gru(parameters: int) -> nn.Module:
    return nearest(ByteGru, range(64, 1024, 16), parameters)


def byte_transformer(parameters: int, length: int, width: int = 192, hidden: int = 512) -> nn.Module:
    def make(layers: int) -> nn.Module:
        trunk = [AttentionLayer(width, hidden) for _ in range(layers)]
        return ByteModel(width, [Positions(length, width), *trunk])

    return nearest(make, range(1, 40), parameters)
