"""How the next byte is chosen.

The choices are plain values here and are carried out in engine/src/infer/sampling.cpp, always in this order:
the UTF-8 mask, the repetition penalty, the method's candidates (at temperature 1), the temperature, the draw.
With a fixed seed the same model gives the same text on every machine.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar

from engine._core import Sampler as NativeSampler


@dataclass(frozen=True)
class Sampler:
    """What all methods share.

    temperature: below 1 bolder for the likeliest candidate, above 1 for the others; 0 takes the likeliest.
        It changes the odds among the candidates, not who is one.
    repetition_penalty: 1 is off. If the last m characters of the answer already stand earlier in it, the
        bytes of the character that followed them there become penalty^m times less likely: a term said
        twice costs little, a loop costs more with every character. It looks at repeated *sequences*, as
        common single characters (的, 之, a comma) are no fault. 1.1 to 1.5 is a sensible range.
    repetition_window: how many of the answer's last characters the penalty considers, 1 to 4096.
    """

    _: KW_ONLY
    temperature: float = 1.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64

    name: ClassVar[str]
    amount_field: ClassVar[str | None]

    def __post_init__(self) -> None:
        _check_number(self.temperature, "temperature", "of 0 or more", lambda t: t >= 0)
        _check_number(self.repetition_penalty, "repetition_penalty", "of 1 or more", lambda r: r >= 1)
        _check_whole(self.repetition_window, "repetition_window", 1, 4096)

    def start(self, seed: int | None = None) -> NativeSampler:
        """The native sampler of one answer. Seeds are taken modulo 2^64; None draws one at random."""
        amount = 0.0 if self.amount_field is None else float(getattr(self, self.amount_field))
        return NativeSampler(
            self.name,
            amount,
            self.temperature,
            self.repetition_penalty,
            self.repetition_window,
            secrets.randbits(64) if seed is None else seed % 2**64,
        )


@dataclass(frozen=True)
class TopE(Sampler):
    """Keep the ⌈factor · exp(H)⌉ likeliest bytes and renormalise; H is the entropy of the next byte in nats.

    exp(H) is the number of equally likely bytes that would leave the model just as undecided, so there are
    as many candidates as the model is effectively undecided among: one where it is sure, many where it is
    not. Top-E is a name the original author uses for his sampling; his text on it is not at hand, and this is
    our reading of the name.
    """

    factor: float = 1.0
    name: ClassVar[str] = "top-e"
    amount_field: ClassVar[str | None] = "factor"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number(self.factor, "factor", "above 0", lambda factor: factor > 0)


@dataclass(frozen=True)
class TopP(Sampler):
    """Keep the fewest likeliest bytes whose probabilities add up to p (Holtzman et al., 2020)."""

    p: float = 0.9
    name: ClassVar[str] = "top-p"
    amount_field: ClassVar[str | None] = "p"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_probability(self.p)


@dataclass(frozen=True)
class TopK(Sampler):
    """Keep the k likeliest bytes (Fan et al., 2018)."""

    k: int = 40
    name: ClassVar[str] = "top-k"
    amount_field: ClassVar[str | None] = "k"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_whole(self.k, "k", 1, None)


@dataclass(frozen=True)
class MinP(Sampler):
    """Keep the bytes at least p times as likely as the likeliest one (Nguyen et al., 2024)."""

    p: float = 0.05
    name: ClassVar[str] = "min-p"
    amount_field: ClassVar[str | None] = "p"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_probability(self.p)


@dataclass(frozen=True)
class Typical(Sampler):
    """Keep the fewest bytes that add up to p, taking first those whose surprise -ln(probability) is nearest
    to the entropy (locally typical sampling, Meister et al., 2022)."""

    p: float = 0.9
    name: ClassVar[str] = "typical"
    amount_field: ClassVar[str | None] = "p"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_probability(self.p)


@dataclass(frozen=True)
class Greedy(Sampler):
    """Always the likeliest byte, so temperature and seed change nothing."""

    name: ClassVar[str] = "greedy"
    amount_field: ClassVar[str | None] = None


@dataclass(frozen=True)
class Wygpt(Sampler):
    """The original author's sampler (wyGPT, `generate`): a penalty on every byte that has followed what the
    text ends with now, the temperature, then max(p - 1/256, 0), renormalised.

    The penalty of text[k], added up over all k < n, is (exp(l/e) - 1) / (n - k), where l - 1 bytes before k
    equal those before the end n. The text is what this call writes and what a wyGPT model holds of the text
    before, at most its context; of other models, what this call writes alone. Quotations of twenty bytes are
    all but forbidden. Where all bytes are equally likely, all stay.
    """

    temperature: float = 2**-0.5
    name: ClassVar[str] = "wygpt"
    amount_field: ClassVar[str | None] = None


SAMPLERS: dict[str, type[Sampler]] = {
    kind.name: kind for kind in (TopE, TopP, TopK, MinP, Typical, Greedy, Wygpt)
}


def sampler_by_name(name: str, **options: float | None) -> Sampler:
    """The sampler of that name, as in `top-e`, with these options; None leaves an option at its default."""
    kind = SAMPLERS.get(name)
    if kind is None:
        raise ValueError(f"unknown sampler {name!r}: choose one of {', '.join(SAMPLERS)}")
    given = {key: value for key, value in options.items() if value is not None}
    known = [field.name for field in fields(kind)]
    for key in given:
        if key not in known:
            raise ValueError(f"sampler {name} has no option {key!r}: it has {', '.join(known)}")
    return kind(**given)  # type: ignore[arg-type]  # whether a number is whole is checked by the class


def _check_number(value: Any, name: str, bound: str, within: Callable[[float], bool]) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not within(value):
        raise ValueError(f"{name} must be a number {bound}, not {value!r}")


def _check_probability(p: Any) -> None:
    _check_number(p, "p", "above 0 and at most 1", lambda p: 0 < p <= 1)


def _check_whole(value: Any, name: str, lowest: int, highest: int | None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        bound = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise ValueError(f"{name} must be a whole number {bound}, not {value!r}")


# The default for answers; engine/MODEL.md says why this one and not the first of `make bench-samplers`.
CHAT: Sampler = TopE(1.5, temperature=0.7, repetition_penalty=1.3)


def chat_sampler(name: str = CHAT.name, temperature: float = CHAT.temperature) -> Sampler:
    """CHAT at this temperature, or another method at it; ValueError as from sampler_by_name."""
    if name == CHAT.name:
        return replace(CHAT, temperature=temperature)
    return sampler_by_name(name, temperature=temperature)
