"""The bundled `tcm`: a complete card, int8 that loses next to nothing, answers in Chinese that end.

held_out.txt is from 六因条辨 (Qing dynasty, public domain), one of the books that no training text contains.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import ASSISTANT_MARK, USER_MARK, Model, _ops
from engine.model.checkpoint import read_model

MODELS = Path(__file__).parents[2] / "engine" / "models"
HELD_OUT = Path(__file__).with_name("held_out.txt").read_bytes()
BOOKS, DIALOGUE = "tcm-books.valid.txt.xz", "tcm-dialogue.valid.jsonl.xz"
QUESTIONS = [
    "桂枝汤由哪些药组成？",
    "什么是少阳病？",
    "请问黄芪的功效是什么？",
    "失眠多梦，心悸健忘，用什么方？",
    "脾胃虚弱怎么调理？",
    "关于消渴，古代医书怎么说？",
    "《本草纲目》怎样记载人参？",
    "请解释“阴阳者，天地之道也”。",
    "小儿咳嗽怎么办？",
    "四物汤主治什么？",
    "医生你好，我最近总是头晕，是什么原因？",
    "当归有什么作用？",
    "何为五行？",
    "痢疾用什么药？",
    "妇人产后腹痛如何治疗？",
    "浮脉主什么病？",
    "感冒发烧嗓子疼，吃什么药好？",
    "足三里在哪里？",
    "麻黄汤的禁忌是什么？",
    "腰痛是什么引起的？",
]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load("tcm")


@pytest.mark.parametrize(("name", "dtype"), [("tcm", "int8"), ("tcm-bf16", "bf16")])
def test_the_files_and_their_card(name: str, dtype: str) -> None:
    path = MODELS / f"{name}.safetensors"
    assert path.stat().st_size <= 8_000_000
    file = read_model(path)
    assert (file.name, file.dtype) == ("tcm", dtype)
    assert 2_850_000 <= file.config.parameters <= 3_150_000
    card: dict[str, Any] = file.card
    books, dialogue, again = card["stages"]
    both = {"tcm-dialogue.train.jsonl.xz", "tcm-books.train.txt.xz"}
    assert {d["file"] for d in books["data"]} == both | {"zh.train.txt.xz"}
    assert {d["file"] for d in dialogue["data"]} == both
    assert {d["file"] for d in again["data"]} == both
    assert all(len(d["sha256"]) == 64 for stage in card["stages"] for d in stage["data"])
    assert books["minutes"] >= 60
    assert dialogue["minutes"] >= 15
    assert again["minutes"] >= 60
    assert {"licence", "texts", "limits"} <= card.keys()
    assert card["valid_bits_per_byte"].keys() == {BOOKS, DIALOGUE, f"{DIALOGUE} (answers)"}


def test_both_files_hold_the_same_model() -> None:
    int8, bf16 = (read_model(MODELS / f"{n}.safetensors") for n in ("tcm", "tcm-bf16"))
    for name in bf16.config.tensors:
        exact = bf16.float32(name)
        rows = np.abs(exact).reshape(len(exact), -1).max(axis=1)
        error = np.abs(int8.float32(name) - exact).reshape(len(exact), -1).max(axis=1)
        assert (error <= rows / 254 * 1.001 + 1e-12).all(), name


def test_int8_costs_less_than_one_percent(model: Model) -> None:
    """Against the unquantised weights in the trainer's own float32 forward pass."""
    exact = read_model(MODELS / "tcm-bf16.safetensors")
    config = exact.config.to_dict()
    weights = np.concatenate([exact.float32(name).ravel() for name, _, _ in _ops.layout(config)])
    losses, _ = _ops.network("portable", config, weights, np.frombuffer(HELD_OUT, np.uint8), 128)
    expected = losses.sum() / np.log(2) / len(HELD_OUT)
    assert model.score(HELD_OUT).bits_per_byte == pytest.approx(expected, rel=0.01)


def test_it_has_learned_the_language(model: Model) -> None:
    bits = model.score(HELD_OUT).bits_per_byte
    reversed_text = HELD_OUT.decode()[::-1].encode()
    assert bits < 2.2
    assert model.score(reversed_text).bits_per_byte > bits + 1.0


def test_it_answers_in_chinese_and_stops_by_itself(model: Model) -> None:
    ended, answers = 0, []
    for number, question in enumerate(QUESTIONS):
        session = model.session()
        session.feed(USER_MARK + question.encode() + ASSISTANT_MARK)
        answers.append("".join(session.generate(max_bytes=1200, seed=number)))
        ended += session.stop_reason == "end"
    assert ended >= len(QUESTIONS) * 0.75
    assert all(answers), "an empty answer"
    text = "".join(answers)
    han = sum(unicodedata.name(c, "").startswith("CJK UNIFIED") for c in text)
    assert han > 0.7 * len(text)


def test_it_answers_in_the_manner_of_the_question(model: Model) -> None:
    """A consultation is answered like one, a question on a classic like a classic."""
    modern = ("医生你好，我最近头晕怎么办？", "您好，根据您的描述，建议您去医院检查。")
    classical = ("《本草备要》怎样记载黄芪？", "气味甘，微温，无毒。主治痈疽久败疮。")

    def bits(question: str, answer: str) -> float:
        session = model.session()
        session.feed(USER_MARK + question.encode() + ASSISTANT_MARK)
        return session.score(answer)

    assert bits(*modern) + 20 < bits(classical[0], modern[1])
    assert bits(*classical) + 20 < bits(modern[0], classical[1])
