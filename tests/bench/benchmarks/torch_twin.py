"""The model of engine/src/train written plainly in PyTorch, with the trainer's own names of tensors.

It reads the trainer's own batches and carries the state from window to window as the trainer does, so that
its losses can be held against the trainer's step by step (tests/engine/training/test_torch_twin.py) and its
speed too (bench_train.py). Trunks of other layers, for comparison, go between the same embeddings and the
same head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engine import _train
from engine.model.config import ModelConfig
from engine.training.recipe import Recipe

Rows = dict[str, Tensor]
Carried = list[Any]  # one entry a layer, None for an empty state of all sequences


def matrix(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) / columns**0.5)


def table(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(0.1 * torch.randn(rows, columns))


def gain(width: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(width))


def rmsnorm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps=1e-5)


@torch.compiler.disable
def scan(a: Tensor, v: Tensor, start: Tensor) -> Tensor:
    """s[t] = a[t] s[t-1] + (1 - a[t]) v[t] over axis 1 of (B, T, R).

    One operation a step, outside of compiled graphs: the compiler would unroll the loop, for minutes.
    """
    states = []
    s = start
    for keep, value in zip(a.unbind(1), v.unbind(1), strict=True):
        s = torch.lerp(value, s, keep)
        states.append(s)
    return torch.stack(states, 1)


class Recurrence(nn.Module):
    """norm, convolution over three characters, gated linear recurrence, projection."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, R = config.width, config.state
        self.norm = gain(D)
        self.conv = nn.Parameter(torch.tensor([0.0, 0.0, 1.0]).repeat(D, 1))
        self.inp = matrix(3 * R, D)
        self.bias = nn.Parameter(torch.zeros(R))
        self.out = matrix(D, R)

    def forward(self, x: Tensor, carried: Any, keep: Tensor) -> tuple[Tensor, Any]:
        B, T, D = x.shape
        history, start = carried or (x.new_zeros(B, 2, D), x.new_zeros(B, self.bias.numel()))
        history, start = history * keep[:, None, None], start * keep[:, None]
        rows = torch.cat([history, rmsnorm(x, self.norm)], 1)
        u = sum(self.conv[:, k] * rows[:, k : k + T] for k in range(3))
        f, v, o = F.linear(u, self.inp).float().chunk(3, -1)
        s = scan(torch.sigmoid(f + self.bias), v, start)
        x = x + F.linear(s * F.silu(o), self.out)
        return x, (rows[:, -2:].detach(), s[:, -1].detach())


class Attention(nn.Module):
    """norm, convolution over three patches, attention over the last `window` patches, projection.

    One key and value for all heads, a bias by distance; keys and values carried from window to window.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, self.heads, self.d, self.window = config.width, config.heads, config.head_size, config.window
        self.norm = gain(D)
        self.conv = nn.Parameter(torch.tensor([0.0, 0.0, 1.0]).repeat(D, 1))
        self.inp = matrix((self.heads + 2) * self.d, D)
        self.bias = nn.Parameter(torch.zeros(self.heads, self.window))
        self.out = matrix(D, self.heads * self.d)

    def forward(self, x: Tensor, carried: Any, keep: Tensor) -> tuple[Tensor, Any]:
        (B, T, D), H, d, before = x.shape, self.heads, self.d, self.window - 1
        history, past = carried or (x.new_zeros(B, 2, D), x.new_zeros(B, before, 2 * d))
        history, past = history * keep[:, None, None], past * keep[:, None, None]
        rows = torch.cat([history, rmsnorm(x, self.norm)], 1)
        u = sum(self.conv[:, k] * rows[:, k : k + T] for k in range(3))
        q, kv = F.linear(u, self.inp).float().split((H * d, 2 * d), -1)
        kv = torch.cat([past, kv], 1)
        k, v = (each.unsqueeze(1).expand(B, H, -1, d) for each in kv.chunk(2, -1))
        q = q.view(B, T, H, d).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask(T).expand(B, H, T, T + before))
        x = x + F.linear(y.transpose(1, 2).reshape(B, T, H * d), self.out)
        return x, (rows[:, -2:].detach(), kv[:, T:].detach())

    def mask(self, T: int) -> Tensor:
        """The bias of each distance, oldest first in (H, window), as (H, T, window - 1 + T)."""
        band = F.pad(self.bias, (0, T), value=float("-inf"))  # a row longer by T; read by rows of one less
        shifted = band.repeat(1, T)[:, : T * (self.window + T - 1)]
        return shifted.view(self.heads, T, self.window + T - 1)


class Swiglu(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = gain(width), matrix(2 * hidden, width), matrix(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = F.linear(rmsnorm(x, self.norm), self.up).chunk(2, -1)
        return x + F.linear(F.silu(gate) * value, self.down)


class Layer(nn.Module):
    def __init__(self, config: ModelConfig, number: int) -> None:
        super().__init__()
        self.attends = config.mixers[number % len(config.mixers)] == "a"
        self.add_module(
            *("attention", Attention(config)) if self.attends else ("recurrence", Recurrence(config))
        )
        self.swiglu = Swiglu(config.width, config.hidden)

    @property
    def mixer(self) -> nn.Module:
        return self.attention if self.attends else self.recurrence

    def forward(self, x: Tensor, carried: Any, keep: Tensor) -> tuple[Tensor, Any]:
        x, carried = self.mixer(x, carried, keep)
        return self.swiglu(x), carried


class Head(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        H, E = config.head_width, config.embedding or config.width
        self.views = config.views
        self.base = matrix(config.views * H, config.width)
        self.skip = matrix(config.views * H, E) if config.skip else None
        self.prefix_lead, self.prefix_pair = (
            (None, None) if config.patch == "byte" else (table(257, H), table(1025, H))
        )
        self.prefix = table(config.prefixes, H) if config.prefixes else None
        self.layers = nn.ModuleList(Swiglu(H, config.head_hidden) for _ in range(config.head_layers))
        self.norm, self.out = gain(H), matrix(256, H)

    def forward(self, x: Tensor, embedded: Tensor, rows: Rows) -> Tensor:
        """Logits (N, 256) from the trunk's (M, D) and its input (M, E)."""
        base = F.linear(x, self.base).float()
        if self.skip is not None:
            base = base + F.linear(embedded, self.skip)
        z = base.view(self.views * len(x), -1).index_select(0, rows["row"])
        if self.prefix_lead is not None:
            z = z + F.embedding(rows["prefix_lead"], self.prefix_lead)
            z = z + F.embedding(rows["prefix_pair"], self.prefix_pair)
        if self.prefix is not None:
            z = z + F.embedding(rows["prefix"], self.prefix) + F.embedding(rows["suffix"], self.prefix)
        for layer in self.layers:
            z = layer(z)
        return F.linear(rmsnorm(z, self.norm), self.out).float()


class Twin(nn.Module):
    """The whole model over all sequences of a batch; `layers` other than its own make it a relative."""

    def __init__(self, config: ModelConfig, layers: list[nn.Module] | None = None) -> None:
        super().__init__()
        D, E = config.width, config.embedding or config.width
        self.lead_embedding, self.char_embedding = table(256, E), table(config.characters, E)
        self.bigram_embedding = table(config.bigrams, E) if config.bigrams else None
        self.trigram_embedding = table(config.trigrams, E) if config.trigrams else None
        self.piece_embedding = table(config.pieces, E) if config.pieces else None
        self.input = matrix(D, E) if config.embedding else None
        self.layers = nn.ModuleList(layers or [Layer(config, i) for i in range(config.layers)])
        self.norm = gain(D)
        self.head = Head(config)

    def embed(self, rows: Rows) -> Tensor:
        """The sum of each patch's rows in all tables, (M, E)."""
        e = F.embedding(rows["lead"], self.lead_embedding) + F.embedding(rows["id"], self.char_embedding)
        if self.bigram_embedding is not None:
            e = e + F.embedding(rows["bigram"], self.bigram_embedding)
        if self.trigram_embedding is not None:
            e = e + F.embedding(rows["trigram"], self.trigram_embedding)
        if self.piece_embedding is not None:
            e = e.index_add(0, rows["piece_of"], F.embedding(rows["piece"], self.piece_embedding))
        return e

    def forward(self, rows: Rows, carried: Carried) -> tuple[Tensor, Carried]:
        """The mean loss of the batch's bytes, in nats, and the state to hand to the next call."""
        embedded = self.embed(rows)
        x = embedded if self.input is None else F.linear(embedded, self.input).float()
        x = x.view(rows["keep"].numel(), -1, x.shape[-1])
        ends = []
        for layer, before in zip(self.layers, carried or [None] * len(self.layers), strict=True):
            x, end = layer(x, before, rows["keep"])
            ends.append(end)
        logits = self.head(rmsnorm(x, self.norm).flatten(0, 1), embedded, rows)
        return F.cross_entropy(logits, rows["target"]), ends

    def load(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the trainer's weights; a name or shape that differs is an error."""
        self.load_state_dict({renamed(name): torch.from_numpy(tensors[name].copy()) for name in tensors})


def renamed(name: str) -> str:
    """The trainer's name of a tensor as an attribute: torch.compile fails on one that is a word of Python."""
    return name + "p" if name.endswith(".in") else name


def join(shards: list[dict[str, NDArray[np.int64]]], batch_size: int, views: int) -> Rows:
    """The shards of a step as one batch; `keep` is 0 for sequences that begin from an empty state, else 1."""
    patches = len(shards[0]["lead"])
    each = {"row": patches * views, "piece_of": patches, "reset": batch_size // len(shards)}
    joined = {
        name: np.concatenate([shard[name] + i * each.get(name, 0) for i, shard in enumerate(shards)])
        for name in shards[0]
    }
    keep = np.ones(batch_size, np.float32)
    keep[joined.pop("reset")] = 0
    return {name: torch.from_numpy(values) for name, values in joined.items()} | {
        "keep": torch.from_numpy(keep)
    }


def orthogonalized(x: Tensor) -> Tensor:
    """About U V^T of x = U S V^T, as engine/src/train/ops/muon.h."""
    x = x / (x.norm() + 1e-12)
    for _ in range(5):
        gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x
        factor = 3.4445 * torch.eye(len(gram)) - 4.7750 * gram + 2.0315 * gram @ gram
        x = factor @ x if len(x) <= x.shape[1] else x @ factor
    return x


class Muon:
    """Muon for the stacked matrices of each parameter, beside an AdamW for the rest."""

    def __init__(self, parameters: list[tuple[nn.Parameter, int]], recipe: Recipe) -> None:
        self.parameters, self.momentum, self.decay = parameters, recipe.momentum, recipe.decay
        self.moments = [torch.zeros_like(p) for p, _ in parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for (p, count), m in zip(self.parameters, self.moments, strict=True):
            assert p.grad is not None
            m.lerp_(p.grad, 1 - self.momentum)
            ahead = torch.lerp(p.grad, m, self.momentum).chunk(count)
            step = torch.cat([0.2 * max(x.shape) ** 0.5 * orthogonalized(x) for x in ahead])
            p.sub_(rate * (step + self.decay * p))
            p.grad = None


class Optimiser:
    """The trainer's update, clipped by the global norm: Muon for the matrices that `stacked` names with their
    numbers, AdamW for the rest, with weight decay for the matrices (without `stacked`, AdamW for all)."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        decaying: set[str] | None = None,
        stacked: Mapping[str, int] | None = None,
    ) -> None:
        named = dict(model.named_parameters())
        stacked = stacked or {}
        if decaying is None:
            decaying = {name for name, p in named.items() if p.dim() == 2}
        self.muon = Muon([(named[name], count) for name, count in stacked.items()], recipe)
        self.parameters, self.clip = list(named.values()), recipe.clip
        named = {name: p for name, p in named.items() if name not in stacked}
        groups = [
            {"params": [p for name, p in named.items() if name in decaying], "weight_decay": recipe.decay},
            {"params": [p for name, p in named.items() if name not in decaying], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(
            groups, betas=(recipe.beta1, recipe.beta2), eps=recipe.epsilon, fused=True
        )

    def step(self, rate: float) -> None:
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.muon.step(rate)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)


def bf16(enabled: bool = True) -> AbstractContextManager[None]:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)


def losses(
    config: ModelConfig,
    recipe: Recipe,
    text: NDArray[np.uint8],
    steps: int,
    isa: str = "",
    autocast: bool = False,
) -> Iterator[tuple[float, float]]:
    """Bits per byte of trainer and twin, step by step: same weights, batches and settings."""
    trainer = _train.Trainer(config.to_dict(), recipe.trainer_settings(1), isa)
    trainer.add_source(text, 1.0)
    twin = Twin(config)
    twin.load(trainer.tensors())
    decaying = {renamed(name) for name in trainer.decaying}
    stacked = {renamed(name): count for name, count in trainer.stacked.items()}
    optimiser = Optimiser(twin, recipe, decaying, stacked)
    carried: Carried = []
    for step in range(steps):
        nats, count, *_ = trainer.step(recipe.rate_at(0.0, step))
        with bf16(autocast):
            loss, carried = twin(join(trainer.batches(), recipe.batch_size, config.views), carried)
        loss.backward()
        optimiser.step(recipe.rate_at(0.0, step))
        yield nats / count / np.log(2), loss.item() / np.log(2)
