"""In dialogues the bytes of answers count more than those of questions; in other texts all count alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine import ASSISTANT_MARK, END_MARK, USER_MARK, _train
from engine.training.recipe import load_plan

QUESTION, ANSWER = "何谓阴阳？请详细说一说好吗".encode(), "天地之道也。".encode()
DIALOGUE = (END_MARK + USER_MARK + QUESTION + ASSISTANT_MARK + ANSWER + END_MARK) * 50


def read(text: bytes, answer_weight: float, steps: int = 20) -> tuple[list[bytes], int]:
    """The bytes predicted by each step's sequences, one after the other, and how many were read."""
    plan = load_plan("tiny")
    recipe = replace(plan.recipe, answer_weight=answer_weight, length=32, batch_size=4, shards=2)
    trainer = _train.Trainer(plan.model.to_dict(), recipe.trainer_settings(1), "")
    data = np.frombuffer(text, np.uint8)
    trainer.add_source(data, 1.0)
    predicted, size = [], 0
    for _ in range(steps):
        nats, count, norm, read = trainer.step(1e-3)
        assert np.isfinite([nats, norm]).all()
        batches = [bytes(batch["target"].astype(np.uint8)) for batch in trainer.batches()]
        assert sum(map(len, batches)) == count
        predicted += batches
        size += read
    return predicted, size


def share_of_question(predicted: list[bytes], size: int) -> float:
    """How many bytes were predicted of those read, beyond the answers; 1 where all were."""
    answers = (len(ANSWER) + 3) / (len(ANSWER) + len(QUESTION) + 4)
    return (sum(map(len, predicted)) / size - answers) / (1 - answers)


def test_all_bytes_count_without_a_weight() -> None:
    predicted, size = read(DIALOGUE, 1)
    assert sum(map(len, predicted)) == size


@pytest.mark.parametrize("weight", [2.0, 8.0])
def test_questions_are_predicted_once_in_so_many_times(weight: float) -> None:
    assert share_of_question(*read(DIALOGUE, weight)) == pytest.approx(1 / weight, abs=0.07)


def test_of_answers_alone_each_byte_and_its_end_is_predicted() -> None:
    predicted, _ = read(DIALOGUE, 1000)
    kept = b"".join(predicted)
    assert kept.count(ANSWER + END_MARK) > 40
    assert QUESTION not in kept


def test_other_texts_count_as_they_are() -> None:
    predicted, size = read((END_MARK + QUESTION * 10 + END_MARK) * 5, 1000)
    assert sum(map(len, predicted)) == size


def test_a_weight_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="answer_weight must be 1 to 1000, not"):
        replace(load_plan("tiny").recipe, answer_weight=0.5)
