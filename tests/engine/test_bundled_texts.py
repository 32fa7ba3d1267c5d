"""The bundled `zh` and `pubmed`: complete cards, int8 that loses next to nothing, text in their language.

The passages were written for this test, so no training text contains them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import Model, _ops
from engine.model.checkpoint import read_model

MODELS = Path(__file__).parents[2] / "engine" / "models"
PASSAGES = {
    "zh": (
        "那一年冬天，城里的粮价一天比一天高，守将怕百姓生乱，便下令打开仓库，按人口分发。"
        "老人听了这话，叹了一口气，说：“大人若早来三日，我的儿子也不至于离家去投军了。”"
        "众人都低头不语。第五条　各级人民政府应当加强对本行政区域内水资源保护工作的领导，"
        "任何单位和个人都有权对违反本法规定的行为进行举报。"
    ),
    "pubmed": (
        "Methods\nWe randomly assigned 240 adults with mild hypertension to a low-salt diet or to usual "
        "care for 12 weeks. The primary outcome was the change in systolic blood pressure from baseline; "
        "secondary outcomes were body weight and quality of life.\nResults\nSystolic blood pressure fell "
        "by 5.1 mm Hg in the intervention group and by 1.2 mm Hg in the control group (p = 0.003). There "
        "were no serious adverse events."
    ),
}
MOST_BITS = {"zh": 2.6, "pubmed": 1.7}


@pytest.fixture(scope="module", params=PASSAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("dtype", ["int8", "bf16"])
def test_the_files_and_their_card(name: str, dtype: str) -> None:
    path = MODELS / f"{name}{'-bf16' if dtype == 'bf16' else ''}.safetensors"
    assert path.stat().st_size <= 8_000_000
    file = read_model(path)
    assert (file.name, file.dtype) == (name, dtype)
    assert 2_850_000 <= file.config.parameters <= 3_250_000
    assert {"licence", "texts", "limits", "purpose"} <= file.card.keys()
    assert file.card["valid_bits_per_byte"].keys() == {f"{name}.valid.txt.xz"}
    assert all(len(d["sha256"]) == 64 for stage in file.card["stages"] for d in stage["data"])


def test_int8_costs_less_than_one_percent(name: str) -> None:
    """Against the unquantised weights in the trainer's own float32 forward pass."""
    exact = read_model(MODELS / f"{name}-bf16.safetensors")
    config, passage = exact.config.to_dict(), PASSAGES[name].encode()
    weights = np.concatenate([exact.float32(tensor).ravel() for tensor, _, _ in _ops.layout(config)])
    losses, _ = _ops.network("portable", config, weights, np.frombuffer(passage, np.uint8), 128)
    expected = losses.sum() / np.log(2) / len(passage)
    assert Model.load(name).score(passage).bits_per_byte == pytest.approx(expected, rel=0.01)


def test_it_has_learned_the_language(name: str) -> None:
    model, passage = Model.load(name), PASSAGES[name]
    bits = model.score(passage).bits_per_byte
    assert bits < MOST_BITS[name]
    assert model.score(passage[::-1]).bits_per_byte > bits + 0.8


def test_a_conversation_with_it_fits_16_kb(name: str) -> None:
    session = Model.load(name).session()
    session.feed(PASSAGES[name])
    assert len(session.snapshot()) < 16_000
