"""The native reader: its distribution over spans, its gradient, and that places are those of the passage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _ops, _train
from tests.engine.reading.conftest import TINY, tensors

QUESTION = "桂枝汤治何"
PASSAGES = [("伤寒论", "太阳病桂枝汤主之发热"), ("别的", "桂枝去皮，一段文字。")]
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def network() -> _train.Reader:
    return _train.Reader(TINY.to_dict(), tensors())


def every_span(passages: list[tuple[str, str]]) -> list[tuple[int, int, int]]:
    return [
        (number, start, end)
        for number, (_, text) in enumerate(passages)
        for start in range(len(text))
        for end in range(start + 1, min(len(text), start + TINY.longest) + 1)
    ]


@settings(max_examples=30, deadline=None)
@given(ANYTHING, st.lists(st.tuples(st.text(max_size=5), ANYTHING), min_size=1, max_size=3))
def test_all_spans_and_nothing_share_one_probability(
    network: _train.Reader, question: str, passages: list[tuple[str, str]]
) -> None:
    question = question.encode("utf-8", "replace").decode()
    passages = [(a.encode("utf-8", "replace").decode(), b) for a, b in passages]
    logs = network.log_probabilities(question, passages, every_span(passages))
    found, answerable = network.read(question, passages, 3)
    assert np.exp(logs).sum() == pytest.approx(answerable, rel=1e-4)
    passage, start, end, probability = found[0]
    assert 0 <= start < end <= len(passages[passage][1])
    assert end - start <= TINY.longest
    assert probability == pytest.approx(max(np.exp(logs)), rel=1e-4)
    for one, other in [(a, b) for i, a in enumerate(found) for b in found[:i]]:
        assert one[0] != other[0] or one[2] <= other[1] or other[2] <= one[1]


def test_a_passage_is_read_alike_in_any_company(network: _train.Reader) -> None:
    spans = [(0, 2, 5), (0, 3, 7)]
    alone = network.log_probabilities(QUESTION, PASSAGES[:1], spans)
    beside = network.log_probabilities(QUESTION, [*PASSAGES[:1], ("长", "很长的另一段" * 30)], spans)
    assert alone[0] - alone[1] == pytest.approx(beside[0] - beside[1], abs=1e-4)


def test_portable_operators_find_the_same(network: _train.Reader) -> None:
    portable = _train.Reader(TINY.to_dict(), tensors(), "portable")
    assert portable.isa == "portable"
    one, other = (reader.read(QUESTION, PASSAGES, 3) for reader in (network, portable))
    assert [span[:3] for span in one[0]] == [span[:3] for span in other[0]]
    assert one[1] == pytest.approx(other[1], rel=1e-4)


@pytest.mark.parametrize("answers", [[(0, 2, 5), (1, 3, 4)], []], ids=["answers", "nothing"])
def test_the_gradient_is_that_of_the_loss(answers: list[tuple[int, int, int]]) -> None:
    values = tensors(seed=3)
    weights = np.concatenate([values[name].ravel() for name in TINY.tensors]).astype(np.float64)
    given = (TINY.to_dict(), QUESTION, PASSAGES, answers)

    def loss(at: np.ndarray) -> float:
        return float(_ops.reader_gradient(given[0], at, *given[1:])[0])

    gradient = _ops.reader_gradient(given[0], weights, *given[1:])[1]
    rng, begin, step = np.random.default_rng(0), 0, 1e-5
    for name, shape in TINY.tensors.items():
        size = int(np.prod(shape))
        used = begin + np.flatnonzero(gradient[begin : begin + size])
        assert used.size, name
        for i in rng.choice(used, min(4, used.size), replace=False):
            moved = np.zeros_like(weights)
            moved[i] = step
            wanted = (loss(weights + moved) - loss(weights - moved)) / (2 * step)
            assert gradient[i] == pytest.approx(wanted, rel=1e-3, abs=1e-7), name
        begin += size


def test_sizes_and_places_that_cannot_be_are_refused(network: _train.Reader) -> None:
    with pytest.raises(ValueError, match="layers must lie between 2 and 32"):
        _train.Reader({**TINY.to_dict(), "layers": 3}, tensors())
    with pytest.raises(ValueError, match="a passage that is not there"):
        network.log_probabilities(QUESTION, PASSAGES, [(2, 0, 1)])
    trainer = _train.ReaderTrainer(TINY.to_dict(), SETTINGS)
    source = trainer.add_source(1.0)
    with pytest.raises(ValueError, match="an answer lies outside its passage"):
        trainer.add(source, QUESTION, PASSAGES, [(0, 8, 99)])


SETTINGS = {
    "batch_size": 4, "shards": 2, "passages": 1, "dropout": 0.1, "seed": 1, "threads": 1, "beta1": 0.9,
    "beta2": 0.98, "epsilon": 1e-8, "momentum": 0.95, "decay": 0.01, "clip": 1.0,
}  # fmt: skip


def test_threads_do_not_change_what_is_learned() -> None:
    weights = []
    for threads in (1, 2):
        trainer = _train.ReaderTrainer(TINY.to_dict(), {**SETTINGS, "threads": threads})
        source = trainer.add_source(1.0)
        for i in range(9):
            trainer.add(source, f"第{i}条是什么", [("书", f"甲乙丙。第{i}条是冬{i}藏。")], [(0, 8, 11)])
        for _ in range(3):
            trainer.step(1e-2)
        weights.append(trainer.state()["weights"])
    assert np.array_equal(*weights)
