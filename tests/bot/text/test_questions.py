"""Questions that are answered by likelihood: how they are recognised and what is said."""

from __future__ import annotations

import pytest

from bot.text import questions

CHOICES = ["人参", "白术", "大黄", "甘草"]


@pytest.mark.parametrize(
    "text",
    [
        "不含哪味？\nA. 人参\nB. 白术\nC. 大黄\nD. 甘草", "不含哪味？ A.人参 B.白术 C.大黄 D.甘草",
        "不含哪味？\nＡ．人参\nＢ．白术\nＣ．大黄\nＤ．甘草", "不含哪味？A、人参；B、白术；C、大黄；D、甘草",
        "不含哪味？（A）人参（B）白术（C）大黄（D）甘草", "不含哪味？\na) 人参\nb) 白术\nc) 大黄\nd) 甘草",
        "不含哪味？\nA：人参\nB：白术\nC：大黄\nD：甘草",
    ],
)  # fmt: skip
def test_choices_are_read_in_every_layout(text: str) -> None:
    asked = questions.read(text)
    assert asked
    assert asked.engine_fields() == {"question": "不含哪味？", "choices": CHOICES}


@pytest.mark.parametrize(
    "text",
    ["维生素A. 是什么", "A. 人参 B. 白术", "选 A. 还是别的", "甲？\nB. 人参\nC. 白术",
     "甲？\nA. \nB. 乙", "____", "什么是气虚",
     "判断气虚", "药" * 1001 + "____", "____一" * 5],
)  # fmt: skip
def test_other_texts_are_for_the_model(text: str) -> None:
    assert questions.read(text) is None


def test_gaps_and_statements() -> None:
    gap = questions.read("四君子汤由人参、＿＿、茯苓组成")
    assert gap
    assert (gap.kind, gap.engine_fields()["text"]) == ("fill", "四君子汤由人参、____、茯苓组成")
    judge = questions.read("判断：四君子汤主治气虚。")
    assert judge
    assert (judge.kind, judge.engine_fields()) == ("judge", {"statement": "四君子汤主治气虚。"})


def test_the_answers_name_the_option_and_say_that_they_guess() -> None:
    choose = questions.read("不含哪味？\nA. 人参\nB. 白术\nC. 大黄\nD. 甘草")
    assert choose
    told = choose.answer_text({"answer": 2, "scores": [1.0, 2.0, 80.0, 3.0]})
    assert told.startswith("我猜是 C. 大黄\n")
    assert "猜测" in told
    assert "42%" in told
    assert "25%" in told
    judge = questions.read("判断：甲。")
    assert judge
    assert "不对" in judge.answer_text({"probability": 0.31})
    assert "31%" in judge.answer_text({"probability": 0.31})
    fill = questions.read("甲____丙")
    assert fill
    told = fill.answer_text({"text": "甲乙丙", "gaps": [[{"text": "乙"}, {"text": "丁"}]]})
    assert told.startswith("甲乙丙\n")
    assert "丁" in told
    assert "猜测" in told
