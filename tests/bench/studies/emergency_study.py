"""Ordinary questions that the emergency classifier takes for emergencies, beside the old list of words.

    CORPORA=folder python -m tests.bench.studies.emergency_study [--show]

2,000 questions that the classifier is not made from, the same each time: 900 that people asked in forums
and 300 on the books (tcm-dialogue.train), 650 exam questions (tcm-exam.train and dev), 150 of
classics-qa.dev that are no emergencies. Some of the forum's are real emergencies and count as false alarms
all the same. WEIGHTS=file: others than the bundled ones.
With emergency.dev.jsonl in the folder, the word list's figures on it too.
"""

from __future__ import annotations

import json
import lzma
import os
import random
import sys
from pathlib import Path

from engine.emergency import Detector, Level
from engine.emergency.evaluation import wilson
from engine.emergency.messages import bundled_files, read_messages
from engine.emergency.normalize import normalize

# What the bot listened for before (a message that held one spoke of an emergency): the baseline.
WORDS = (
    "胸痛", "胸口痛", "胸口剧痛", "胸闷喘不过气", "心脏骤停", "心梗", "心肌梗死", "心肌梗塞",
    "没有心跳", "没有呼吸", "呼吸困难", "喘不上气", "喘不过气", "窒息", "噎住", "大出血", "血流不止",
    "出血不止", "大量出血", "吐血不止", "昏迷", "不省人事", "叫不醒", "晕倒", "抽搐不止", "脑卒中",
    "脑梗", "脑出血", "半身突然不能动", "过敏性休克", "休克", "中毒", "喝了农药", "喝农药", "误服",
    "误食", "吃错药", "服药过量", "吞了安眠药", "孕妇急症", "孕妇出血", "怀孕出血", "孕期出血",
    "孕妇腹痛", "怀孕腹痛", "羊水破", "破水", "胎动消失", "没有胎动", "溺水", "触电", "毒蛇咬",
    "被蛇咬", "自杀", "自尽", "轻生", "不想活", "想死", "活不下去", "割腕", "自残", "结束生命",
    "chest pain", "heart attack", "can't breathe", "cannot breathe", "severe bleeding",
    "bleeding heavily", "unconscious", "overdose", "poisoned", "poisoning", "suicide", "suicidal",
    "kill myself", "end my life", "want to die", "stroke", "choking",
)  # fmt: skip

FORUMS = ("huatuo", "Toyhom", "CMtMedQA")


def ordinary(folder: Path, seed: int = 6) -> list[tuple[str, str]]:
    """(source, question) pairs."""
    with lzma.open(folder / "tcm-dialogue.train.jsonl.xz", "rt", encoding="utf-8") as lines:
        dialogues = [json.loads(line) for line in lines]
    first = [
        (row["source"], row["turns"][0]["content"]) for row in dialogues if row["turns"][0]["role"] == "user"
    ]
    exam = [
        row["question"]
        for name in ("tcm-exam.train.jsonl", "tcm-exam.dev.jsonl")
        for row in _rows(folder / name)
    ]
    classics = [
        row["question"] for row in _rows(folder / "classics-qa.dev.jsonl") if row["kind"] != "emergency"
    ]
    known = {normalize(message.text) for message in read_messages(bundled_files())}
    first = [(source, text) for source, text in first if normalize(text) not in known]
    pools = {
        "forum": ([text for source, text in first if any(name in source for name in FORUMS)], 900),
        "books": ([text for source, text in first if source.startswith("books")], 300),
        "exam": (exam, 650),
        "classics-qa": (classics, 150),
    }
    choose = random.Random(seed)
    return [
        (name, text)
        for name, (pool, count) in pools.items()
        for text in choose.sample(pool, min(count, len(pool)))
    ]


def main() -> None:
    folder = Path(os.environ["CORPORA"])
    detector = Detector.load(path=Path(os.environ["WEIGHTS"]) if "WEIGHTS" in os.environ else None)
    questions = ordinary(folder)
    levels = [(source, text, detector.assess(text)) for source, text in questions]
    for source in ("all", *dict.fromkeys(name for name, _ in questions)):
        of = [(text, a) for name, text, a in levels if source in ("all", name)]
        listed = sum(_has_word(text) for text, _ in of)
        shares = {level: sum(a.level is level for _, a in of) for level in Level}
        low, high = wilson(shares[Level.EMERGENCY], len(of))
        print(
            f"{source:12} {len(of):5}  emergency {shares[Level.EMERGENCY] / len(of):.2%} "
            f"({low:.1%}–{high:.1%})  uncertain {shares[Level.UNCERTAIN] / len(of):.2%}  "
            f"toxic dose {shares[Level.TOXIC_DOSE] / len(of):.2%}  "
            f"word list {listed / len(of):.2%}"
        )
    dev = folder / "emergency.dev.jsonl"
    if dev.exists():
        _word_list_on(dev)
    if "--show" in sys.argv:
        for source, text, a in levels:
            if a.level is not Level.NONE:
                print(a.level, f"{a.score:.2f}", source, text[:160].replace("\n", " "), sep="\t")


def _word_list_on(path: Path) -> None:
    messages = read_messages([path])
    for label in ("emergency", "none"):
        of = [message for message in messages if message.label == label]
        hits = sum(_has_word(message.text) for message in of)
        print(f"word list on {path.name}, {label}: {hits} of {len(of)}")


def _has_word(text: str) -> bool:
    return any(word in text.lower() for word in WORDS)


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
