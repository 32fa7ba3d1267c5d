"""Recipes: what configs and model cards of older versions say is still understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.catalog import find_model
from engine.model.checkpoint import read_model
from engine.training.recipe import TrainingError, load_plan, plan_from

ROOT = Path(__file__).parents[3]


def test_a_config_may_still_say_lanes(tmp_path: Path) -> None:
    text = "\ufeff" + (ROOT / "engine/configs/tiny.toml").read_text("utf-8")  # and begin as Notepad has it
    assert "batch_size = 4" in text
    (tmp_path / "old.toml").write_text(text.replace("batch_size = 4", "lanes = 6"))
    assert load_plan(str(tmp_path / "old.toml")).recipe.batch_size == 6
    (tmp_path / "wrong.toml").write_text(text.replace("batch_size = 4", "colour = 6"))
    with pytest.raises(TrainingError, match="colour"):
        load_plan(str(tmp_path / "wrong.toml"))


def test_the_card_of_an_older_model_gives_its_batch_size() -> None:
    model = read_model(find_model("tcm-bf16"))
    last = model.card["stages"][-1]["recipe"]
    plan = plan_from(model)
    assert plan.recipe.batch_size == last.get("lanes", last.get("batch_size")) != 32
    assert plan.recipe.trainer_settings(2)["threads"] == 2


@pytest.mark.parametrize("name", ["tiny", "tcm", "zh", "pubmed"])
def test_the_native_trainer_gets_the_batch_size_under_its_own_name(name: str) -> None:
    recipe = load_plan(name).recipe
    assert recipe.trainer_settings(1)["batch_size"] == recipe.batch_size
