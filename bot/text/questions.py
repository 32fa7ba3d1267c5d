"""Questions that are answered by likelihood: choices, gaps, statements. Finds them and words the answers.

Pure functions on text: what they find goes to Engine.likelihood, what that says is put in words here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine import GAP, LOG_ODDS_A_BIT

MOST_GAPS = 4
LONGEST = 1000  # characters of a text with gaps, or of a statement: a person waits for the answer
# A letter and its sign (A. A、 A: (A) …); full-width ones are made plain before.
_OPTION = re.compile(
    r"\(([A-H])\)\s*|(?:^|(?<=[\s?？。;；,，)]))([A-H])\s*[.、:)。]\s*", re.IGNORECASE | re.MULTILINE
)
# Full-width letters, brackets and points as plain ones; as many characters as before.
_PLAIN = {code: code - 0xFEE0 for code in range(ord("！"), ord("～") + 1)}
_JUDGE = re.compile(r"^\s*判[断斷]题?\s*[:：]\s*(.+)$", re.DOTALL)
_GAP = re.compile(r"_{4,}|＿{2,}")


@dataclass(frozen=True)
class LikelihoodQuestion:
    """What to ask of the engine: the method's name and its fields."""

    kind: str
    fields: dict[str, Any]

    def answer_text(self, answer: Mapping[str, Any], quotation: str = "") -> str:
        """The answer in a sentence or two, which say that it is a guess: the engine's, or the library's with
        the quotation that decides."""
        if self.kind == "choose":
            return self._choice(answer, quotation)
        if self.kind == "fill":
            return f"{answer['text']}\n{quotation}" if quotation else self._filling(answer)
        share = 100 * float(answer["probability"])
        verdict = "这句话像是对的" if share >= 50 else "这句话像是不对的"
        how = "按书里的话" if quotation else "按可能性"
        told = f"{verdict}（我{how}估计它对的机会约 {share:.0f}%，只是猜测）。"
        return f"{told}\n最相近的是：{quotation}" if quotation else told

    def _choice(self, answer: Mapping[str, Any], quotation: str) -> str:
        scores, best = answer["scores"], int(answer["answer"])
        weights = answer.get("shares") or [
            2.0 ** (LOG_ODDS_A_BIT * (score - max(scores))) for score in scores
        ]
        share, even = 100 * weights[best] / sum(weights), 100 / len(scores)
        letter, choice = self.fields["letters"][best], self.fields["choices"][best]
        sure = f"把握约 {share:.0f}%，随便选也有 {even:.0f}%"
        guess = f"我猜是 {letter}. {choice}\n"
        if quotation:
            return f"{guess}最相近的是：{quotation}\n（按书里的话选的，只是猜测：{sure}。）"
        return f"{guess}（按可能性选的，只是猜测：{sure}。）"

    def _filling(self, answer: Mapping[str, Any]) -> str:
        others = [
            "、".join(one["text"] for one in gap[1:3]) for gap in answer["gaps"] if len(gap) > 1
        ]  # fmt: skip
        more = f"也可能是：{'；'.join(others)}。" if others else ""
        return f"{answer['text']}\n（按可能性填的，只是猜测。{more}）"

    def engine_fields(self) -> dict[str, Any]:
        """The fields that the engine takes."""
        return {name: value for name, value in self.fields.items() if name != "letters"}


def read(text: str) -> LikelihoodQuestion | None:
    """The question of a message that likelihoods answer; None if it is for the model to answer."""
    if match := _JUDGE.match(text):
        statement = match[1].strip()
        return LikelihoodQuestion("judge", {"statement": statement}) if len(statement) <= LONGEST else None
    if chosen := _choices(text):
        return chosen
    gaps = len(_GAP.findall(text))
    if 1 <= gaps <= MOST_GAPS and len(text) <= LONGEST and _GAP.sub("", text).strip():
        return LikelihoodQuestion("fill", {"text": _GAP.sub(GAP, text), "count": 3})
    return None


def _choices(text: str) -> LikelihoodQuestion | None:
    """A question with options A, B, C …, in a line or one a line, in order from A."""
    plain = text.translate(_PLAIN)
    marks = list(_OPTION.finditer(plain))
    letters = [(mark[1] or mark[2]).upper() for mark in marks]
    if len(marks) < 2 or letters != [chr(ord("A") + i) for i in range(len(letters))]:
        return None
    question = text[: marks[0].start()].strip()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    choices = [text[mark.end() : end].strip(" \t\n;；,，") for mark, end in zip(marks, ends, strict=True)]
    if not question or not all(choices):
        return None
    return LikelihoodQuestion("choose", {"question": question, "choices": choices, "letters": letters})
