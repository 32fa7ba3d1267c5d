"""The bench of architectures: equal sizes, and a table made of what it ran."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.inference.model import Model
from engine.model.catalog import ModelFileError
from engine.model.checkpoint import write_model
from engine.training.recipe import load_plan
from tests.bench.studies import bench_architectures as bench

CANDIDATES = bench.load_candidates()


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_candidates_are_of_equal_size(candidate: bench.Candidate) -> None:
    assert candidate.config.parameters == pytest.approx(3.0e6, rel=0.05)


def test_what_was_run_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLM_DATA_DIR", str(tmp_path))
    for part in ("train", "valid"):
        text = "人以天地之氣生，四時之法成。" * (200 if part == "train" else 20)
        (tmp_path / f"tcm-books.{part}.txt.xz").write_bytes(lzma.compress(text.encode()))
    arguments = [
        "--corpora",
        str(tmp_path),
        "--out",
        str(tmp_path / "a.csv"),
        "--bytes",
        "1",
        "--only",
        "d224",
    ]
    bench.main(arguments)
    first, printed = (tmp_path / "a.csv").read_text(), capsys.readouterr().out
    assert first.count("\n") == 2
    assert printed.startswith("| 1e-06 MB read |")
    row = bench.read_rows(tmp_path / "a.csv")[0]
    assert f"| gated recurrence, d224 × 3 | tcm-books | {row.bits_per_byte:.3f} |" in printed
    assert row.state == 4 * 3 * (224 + 2 * 224)
    bench.main(arguments)
    assert (tmp_path / "a.csv").read_text() == first
    bench.main([*arguments[:-4], "--seconds", "1", "--only", "d224"])
    assert len(bench.read_rows(tmp_path / "a.csv")) == 2


def test_what_is_there_to_be_compared_is_refused_by_inference(tmp_path: Path) -> None:
    """In one line that names the file, instead of running it as another architecture."""
    config = replace(load_plan("tiny").model, mixers="w", patch="byte", heads=2)
    path = tmp_path / "m.safetensors"
    tensors = {name: np.zeros(shape, np.float32) for name, shape in config.tensors.items()}
    write_model(path, tensors, config, {}, "m", "f32")
    with pytest.raises(ModelFileError, match=r"m\.safetensors: no inference") as refused:
        Model.load(path)
    assert "\n" not in str(refused.value)
