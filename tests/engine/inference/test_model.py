"""Loading models, and what the native side refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import Model, _core, _ops
from engine.model.checkpoint import quantize_model
from tests.tiny_model import TINY, write_tiny_model


def test_info_says_what_it_is(model: Model) -> None:
    info = model.info()
    assert info["parameters"] == model.parameters == TINY.parameters
    assert info["config"] == TINY.to_dict()
    assert info["hash"] == model.hash
    assert info["card"]["note"].startswith("random")
    assert info["isa"] in _ops.kernels_supported()


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_a_float_model_runs_as_its_int8_file_does(tmp_path: Path, dtype: str) -> None:
    write_tiny_model(tmp_path / "float", dtype=dtype)
    quantize_model(tmp_path / "float", tmp_path / "int8")
    text = "陰陽者，天地之道也".encode()
    both = [Model.load(tmp_path / name).session().bits(text) for name in ("float", "int8")]
    assert np.array_equal(both[0], both[1])


def test_the_instruction_set_can_be_lowered(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = _ops.kernels_supported()[-1]
    monkeypatch.setenv("PLM_ISA", "")
    assert Model.load(model_path).isa == best
    monkeypatch.setenv("PLM_ISA", "portable")
    assert Model.load(model_path).isa == "portable"


def test_a_wrong_instruction_set_is_refused(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_ISA", "sse9")
    with pytest.raises(ValueError, match=r"PLM_ISA: .*sse9"):
        Model.load(model_path)
    for isa in set(_ops.kernels_compiled()) - set(_ops.kernels_supported()):
        monkeypatch.setenv("PLM_ISA", isa)
        with pytest.raises(ValueError, match=f"PLM_ISA: this CPU lacks .*{isa}"):
            Model.load(model_path)


def test_the_native_side_refuses_tensors_that_do_not_fit() -> None:
    sizes = {
        "width": 16, "layers": 1, "state": 16, "hidden": 16,
        "head_width": 16, "head_hidden": 16, "head_layers": 1,
    }  # fmt: skip
    with pytest.raises(KeyError, match="lead_embedding is missing"):
        _core.Network(config=sizes, tensors={})
    wrong = (np.zeros((2, 16), np.int8), np.ones(2, np.float32))
    with pytest.raises(ValueError, match="lead_embedding has another size"):
        _core.Network(config=sizes, tensors={"lead_embedding": wrong})
    with pytest.raises(TypeError, match="lead_embedding has the wrong type"):
        _core.Network(config=sizes, tensors={"lead_embedding": np.zeros((256, 16))})
    with pytest.raises(ValueError, match="multiple of 16"):
        _core.Network(config=sizes | {"width": 24}, tensors={})
