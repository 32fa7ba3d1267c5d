"""What to train and how: config files, and the plan for going on from a model."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from engine.model.checkpoint import ModelFile
from engine.model.config import ModelConfig
from engine.training.dataset import BLANK_LINES

TUNING_SHARE = 0.1  # of the highest learning rate
TUNING_WARMUP = 20
PAIRS_SHARE = 0.2  # likewise, for a few pairs
PAIRS_BATCH, PAIRS_WARMUP = 8, 10
MAX_ANSWER_WEIGHT = 1000.0  # of questions nothing is left then
_OLD_NAMES = {"lanes": "batch_size"}
TEXT_AND_RATE = ("rate", "warmup", "final", "seed", "blank_lines")


class TrainingError(ValueError):
    """A run that cannot start or go on; the message says what to correct."""


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of every bundled config that does not say otherwise."""

    batch_size: int = 32  # sequences read side by side
    length: int = 128  # patches of each that a step reads
    shards: int = 4
    run_windows: int = 16
    rate: float = 1e-2
    warmup: int = 100
    decay: float = 0.1
    momentum: float = 0.95  # of Muon, which updates the matrices
    beta1: float = 0.9  # of AdamW, which updates the rest
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip: float = 1.0
    seed: int = 1
    answer_weight: float = 1.0  # in dialogues; bytes of questions are predicted once in so many times
    final: float = 0.0  # share of the highest rate that is left at the end
    blank_lines: int = BLANK_LINES  # so many empty lines or more part the documents of a .txt

    def __post_init__(self) -> None:
        if self.blank_lines < 1:
            raise ValueError(f"blank_lines must be 1 or more, not {self.blank_lines}")
        if not 1 <= self.answer_weight <= MAX_ANSWER_WEIGHT:
            raise ValueError(f"answer_weight must be 1 to {MAX_ANSWER_WEIGHT:g}, not {self.answer_weight}")

    def rate_at(self, used: float, steps: int) -> float:
        """The rate after so many steps and that share of the budget.

        Linear warm-up, times a linear fall over the whole run (Bergsma et al., 2025, arXiv:2502.15938).
        """
        fall = self.final + (1 - self.final) * (1 - min(used, 1.0))
        return self.rate * fall * min(1.0, (steps + 1) / self.warmup)

    def trainer_settings(self, threads: int) -> dict[str, Any]:
        """What the native trainer takes, under its own names."""
        return asdict(self) | {"threads": threads}

    def tuned(self) -> Recipe:
        """The recipe for going on from a trained model: a lower rate, a short warm-up, falling to zero."""
        rate, warmup = self.rate * TUNING_SHARE, min(self.warmup, TUNING_WARMUP)
        return replace(self, rate=rate, warmup=warmup, final=0.0)

    def for_pairs(self) -> Recipe:
        """The recipe for a few pairs that a trained model is to know (pairs.py): many small steps."""
        shards = self.shards if PAIRS_BATCH % self.shards == 0 else 1
        return replace(
            self,
            batch_size=PAIRS_BATCH,
            shards=shards,
            rate=self.rate * PAIRS_SHARE,
            warmup=PAIRS_WARMUP,
            decay=0.0,
            final=0.0,
        )


@dataclass(frozen=True)
class Plan:
    """What to build, how to train it, and what its card says beside the figures."""

    model: ModelConfig
    recipe: Recipe
    notes: dict[str, str]


def load_plan(name: str) -> Plan:
    """A bundled config by name, or a TOML file. Raises TrainingError naming what is wrong."""
    bundled = resources.files("engine") / "configs"
    known = sorted(p.name.removesuffix(".toml") for p in bundled.iterdir() if p.name.endswith(".toml"))
    source = bundled / f"{name}.toml" if name in known else Path(name)
    if not source.is_file():
        raise TrainingError(f"no config {name!r}: name one of {', '.join(known)} or a TOML file")
    try:
        parsed = tomllib.loads(source.read_text(encoding="utf-8-sig"))
        recipe = Recipe(**_renamed(parsed.get("train", {})))
        return Plan(ModelConfig(**parsed["model"]), recipe, parsed.get("card", {}))
    except KeyError as error:
        raise TrainingError(f"{name}: section {error} is missing") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{name}: is not UTF-8: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise TrainingError(f"{name}: {error}") from None


def plan_from(model: ModelFile) -> Plan:
    """The sizes of a model and the recipe of its last stage; its card is passed on by the run."""
    if not isinstance(model.config, ModelConfig):
        raise TrainingError(
            f"{model.path}: is an imported {model.config.arch} model, which cannot be trained here"
        )
    default = asdict(Recipe())
    stages: list[dict[str, Any]] = model.card.get("stages", [])
    last = _renamed(stages[-1].get("recipe", {})) if stages else {}
    # The stage may have had a rate lowered already, and texts of another make.
    taken: dict[str, Any] = {
        k: v for k, v in last.items() if type(v) is type(default.get(k)) and k not in TEXT_AND_RATE
    }
    return Plan(model.config, Recipe(**taken), {})


def _renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe, with those of older configs and model cards under their names of today."""
    return {_OLD_NAMES.get(name, name): value for name, value in settings.items()}
