"""What must be said at once, and what must never be said. Pure functions on text.

An emergency is found by words: of the user, not of the model. Better one "seek help" too many than one too
few; but a book's word is no emergency: a question that asks for a recipe, a book or a meaning, or has the
word only inside another one (解毒), goes to the model, unless it speaks of somebody here and now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EMERGENCIES = (
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
SEEK_HELP = (
    "这可能是紧急情况，请不要等我的回答：请立即拨打 120，或马上去最近的医院急诊；身边有人请他帮忙。\n"
    "如果您有伤害自己的念头，请现在就拨打全国统一心理援助热线 12356，或告诉身边信任的人，您不必独自承受。\n"
    "我只是一个小语言模型，不能处理急症。\n"
    "This may be an emergency: call 120 (ambulance in China) now. If you think of harming yourself: 12356."
)

# Traditional characters of the words here, and of what is said around them, as simplified ones.
_SIMPLIFIED = str.maketrans(
    "劇悶過氣臟驟沒難暈腦動農藥誤喫錯婦懷觸電殺盡輕殘結學論甚麼義處條經劑組證為爲鑑鑒別選擇題斷寶媽爺現剛辦",
    "剧闷过气脏骤没难晕脑动农药误吃错妇怀触电杀尽轻残结学论什么义处条经剂组证为为鉴鉴别选择题断宝妈爷现刚办",
)
# Words of the books that hold an emergency's word and mean no emergency.
_TERMS = re.compile(r"解毒|食物中毒学|中毒性\w{1,4}学|救自杀|自杀未遂论")
# A question about books and knowledge: what something is, is called, cures or consists of.
_STUDY = re.compile(
    r"什么是|是什么意思|什么意思|的定义|原文|出处|出自|哪本|哪部|条文|经典|古籍|《|方剂|组成|主治|功效|功用|药性|辨证|"
    r"何为|鉴别|证型|选择题|下列|判断|考题|____|\bwhat is\b|\bdefine\b|\bmeaning of\b",
    re.IGNORECASE,
)
# Somebody here and now: this outweighs how the question is put.
_HERE = re.compile(
    r"我|他|她|孩子|小孩|宝宝|爸|妈|老人|爷爷|奶奶|老公|老婆|丈夫|妻子|朋友|有人|患者现在|刚才|刚刚|现在|突然|救命|怎么办|急|"
    r"\b(i|i'm|i've|my|me|he|she|someone|help)\b",
    re.IGNORECASE,
)


class Emergencies:
    """Finds messages that speak of an emergency. `words` are plain words; case does not matter, nor whether
    the characters of the words above are simplified or traditional."""

    def __init__(self, words: Iterable[str] = EMERGENCIES) -> None:
        known = sorted({_plain(word.strip()) for word in words if word.strip()}, key=len, reverse=True)
        # A Latin word must stand alone: "stroke", not "keystrokes".
        parts = [rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in known]
        self._found = re.compile("|".join(parts)) if parts else None

    def mentioned_in(self, text: str) -> bool:
        bare = _TERMS.sub("", _plain(text))
        if not self._found or not self._found.search(bare):
            return False
        return bool(_HERE.search(bare)) or not _STUDY.search(bare)


def _plain(text: str) -> str:
    return text.lower().replace("’", "'").translate(_SIMPLIFIED)


class Censor:
    """Replaces forbidden words in a stream by one ＊ a character, and lets nothing out that could begin one.

    `push` returns what is safe to show after each piece; `flush` the rest, at the end. Where words overlap,
    the one that begins first counts, and of those the longest. Case does not matter. A word with spaces or
    line ends put into it is another word.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = sorted({_folded(word) for word in words if word}, key=len, reverse=True)
        self._held = ""

    def push(self, text: str) -> str:
        return self._read(text, over=False)

    def flush(self) -> str:
        return self._read("", over=True)

    def whole(self, text: str) -> str:
        """A text that is not a stream."""
        return Censor(self._words)._read(text, over=True)

    def _read(self, text: str, over: bool) -> str:
        if not self._words:
            return text
        self._held += text
        folded, place, out = _folded(self._held), 0, []
        while place < len(folded):
            # A longer word that is not finished yet may still come to count in place of a shorter one.
            open_words = not over and any(
                len(word) > len(folded) - place and word.startswith(folded[place:]) for word in self._words
            )
            if open_words:
                break
            word = next((word for word in self._words if folded.startswith(word, place)), "")
            out.append("＊" * len(word) or self._held[place])
            place += len(word) or 1
        self._held = self._held[place:]
        return "".join(out)


def _folded(text: str) -> str:
    """In small letters, as many characters as before."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)
