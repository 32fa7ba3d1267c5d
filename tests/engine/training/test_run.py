"""The trainer learns, resumes exactly, does not depend on threads, and keeps its last checkpoint whole."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _ops, _train
from engine.model.checkpoint import quantize_model, read_model
from engine.training.dataset import Text, answer_mask, load_text
from engine.training.recipe import TrainingError, load_plan
from engine.training.run import Budget, Run

PHRASE = "太阳之为病，脉浮，头项强痛而恶寒。桂枝三两，芍药三两，甘草二两，生姜三两，大枣十二枚。in 12 of 30\n"


@pytest.fixture
def text(tmp_path: Path) -> Text:
    (tmp_path / "a.txt").write_text(PHRASE * 40 + "\n\n\n" + PHRASE * 20, encoding="utf-8")
    return load_text(tmp_path / "a.txt", tmp_path / "cache")


@pytest.fixture
def make_run(tmp_path: Path, text: Text) -> Callable[..., Run]:
    def make(out: str = "m", steps: int = 12, **settings: Any) -> Run:
        plan, lines = load_plan("tiny"), list[str]()
        place, budget = tmp_path / f"{out}.safetensors", Budget(steps=steps)
        run = Run(place, out, plan.model, plan.recipe, budget, [text], [1.0], notes={"licence": "none"})
        return replace(run, report=lines.append, **settings)

    return make


def test_the_loss_falls(make_run: Callable[..., Run], text: Text) -> None:
    run = make_run(steps=150, valid=[text])
    start = run.trainer.evaluate(np.asarray(text.bytes))
    run.train()
    assert start > 7.5
    assert run.record.valid["a.txt"] < 1.5
    model = read_model(run.out)
    assert model.dtype == "bf16"
    assert model.card["stages"][0]["data"][0]["sha256"] == text.sha256
    assert model.card["licence"] == "none"
    assert model.card["valid_bits_per_byte"] == run.record.valid
    assert run.out.with_suffix(".png").stat().st_size > 1000


def weights(run: Run) -> np.ndarray:
    return run.trainer.state()["weights"]


def test_the_result_does_not_depend_on_the_number_of_threads(make_run: Callable[..., Run]) -> None:
    runs = [make_run(threads=n) for n in (1, 2, 3)]
    for run in runs:
        run.train()
    np.testing.assert_array_equal(weights(runs[0]), weights(runs[1]))
    np.testing.assert_array_equal(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patch": "word", "bigrams": 99, "trigrams": 99, "pieces": 99},
        {"mixers": "ar", "heads": 2, "head_size": 16, "window": 16},
        {"mixers": "w", "patch": "byte", "heads": 2, "window": 200},
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(make_run: Callable[..., Run], options: dict[str, Any]) -> None:
    config = replace(make_run().config, **options)
    whole = make_run("whole", steps=24, config=config)
    whole.train()
    first = make_run("cut", steps=24, config=config)
    first.folder.mkdir()
    for _ in range(11):  # in the middle of the sequences' runs, with states carried
        used = first.budget.used(first.record)
        rate = first.recipe.rate_at(used, first.trainer.steps)
        first.record.add_step(first.trainer.step(rate)[3], 0.0)
    first.save_checkpoint()
    second = make_run("cut", steps=24, config=config)
    second.resume()
    assert second.trainer.steps == second.record.steps == 11
    second.train()
    assert second.record.steps == 24
    np.testing.assert_array_equal(weights(whole), weights(second))


def test_int8_is_refused_with_larger_tables_too(make_run: Callable[..., Run], tmp_path: Path) -> None:
    base = make_run("base", steps=1)
    base.train()
    quantize_model(base.out, tmp_path / "int8.safetensors")
    with pytest.raises(TrainingError, match="is int8; fine-tune from the bf16 or f32 file"):
        make_run(
            "more", initial=read_model(tmp_path / "int8.safetensors"), config=replace(base.config, bigrams=64)
        )


def test_fine_tuning_starts_from_the_model(make_run: Callable[..., Run], text: Text) -> None:
    base = make_run("base", steps=150, valid=[text])
    base.train()
    tuned = make_run("tuned", steps=2, initial=read_model(base.out), valid=[text])
    assert tuned.trainer.evaluate(np.asarray(text.bytes)) == pytest.approx(
        base.record.valid["a.txt"], rel=0.02
    )
    tuned.train()
    assert [stage["steps"] for stage in read_model(tuned.out).card["stages"]] == [150, 2]


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(steps=4)
    run.train()
    saved = (run.folder / "state.safetensors").read_bytes()
    run.trainer.step(0.01)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="No space left on device; the last checkpoint is whole"):
        run.save_checkpoint()
    monkeypatch.undo()
    assert (run.folder / "state.safetensors").read_bytes() == saved
    assert [p.name for p in run.folder.iterdir()] == ["state.safetensors"]
    make_run(steps=4).resume()


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_a_broken_checkpoint_is_named(make_run: Callable[..., Run], keep: int) -> None:
    run = make_run(steps=2)
    run.train()
    path = run.folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"state.safetensors: cannot be resumed"):
        make_run(steps=2).resume()


def test_a_checkpoint_of_other_sizes_is_refused(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run(steps=2)
    run.train()
    other = make_run("other", steps=2)
    other.recipe = replace(other.recipe, batch_size=8)
    other.__post_init__()
    other.out = run.out
    with pytest.raises(TrainingError, match="another batch size"):
        other.resume()


def test_a_checkpoint_of_another_model_is_refused(make_run: Callable[..., Run]) -> None:
    run = make_run(steps=2)
    run.train()
    with pytest.raises(TrainingError, match="a model of other sizes than the config"):
        make_run(steps=2, config=replace(run.config, layers=3)).resume()


def test_a_checkpoint_of_other_texts_is_refused(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run(steps=2)
    run.train()
    (tmp_path / "b.txt").write_text(PHRASE, encoding="utf-8")
    other = load_text(tmp_path / "b.txt", tmp_path / "cache")
    with pytest.raises(TrainingError, match="made with other texts"):
        make_run(steps=2, texts=[other]).resume()
    # The native trainer does not rely on that: a lane that would read past its text is refused too.
    trainer = make_run(steps=2, texts=[other]).trainer
    with pytest.raises(ValueError, match="made with other texts"):
        trainer.set_state(run.trainer.state())


def test_answers_are_evaluated_by_themselves(make_run: Callable[..., Run], tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "何謂陰陽？"}, {"role": "assistant", "content": "天地之道也。"}]
    (tmp_path / "d.jsonl").write_text(json.dumps({"turns": turns * 3}), encoding="utf-8")
    dialogue = load_text(tmp_path / "d.jsonl", tmp_path / "cache")
    recipe = replace(
        load_plan("tiny").recipe, batch_size=1, shards=1
    )  # one piece, so that all is seen in order
    run = make_run(steps=2, valid=[dialogue], recipe=recipe)
    run.train()
    tensors = run.trainer.tensors()
    names = [name for name, _, _ in _ops.layout(run.config.to_dict())]
    flat = np.concatenate([tensors[name].ravel() for name in names])
    data = np.asarray(dialogue.bytes)
    losses, _ = _ops.network("portable", run.config.to_dict(), flat, data, 4096)
    counted = answer_mask(data).astype(bool)
    assert counted.sum() == 3 * len("天地之道也。".encode() + b"\xff")
    bits = losses[counted].mean() / np.log(2)
    assert run.record.valid["d.jsonl (answers)"] == pytest.approx(bits, rel=0.01)
    assert run.record.valid["d.jsonl"] == pytest.approx(losses.mean() / np.log(2), rel=0.01)


def test_the_card_says_how_fast_it_was(make_run: Callable[..., Run]) -> None:
    run = make_run(steps=3)
    run.train()
    (stage,) = read_model(run.out).card["stages"]
    assert stage["bytes_per_second"] == round(run.record.bytes_read / run.record.minutes / 60)
    assert 0 < stage["roofline_share"] < 1


def test_a_gradient_that_is_not_finite_ends_the_run(make_run: Callable[..., Run]) -> None:
    run = make_run(steps=2)
    tensors = run.trainer.tensors()
    tensors["head.out"][:] = 3e38
    run.trainer.set_tensors(tensors)
    with pytest.raises(RuntimeError, match="not finite"):
        run.trainer.step(0.01)


def test_settings_are_checked() -> None:
    plan = load_plan("tiny")
    config, settings = plan.model, plan.recipe.trainer_settings(1)
    for change, message in [
        ({"batch_size": 3}, "multiple of shards"),
        ({"length": 1}, "at least 2 characters"),
    ]:
        with pytest.raises(ValueError, match=message):
            _train.Trainer(config.to_dict(), settings | change)
    with pytest.raises(ValueError, match="unknown instruction set"):
        _train.Trainer(config.to_dict(), settings, "avx9")
