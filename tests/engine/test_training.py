"""The trainer learns, resumes exactly, does not depend on threads, and keeps its last checkpoint whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from engine import _train
from engine.checkpoint import read_model
from engine.data import Text, load_text
from engine.train_command import train
from engine.training import Budget, Run, TrainingError, load_plan
from tests.service import ROOT

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
        {"mixers": "ad", "heads": 2, "head_size": 16, "window": 20, "repeats": 2},
        {"mixers": "w", "patch": "byte", "heads": 2, "window": 200},
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(make_run: Callable[..., Run], options: dict[str, Any]) -> None:
    config = replace(make_run().config, **options)
    whole = make_run("whole", steps=24, config=config)
    whole.train()
    first = make_run("cut", steps=24, config=config)
    first.folder.mkdir()
    for _ in range(11):  # in the middle of the lanes' runs, with states carried
        used = first.budget.used(0, first.trainer.steps)
        first.record.add_step(*first.trainer.step(first.rate(used))[:2], 0.0)
    first.save_checkpoint()
    second = make_run("cut", steps=24, config=config)
    second.resume()
    assert second.trainer.steps == second.record.steps == 11
    second.train()
    assert second.record.steps == 24
    np.testing.assert_array_equal(weights(whole), weights(second))


def test_fine_tuning_starts_from_the_model(make_run: Callable[..., Run], text: Text) -> None:
    base = make_run("base", steps=150, valid=[text])
    base.train()
    tuned = make_run("tuned", steps=2, initial=base.out, valid=[text])
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
    with pytest.raises(OSError, match="No space left"):
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
    other.recipe = replace(other.recipe, lanes=8)
    other.__post_init__()
    other.out = run.out
    with pytest.raises(TrainingError, match="another number of lanes"):
        other.resume()


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


def test_a_gradient_that_is_not_finite_ends_the_run(make_run: Callable[..., Run]) -> None:
    run = make_run(steps=2)
    tensors = run.trainer.tensors()
    tensors["head.out"][:] = 3e38
    run.trainer.set_tensors(tensors)
    with pytest.raises(RuntimeError, match="not finite"):
        run.trainer.step(0.01)


def test_settings_are_checked() -> None:
    plan = load_plan("tiny")
    config, settings = plan.model, asdict(plan.recipe) | {"threads": 1}
    for change, message in [({"lanes": 3}, "multiple of shards"), ({"length": 1}, "at least 2 characters")]:
        with pytest.raises(ValueError, match=message):
            _train.Trainer(config.to_dict(), settings | change)
    with pytest.raises(ValueError, match="unknown instruction set"):
        _train.Trainer(config.to_dict(), settings, "avx9")


class TestCommand:
    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(train, arguments)
        return result.exit_code, result.output

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PLM_DATA_DIR", str(tmp_path))
        (tmp_path / "a.txt").write_text(PHRASE * 30, encoding="utf-8")

    def test_trains(self, tmp_path: Path) -> None:
        common = (
            "--config",
            "tiny",
            "--data",
            str(tmp_path / "a.txt"),
            "--out",
            str(tmp_path / "m.safetensors"),
        )
        code, output = self.run(*common, "--steps", "3", "--valid", str(tmp_path / "a.txt"))
        assert code == 0, output
        assert '"steps": 3' in output
        assert read_model(tmp_path / "m.safetensors").name == "m"
        assert self.run(*common, "--steps", "5", "--resume")[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("--config", "tiny"), 2, "say how long"),
            (("--config", "nosuch", "--steps", "1"), 1, "no config 'nosuch': name one of tcm, tiny"),
            (("--config", "tiny", "--steps", "1", "--mix", "1,2"), 1, "--mix needs one share"),
            (("--config", "tiny", "--steps", "1", "--mix", "x"), 1, "--mix: 'x' is not a list of numbers"),
        ],
    )
    def test_wrong_use(self, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
        rest = ("--data", str(tmp_path / "a.txt"), "--out", str(tmp_path / "m.safetensors"))
        got, output = self.run(*arguments, *rest)
        assert (got, message in output) == (code, True), output

    @pytest.mark.parametrize(
        ("recipe", "text", "message"),
        [
            ("lanes = 10\nshards = 4", PHRASE, "lanes must be a multiple of shards"),
            ("length = 1", PHRASE, "at least 2 characters"),
            ("", "short", "at least 16 bytes"),
        ],
    )
    def test_what_the_trainer_refuses_is_one_line(
        self, tmp_path: Path, recipe: str, text: str, message: str
    ) -> None:
        config = tmp_path / "mine.toml"
        sizes = (ROOT / "engine/configs/tiny.toml").read_text("utf-8").partition("[train]")[0]
        config.write_text(f"{sizes}[train]\n{recipe}\n", encoding="utf-8")
        (tmp_path / "a.txt").write_text(text, encoding="utf-8")
        arguments = ("--config", config, "--data", tmp_path / "a.txt", "--out", tmp_path / "m.safetensors")
        code, output = self.run(*map(str, arguments), "--steps", "1")
        assert (code, output.count("\n")) == (1, 1), output
        assert message in output
