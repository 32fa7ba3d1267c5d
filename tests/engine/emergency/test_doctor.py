"""Complaints that want a doctor soon."""

from __future__ import annotations

import pytest

from engine.emergency import Detector, Level, caution, reply
from engine.emergency.normalize import normalize

DETECTOR = Detector.load()


@pytest.mark.parametrize(
    "text",
    [
        "血压180但没症状",
        "高壓175，沒有不舒服",
        "尿血，不疼",
        "咳嗽一个月痰里带血丝",
        "一个月瘦了十斤",
        "乳房摸到一个硬块",
        "餐后血糖16，没感觉",
        "胸闷两天了",
        "绝经两年又见红",
        "blood pressure 172, I feel fine",
    ],
)
def test_a_doctor_is_named_before_the_answer_and_no_ambulance(text: str) -> None:
    assessment = DETECTOR.assess(text)
    assert (assessment.level, assessment.kind) == (Level.DOCTOR, "doctor")
    said = caution(assessment, text)
    assert "医" in said or "醫" in said or "doctor" in said
    assert "120" not in said
    assert reply(assessment, text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "血压135/88",
        "血糖6.3",
        "便血的近血远血怎么区分",
        "肺结节体检发现，医生说没事",
        "以前尿血过，治好了",
        "《伤寒论》里热结膀胱尿血用什么",
        "桂枝汤治什么",
        "第8问：咳嗽与血虚怎样分辨？",
        "肚子有点胀",
    ],
)
def test_what_is_usual_settled_or_of_books_gets_no_such_word(text: str) -> None:
    assert DETECTOR.assess(text).level is Level.NONE


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("血糖1.8", "血糖ⓥ"),
        ("血糖降到2.1了", "血糖降到ⓥ了"),
        ("血糖11", "血糖②"),
        ("血糖15.2", "血糖ⓦ"),
        ("血糖 180", "血糖③"),
        ("血糖480", "血糖ⓥ"),
        ("血氧测出来只有82", "血氧测出来只有ⓥ"),
        ("血氧97", "血氧②"),
        ("血压210/130", "血压ⓥ③"),
        ("血压175", "血压ⓦ"),
        ("血压高30年", "血压高②年"),
        ("心跳180", "心跳ⓥ"),
        ("心率55", "心率②"),
        ("血糖...", "血糖"),
    ],
)
def test_a_sign_of_life_says_how_far_it_is_out(text: str, plain: str) -> None:
    assert normalize(text) == plain
