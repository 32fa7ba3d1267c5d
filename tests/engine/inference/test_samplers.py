"""The samplers against plain NumPy, the draw itself, and the options."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import _ops
from engine._core import allowed_bytes
from engine._ops import Utf8Cutter, splitmix64
from engine.inference.samplers import (
    CHAT,
    SAMPLERS,
    Greedy,
    MinP,
    Sampler,
    TopE,
    TopK,
    TopP,
    Typical,
    chat_sampler,
    sampler_by_name,
)
from tests.engine.sampling_reference import (
    WHOLE,
    Logits,
    any_logits,
    by_likelihood,
    drawn_from,
    kept_by,
    pendings,
    probabilities,
    samplers,
)


def reaches(p: NDArray[np.float64], order: list[int], mass: float, kept: set[int]) -> bool:
    """Whether `kept` is the shortest beginning of `order` that reaches `mass`, give or take rounding."""
    first = order[: len(kept)]
    return set(first) == kept and p[first].sum() > mass - 1e-9 and p[first[:-1]].sum() < mass + 1e-9


# --- what is kept ------------------------------------------------------------------------------------------


@given(any_logits(), pendings, st.booleans(), st.floats(0.05, 8))
def test_top_e_keeps_as_many_as_the_model_is_undecided_among(
    logits: Logits, pending: bytes, end: bool, factor: float
) -> None:
    p = probabilities(logits, pending, end)
    entropy = -sum(x * math.log(x) for x in p[p > 0].tolist())
    exact = factor * math.exp(entropy)
    order = by_likelihood(logits, allowed_bytes(pending, end))
    # Where the product is a whole number but for rounding, either neighbour is right for the reference.
    counts = {max(1, math.ceil(exact * (1 + e))) for e in (-1e-9, 1e-9)}
    possible = order[: min(max(counts), len(order))]
    kept = kept_by(TopE(factor), logits, pending, end)
    wanted = [{b for b in order[:n] if p[b] > 0} for n in counts]
    assert kept in wanted, possible


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100])
def test_top_e_of_equally_likely_bytes_keeps_just_those(count: int) -> None:
    chosen = list(allowed_bytes(b"", True))[:count]
    logits = np.full(256, -3e4, np.float32)
    logits[chosen] = 5.25
    assert kept_by(TopE(), logits) == set(chosen)
    half = set(chosen[: math.ceil(count / 2)])  # ties: the smaller bytes stay
    assert kept_by(TopE(0.5), logits) == half


def test_top_e_is_not_led_astray_by_rounding() -> None:
    assert 0.07 * 100 > 7  # in double precision
    logits = np.full(256, -3e4, np.float32)
    logits[list(allowed_bytes(b"", True))[:100]] = 0
    assert len(kept_by(TopE(0.07), logits)) == 7


def test_top_e_by_hand() -> None:
    logits = np.full(256, -3e4, np.float32)
    for byte, p in zip(b"abcd", (0.5, 0.25, 0.125, 0.125), strict=True):
        logits[byte] = math.log(p)
    # H = 1.75 ln 2, exp(H) = 3.36: four stay; half of it, 1.68: two; a quarter, 0.84: one.
    assert kept_by(TopE(), logits) == set(b"abcd")
    assert kept_by(TopE(0.5), logits) == set(b"ab")
    assert kept_by(TopE(0.25), logits) == set(b"a")
    assert drawn_from(TopE(0.5), logits)[list(b"ab")] == pytest.approx([2 / 3, 1 / 3])


@given(any_logits(), pendings, st.booleans(), st.floats(0.001, 1))
def test_top_p_keeps_the_fewest_likeliest(logits: Logits, pending: bytes, end: bool, mass: float) -> None:
    p = probabilities(logits, pending, end)
    order = by_likelihood(logits, allowed_bytes(pending, end))
    assert reaches(p, order, mass, kept_by(TopP(mass), logits, pending, end))


@given(any_logits(), pendings, st.integers(1, 300))
def test_top_k_keeps_the_k_likeliest(logits: Logits, pending: bytes, k: int) -> None:
    p = probabilities(logits, pending)
    first = by_likelihood(logits, allowed_bytes(pending, True))[:k]
    assert kept_by(TopK(k), logits, pending) == {b for b in first if p[b] > 0}


@given(any_logits(), pendings, st.floats(0.001, 1))
def test_min_p_keeps_what_is_near_the_likeliest(logits: Logits, pending: bytes, share: float) -> None:
    p = probabilities(logits, pending)
    kept = kept_by(MinP(share), logits, pending)
    assert kept >= set(np.flatnonzero(p >= p.max() * share * (1 + 1e-9)).tolist()) | {int(p.argmax())}
    assert kept <= set(np.flatnonzero(p >= p.max() * share * (1 - 1e-9)).tolist())


@given(any_logits(), pendings, st.floats(0.001, 1))
def test_typical_keeps_what_surprises_as_expected(logits: Logits, pending: bytes, mass: float) -> None:
    p = probabilities(logits, pending)
    allowed = list(allowed_bytes(pending, True))
    z = logits[allowed].astype(np.float64) - float(logits[allowed].max())
    surprise = math.log(np.exp(z).sum()) - z
    entropy = float((p[allowed] * surprise).sum())
    distance = dict(zip(allowed, np.abs(surprise - entropy).tolist(), strict=True))
    kept = kept_by(Typical(mass), logits, pending)
    assert p[list(kept)].sum() > mass - 1e-9
    farthest = max(distance[b] for b in kept)
    near = {b for b in allowed if distance[b] < farthest * (1 - 1e-9) - 1e-9 and p[b] > 0}
    assert near <= kept  # nothing nearer was left out,
    assert p[list(near)].sum() < mass + 1e-9  # and the farthest were needed


@given(any_logits(), pendings, st.booleans())
def test_greedy_takes_the_likeliest_and_of_equals_the_smaller(
    logits: Logits, pending: bytes, end: bool
) -> None:
    best = by_likelihood(logits, allowed_bytes(pending, end))[0]
    assert kept_by(Greedy(), logits, pending, end) == {best}
    assert Greedy().start(1).sample(logits, pending, end) == best


@given(samplers, any_logits(), pendings)
def test_what_is_kept_keeps_its_odds(sampler: Sampler, logits: Logits, pending: bytes) -> None:
    out = drawn_from(sampler, logits, pending)
    p = probabilities(logits, pending) * (out > 0)
    assert out.sum() == pytest.approx(1)
    if p.sum() > 0:  # a "typical" byte may be too unlikely for the reference's sum
        np.testing.assert_allclose(out, p / p.sum(), rtol=1e-9, atol=1e-300)


# --- temperature -------------------------------------------------------------------------------------------


@given(any_logits(), samplers, st.floats(0.1, 10))
def test_temperature_divides_the_logits_of_the_kept(
    logits: Logits, sampler: Sampler, temperature: float
) -> None:
    logits = np.clip(logits, -300, 300)  # so that what is kept has a probability above 0 in double precision
    kept = sorted(kept_by(sampler, logits))
    z = logits[kept].astype(np.float64) / temperature
    expected = np.exp(z - z.max())
    out = drawn_from(type(sampler)(**{**vars(sampler), "temperature": temperature}), logits)
    assert set(np.flatnonzero(out).tolist()) <= set(kept)
    np.testing.assert_allclose(out[kept], expected / expected.sum(), rtol=1e-9, atol=1e-12)


@given(any_logits(), samplers)
def test_temperature_nought_is_the_likeliest_of_the_kept(logits: Logits, sampler: Sampler) -> None:
    kept = kept_by(sampler, logits)
    cold = type(sampler)(**{**vars(sampler), "temperature": 0.0})
    assert kept_by(cold, logits) == {by_likelihood(logits, bytes(kept))[0]}


def test_great_heat_makes_the_kept_equal_and_lets_no_other_in() -> None:
    logits = np.random.default_rng(5).normal(size=256).astype(np.float32) * 3
    kept = kept_by(TopK(10), logits)
    out = drawn_from(TopK(10, temperature=1e9), logits)
    assert set(np.flatnonzero(out).tolist()) == kept
    np.testing.assert_allclose(out[list(kept)], 0.1, rtol=1e-6)


# --- the draw ----------------------------------------------------------------------------------------------


@given(samplers, st.integers(-(2**70), 2**70), any_logits(), pendings, st.booleans(), st.floats(0, 50))
def test_any_draw_is_allowed(
    sampler: Sampler, seed: int, logits: Logits, pending: bytes, end: bool, heat: float
) -> None:
    hot = type(sampler)(**{**vars(sampler), "temperature": heat})
    native = hot.start(seed)
    for _ in range(5):
        byte = native.sample(logits, pending, end)
        assert byte in allowed_bytes(pending, end)
        assert native.probabilities(logits, pending, end)[byte] > 0


def write(sampler: Sampler, seed: int, count: int, logits: Callable[[], Logits]) -> bytes:
    """What a session does: draws bytes, cuts them into characters and shows those to the sampler."""
    native, cutter, text = sampler.start(seed), Utf8Cutter(), bytearray()
    while len(text) < count or cutter.pending:
        byte = native.sample(logits(), cutter.pending, True)
        text.append(byte)
        for character in cutter.push(byte):
            native.accept(character)
    return bytes(text)


@settings(max_examples=60)
@given(
    samplers,
    st.integers(0, 2**64 - 1),
    st.sampled_from([0.0, 1.0, 5.0, 40.0]),
    st.floats(0, 3),
    st.floats(1, 3),
    st.integers(1, 80),
)
def test_long_runs_are_strict_utf8_without_marks(
    sampler: Sampler, seed: int, scale: float, temperature: float, penalty: float, window: int
) -> None:
    rng = np.random.default_rng(seed)
    options = {"temperature": temperature, "repetition_penalty": penalty, "repetition_window": window}
    text = write(
        type(sampler)(**{**vars(sampler), **options}),
        seed,
        800,
        lambda: rng.normal(size=256).astype(np.float32) * np.float32(scale),
    )
    for part in text.split(b"\xff"):  # an end mark may stand between characters only
        decoded = part.decode("utf-8", "strict")
        assert "\r" not in decoded
        assert all(c >= " " or c in "\n\t" for c in decoded)
    assert not {0xFD, 0xFE} & set(text)


@pytest.mark.parametrize(
    "sampler", [WHOLE, TopE(2), TopP(0.8), TopK(5), MinP(0.1), Typical(0.7, temperature=1.5)]
)
def test_frequencies_match_the_probabilities(sampler: Sampler) -> None:
    logits = (np.random.default_rng(11).normal(size=256) * 2).astype(np.float32)
    native, draws = sampler.start(2026), 20_000
    p = np.asarray(native.probabilities(logits))
    counts = np.bincount([native.sample(logits) for _ in range(draws)], minlength=256)
    assert counts[p == 0].sum() == 0
    often = p * draws >= 5  # the usual bound for the approximation; the rest is one class
    seen = np.append(counts[often], counts[~often].sum())
    expected = np.append(p[often], p[~often].sum()) * draws
    used = expected > 0
    chi_square = float(((seen[used] - expected[used]) ** 2 / expected[used]).sum())
    freedom = int(used.sum()) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom) + 4


def test_the_generator_is_splitmix64() -> None:
    # The values published with the reference implementation for the seed 1234567.
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_same_seed_writes_the_same_text_on_every_machine() -> None:
    """Recorded once; the logits are exact fractions, so no library's exp or log has a part in it."""

    def text(sampler: Sampler, seed: int) -> bytes:
        step = iter(range(10**6))
        return write(sampler, seed, 3000, lambda: grid[next(step) % 7])

    grid = [
        ((np.arange(256, dtype=np.int64) * 7919 + i * 104729) % 97 / np.float32(16)).astype(np.float32)
        for i in range(7)
    ]
    digests = []
    for sampler in (TopE(), TopE(0.7, temperature=0.8, repetition_penalty=1.3), TopP(0.7), Typical(0.5)):
        assert text(sampler, 1) == text(sampler, 1) == text(sampler, 1 + 2**64)
        assert text(sampler, 1) != text(sampler, 2)
        digests.append(hashlib.sha256(text(sampler, 1)).hexdigest()[:16])
    assert digests == ["bca5d42cba22dfe2", "085b405c72fdac83", "574628f1374fa041", "04f489d33f0b4db8"]


def test_no_seed_is_a_new_seed_each_time() -> None:
    flat = np.zeros(256, np.float32)
    assert write(WHOLE, 7, 60, lambda: flat) == write(WHOLE, 7, 60, lambda: flat)
    first, second = WHOLE.start(), WHOLE.start()
    assert [first.sample(flat) for _ in range(40)] != [second.sample(flat) for _ in range(40)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "place", [0, 65, 255]
)  # 0 and 255 here are masked: they must be noticed all the same
def test_a_logit_that_is_no_number_is_an_error(value: float, place: int) -> None:
    logits = np.zeros(256, np.float32)
    logits[place] = value
    for kind in SAMPLERS:
        with pytest.raises(ValueError, match=f"logit {place} is not finite"):
            sampler_by_name(kind).start(1).sample(logits, b"\xe6", False)


def test_logits_must_be_256_numbers() -> None:
    for wrong in (np.zeros(255, np.float32), np.zeros((1, 256), np.float32)):
        with pytest.raises(ValueError, match="shape"):
            TopE().start(1).sample(wrong)


# --- the options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("top-e", {}, TopE(1.0)),
        ("top-e", {"factor": 1.5, "temperature": 0.7}, TopE(1.5, temperature=0.7)),
        ("top-p", {"p": 0.5, "temperature": None}, TopP(0.5)),
        ("top-k", {"k": 3}, TopK(3)),
        ("min-p", {"p": 0.1, "repetition_penalty": 1.2}, MinP(0.1, repetition_penalty=1.2)),
        ("typical", {"p": 0.3, "repetition_window": 5}, Typical(0.3, repetition_window=5)),
        ("greedy", {"p": None}, Greedy()),
    ],
)
def test_samplers_by_name(name: str, options: dict[str, float | None], expected: Sampler) -> None:
    assert sampler_by_name(name, **options) == expected


def test_wrong_names_and_options_are_said_clearly() -> None:
    with pytest.raises(ValueError, match="unknown sampler 'top-z': choose one of top-e, top-p"):
        sampler_by_name("top-z")
    with pytest.raises(ValueError, match="sampler top-k has no option 'p': it has temperature"):
        sampler_by_name("top-k", p=0.5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TopE, {"factor": 0}, "factor must be a number above 0, not 0"),
        (TopE, {"factor": math.inf}, "factor must be"),
        (TopP, {"p": 0}, "p must be a number above 0 and at most 1, not 0"),
        (TopP, {"p": 1.01}, "p must be"),
        (TopP, {"p": math.nan}, "p must be"),
        (MinP, {"p": -0.1}, "p must be"),
        (Typical, {"p": "0.5"}, "p must be a number above 0 and at most 1, not '0.5'"),
        (TopK, {"k": 0}, "k must be a whole number of at least 1, not 0"),
        (TopK, {"k": 2.0}, "k must be a whole number"),
        (TopK, {"k": True}, "k must be a whole number"),
        (Greedy, {"temperature": -0.1}, "temperature must be a number of 0 or more, not -0.1"),
        (TopE, {"temperature": math.nan}, "temperature must be"),
        (TopE, {"temperature": "hot"}, "temperature must be"),
        (TopE, {"repetition_penalty": 0.9}, "repetition_penalty must be a number of 1 or more, not 0.9"),
        (TopE, {"repetition_window": 0}, "repetition_window must be a whole number from 1 to 4096, not 0"),
        (TopE, {"repetition_window": 5000}, "repetition_window must be"),
    ],
)
def test_wrong_options_are_errors(kind: type[Sampler], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_the_chat_sampler_changes_only_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat_sampler() == CHAT
    ours = TopE(factor=0.5, temperature=0.6, repetition_penalty=1.2)
    monkeypatch.setattr("engine.inference.samplers.CHAT", ours)
    assert chat_sampler("top-e", 0.9) == TopE(factor=0.5, temperature=0.9, repetition_penalty=1.2)
    assert chat_sampler("top-k", 0.9) == TopK(temperature=0.9)


@given(any_logits(), samplers, pendings)
def test_every_instruction_set_gives_the_same_probabilities(
    logits: Logits, sampler: Sampler, pending: bytes
) -> None:
    start = sampler.start(0)
    found = [start.probabilities(logits, pending, True, "utf-8", isa) for isa in _ops.kernels_supported()]
    assert all(np.array_equal(found[0], other) for other in found[1:])
