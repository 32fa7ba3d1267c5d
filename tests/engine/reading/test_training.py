"""A reader learns to find, goes on from a checkpoint, and says what is wrong with its examples."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from engine.cli.read import read as read_command
from engine.cli.train import train
from engine.model.catalog import ModelFileError
from engine.reading import Reader
from engine.reading.examples import ExampleError, read_examples
from engine.reading.measures import area_under_curve, exact, f1
from engine.reading.reader import BUNDLED, reader_of
from engine.reading.training import ReaderPlan, ReaderRecipe, ReaderRun, load_reader_plan
from tests.engine.reading.conftest import TINY

PLAN = ReaderPlan(TINY, ReaderRecipe(batch_size=8, shards=1, passages=2, rate=2e-2, warmup=5, dropout=0), {})
NAMES = "麻黄桂枝柴胡葛根黄芩黄连当归川芎白术茯苓"


def examples(path: Path, count: int, seed: int) -> Path:
    """Doses of herbs: which number stands behind a name."""
    rng = random.Random(seed)
    names = [NAMES[i : i + 2] for i in range(0, len(NAMES), 2)]
    with path.open("w") as file:
        for _ in range(count):
            herbs = rng.sample(names, 4)
            text = "，".join(f"{herb}{rng.choice('一二三四五六')}两" for herb in herbs)
            asked = herbs[0]
            at = text.index(asked)
            entry = {"passages": [{"title": "方", "text": text}], "question": f"{asked}用几两"}
            file.write(json.dumps(entry | {"answers": [text[at + 2 : at + 4]], "answerable": True}) + "\n")
    return path


def test_it_learns_to_find_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    data, held_out = (examples(tmp_path / f"{i}.jsonl", 400, i) for i in range(2))
    run = ReaderRun(
        tmp_path / "r.safetensors", "r", PLAN, [data], [1.0], [held_out], steps=250, report=lambda _: None
    )
    assert run.train()
    assert run.progress.valid["1.jsonl"]["f1"] > 0.6  # a choice at random gets a third
    reader = Reader.load(run.out)
    # As in the examples, what is asked for stands first.
    passage = {"title": "方", "text": "麻黄五两，柴胡二两，桂枝三两，当归一两"}
    found = reader.read("麻黄用几两", [passage])
    assert "五两" in passage["text"][found.spans[0].start : found.spans[0].end]

    whole, parts = (
        ReaderRun(tmp_path / f"{n}.safetensors", n, PLAN, [data], [1.0], steps=12, report=lambda _: None)
        for n in ("whole", "parts")
    )
    whole.train()
    parts.stop = lambda: parts.progress.steps == 7
    assert not parts.train()
    again = ReaderRun(parts.out, "parts", PLAN, [data], [1.0], steps=12, report=lambda _: None)
    again.resume()
    assert again.progress.steps == 7
    assert again.train()
    assert np.array_equal(whole.trainer.state()["weights"], again.trainer.state()["weights"])


def test_the_command_trains_what_the_command_reads(tmp_path: Path) -> None:
    data = examples(tmp_path / "d.jsonl", 30, 1)
    config = tmp_path / "small.toml"
    sizes = "\n".join(f"{key} = {value}" for key, value in TINY.to_dict().items() if key != "arch")
    config.write_text(f"[reader]\n{sizes}\n[train]\nbatch_size = 4\nstrangers = 0.0\n")
    out = tmp_path / "out.safetensors"
    arguments = ["--config", str(config), "--data", str(data), "--out", str(out), "--steps", "2"]
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    asked = {"passages": [{"title": "方", "text": "麻黄五两"}], "question": "麻黄用几两"}
    given = CliRunner().invoke(read_command, [str(out), "--json"], input=json.dumps(asked) + "\n")
    line = json.loads(given.stdout)
    assert set(line) == {"answer", "spans", "answerable"}
    assert line["answer"] == "".join("麻黄五两"[s["start"] : s["end"]] for s in line["spans"])
    refused = CliRunner().invoke(train, [*arguments, "--rehearse", "0.5", "--init", "tcm"])
    assert refused.exit_code == 2
    assert "--rehearse is not for readers" in refused.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no JSON"),
        ('{"question": "何"}', "passages must be a list"),
        ('{"question": "何", "passages": [{"text": ""}]}', "a passage must have a text"),
        ('{"question": " ", "passages": [{"text": "药"}]}', "question must be a text"),
        ('{"question": "何", "passages": [{"text": "药"}], "answers": ["病"]}', "stands in none"),
    ],
)
def test_what_is_wrong_with_an_example(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ExampleError, match=f"e.jsonl, line 2: .*{said}"):
        read_examples(path)


def test_lines_that_cannot_be_read_are_named() -> None:
    for line in ("[]", '{"question": "何", "passages": [1]}', "}"):
        given = CliRunner().invoke(read_command, ["reader", "--json"], input=f"\n{line}\n")
        assert given.exit_code == 1
        assert "line 2" in given.output
        assert "Traceback" not in given.output


def test_readers_are_found_by_the_model_they_go_with(reader_file: Path, tmp_path: Path) -> None:
    assert reader_of("tcm") == reader_of(None) == BUNDLED
    assert reader_of(reader_file) == reader_file
    own = tmp_path / "mine-reader.safetensors"
    own.write_bytes(reader_file.read_bytes())
    (tmp_path / "mine.safetensors").write_bytes(reader_of("tcm").read_bytes())
    assert reader_of(tmp_path / "mine.safetensors") == own
    with pytest.raises(ModelFileError, match="no such model file"):
        reader_of(tmp_path / "none.safetensors")


def test_the_bundled_config_is_that_of_the_bundled_reader() -> None:
    plan = load_reader_plan("reader")
    assert plan is not None
    assert plan.config == Reader.load().config
    assert load_reader_plan("tcm") is None
    assert replace(plan.recipe, seed=2) != plan.recipe


def test_measures() -> None:
    assert f1("桂枝三两", "桂枝 三两。") == 1.0
    assert f1("桂枝", "桂枝三两") == pytest.approx(2 / 3)
    assert f1("甲", "乙") == 0.0
    assert exact("《伤寒论》", "伤寒论")
    assert not exact("伤寒", "伤寒论")
    assert area_under_curve([0.9, 0.8, 0.1], [True, True, False]) == 1.0
    assert area_under_curve([0.5, 0.5], [True, False]) == 0.5
