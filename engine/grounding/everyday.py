"""What a visitor asks of an owner's notes: words of its own, and a kind of thing, such as a price.

`terms/everyday.tsv` has the kinds, `terms/everyday_words.txt` what visitors and owners call the same thing:
能带狗吗 is answered by 可以带宠物. English questions are read by the same tables, word by word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from engine.grounding.shelf import Shelf, plain
from engine.library import words
from engine.library.cutting import tokens

ALIKE = 0.97  # of another word for the same thing; the asker's own goes before
SINGLE = 0.1  # weight of a character that stands alone; of a word at most 1
_FILLER = re.compile(
    "开好|办好|弄好|做好|修好|拿到|第一次|东西|看病|看诊|你们|咱们|我们|这里|这儿|贵店|贵院|请问|想问|一下|需要|可以|能不能|可不可以|有没有|能|可|要|有|是|吗|呢|吧|啊|么|的|了|在|给|到|去|来|"
    "最晚|最早|最|开始|一节|地方|晚上|夜里|早上|早晨|上午|下午|那边|过去|进去|进来|不好|不舒服|自己|行不行|行|些|咋办|咋样|咋|为止|贵|店|进|找|才|拿|再|钱|"
    "坐|走|看|打|我|你|您|想|做|办|怎么|怎样|如何|什么|哪|多少|几|一次|一个|一剂|每|一|个|次|点|会|都|还|也|和|就|那|帮|收|用|"
    "一场|一份|一张|一位|一台|一条|一只|一件|一套|一碗|一盘|方便|一直|老是|总是|大概|一般|通常|具体|到底|现在|目前|今天|明天|后天|另外|必须|非要|一定|如果|要是|假如|完|离|算|应该"
)
_LATIN_FILLER = re.compile(
    "a|an|the|i|we|you|my|our|your|me|us|its?|is|are|am|was|be|been|being|do|does|did|can|could|may|might|will|would|"
    "shall|should|must|have|has|had|get|got|there|here|this|that|these|those|of|for|to|in|on|at|by|with|from|and|or|"
    "if|so|as|about|into|up|out|any|some|please|what|when|where|who|which|how|why|much|many|long|time|day|need|want|"
    "like|kind|not|no|s|t|take|bring|use|buy|see|find|give|tell|know|too|also|possible|first|still|just|only|one"
)
_LATIN = re.compile("[A-Za-z][A-Za-z'-]*")
_ASKS = re.compile("(?:不|没|没有|不了|(?<![什怎])么|嘛|咯|啦|呗|吗|呢|吧|啊|呀)+$")  # 能带狗不: 能带狗吗
_PARTICLE = re.compile(
    "(?<=[一-龥])[的完了](?=[一-龥])|(?<=[剪烫染做洗办拔补租修])个(?=[一-龥])"
)  # 补的牙: 补牙
_EITHER = re.compile(r"(.)不\1")  # 送不送货: 送货
_VERB = re.compile("^[学买吃做办租带订寄交报拿取放发付刷加换戴穿养喝](?=..)")
_VERBS = ("退", "寄")  # words for a kind that name no thing: 什么时候退
_DAY = re.compile(
    "周[一二三四五六日末]|礼拜[一二三四五六日天]|星期[一二三四五六日天]|双休|节假日|过年|春节|国庆|中秋|五一|元旦"
)
_AGE = re.compile("[0-9一二三四五六七八九十]+个?(?:岁|周岁|月大)")
_TITLES = "医生|医师|主任|大夫|老师|教授|师傅|经理"
_PERSON = re.compile(f"(?<![一-龥])([一-龥])(?:{_TITLES})")  # surname and title, where a question begins


@dataclass(frozen=True)
class Kind:
    """A kind of thing that visitors ask: their words, the notes' words, how an answer looks."""

    asked: tuple[str, ...]
    noted: tuple[str, ...]
    looks: re.Pattern[str]


@dataclass(frozen=True)
class Said:
    """A sentence as it stands, in small letters, and as words are looked for in it."""

    raw: str
    spelled: str

    @classmethod
    def of(cls, text: str) -> Said:
        return cls(text.lower(), spell(text))

    def has(self, word: str) -> bool:
        return bool(latin(word).search(self.raw)) if word.isascii() else word in self.spelled


@dataclass(frozen=True)
class Thing:
    """What a sentence must speak of: any one of the words, or the pieces of the asker's own `run`."""

    words: tuple[str, ...]
    run: str
    weight: float

    def held(self, said: Said) -> float:
        """How much of it a text has: from 0 to 1."""
        if not self.run or self.run.isascii():
            return next(
                (1.0 if at == 0 else ALIKE for at, word in enumerate(self.words) if said.has(word)), 0.0
            )
        size = len(self.run)
        if size == 1:
            return float(self.run in said.spelled)
        pairs = (n for n in range(size - 1) if self.run[n : n + 2] in said.spelled)
        return len({n + k for n in pairs for k in (0, 1)}) / size


@dataclass(frozen=True)
class Asked:
    """A question: its text, its own words with weights, the kinds of things asked with the words that ask,
    whom it must be about."""

    text: str
    wanted: list[Thing]
    kinds: list[tuple[Kind, str]]
    must: re.Pattern[str] | None
    context: tuple[Thing, ...] = ()  # of the questions before

    @property
    def everyday(self) -> bool:
        return bool(self.kinds) or any(not thing.run for thing in self.wanted)


def spell(text: str) -> str:
    """The text for comparing words; 未 and 没有 of rules are the 没 of those who ask."""
    return plain(text).replace("没有", "没").replace("未", "没")


@cache
def latin(word: str) -> re.Pattern[str]:
    """Finds a Latin word, or words, with the usual endings of English."""
    stem = re.sub(r"[^a-z0-9 ]", " ", word.lower()).strip()
    if len(stem) > 4:
        stem = re.sub("(?:ing|ed|es|s)$", "", stem)
    stem = re.sub("(?<=[^s])s$", "", stem) if len(stem) > 3 else stem
    return re.compile(
        rf"(?<![a-z0-9]){stem.replace(' ', '[^a-z0-9]*')}(?:s|es|ed|d|ing|{stem[-1:]}ing)?(?![a-z0-9])"
    )


def size(text: str) -> int:
    """Characters of a text without blanks, a Latin word counting as two."""
    return len(_LATIN.sub("词词", text).replace(" ", ""))


def typed(text: str) -> int:
    """The same of a question, without its marks."""
    return len(words.bare(_LATIN.sub("词词", text)))


def is_latin(text: str) -> bool:
    """Whether a text is in Latin letters alone."""
    return bool(_LATIN.search(text)) and not re.search("[一-龥]", text)


def _longest_first(table: Sequence[str]) -> re.Pattern[str]:
    return re.compile(
        "|".join(
            rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])" if word.isascii() else re.escape(word)
            for word in sorted(table, key=len, reverse=True)
        ),
        re.IGNORECASE,
    )


@cache
def _kinds() -> tuple[re.Pattern[str], dict[str, Kind]]:
    """The words that ask for a kind of thing, longest first; the kind that each asks for."""
    table: dict[str, Kind] = {}
    for asked, noted, looks in words.rows("everyday.tsv"):
        kind = Kind(tuple(asked.split("、")), tuple(noted.split("、")), re.compile(looks, re.IGNORECASE))
        for word in kind.asked:
            table.setdefault(word.lower(), kind)
    return _longest_first(list(table)), table


def _asked_kinds(text: str) -> list[tuple[Kind, str]]:
    """The kinds of things that a text asks for, each with the first word that does."""
    pattern, table = _kinds()
    found: dict[Kind, str] = {}
    for match in pattern.finditer(text):
        found.setdefault(table[match.group().lower()], match.group())
    return list(found.items())


@cache
def _alike() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    """The words of everyday_words.txt, longest first; for each, all words for the same thing."""
    table: dict[str, list[str]] = {}
    for row in words.rows("everyday_words.txt"):
        line = row[0].split("、")
        for word in line:
            table.setdefault(word.lower(), [word]).extend(line)
    alike = {
        word: tuple(dict.fromkeys(w.lower() if w.isascii() else spell(w) for w in found))
        for word, found in table.items()
    }
    return _longest_first(list(table)), alike


def _wanted(text: str, shelf: Shelf) -> list[Thing]:
    """What a sentence must speak of: the question without the words that only ask."""
    pattern, table = _alike()
    most = shelf.weight("\0")  # of a word that stands nowhere
    out: list[Thing] = []

    def take(match: re.Match[str]) -> str:
        out.append(Thing(table[match.group().lower()], "", shelf.weight(match.group()) / most))
        return " "

    text = pattern.sub(take, _kinds()[0].sub(" ", text))
    for match in _LATIN.finditer(text):
        if not _LATIN_FILLER.fullmatch(word := match.group().lower()):
            out.append(Thing((word,), word, 1.0))
    for run in _FILLER.sub(" ", _LATIN.sub(" ", text)).split():
        run = spell(_VERB.sub("", run))
        pieces = [token for token in tokens(run) if len(token) > 1]
        out.append(Thing(tuple(pieces or run), run, sum(map(shelf.weight, pieces)) / most or SINGLE))
    return out


def understood(text: str, shelf: Shelf) -> Asked:
    """`text` is tidied."""
    person = _PERSON.search(text)
    must = re.compile(f"{person[1]}[一-龥]{{0,3}}(?:{_TITLES})") if person else None
    own = _EITHER.sub(r"\1", text.replace(person.group(), " ") if person else text)
    own = _PARTICLE.sub("", _ASKS.sub("", words.MARKS.sub(" ", own).strip()))
    kinds = _asked_kinds(own)
    if not kinds and own.endswith("多少") and not own.endswith(("号多少", "码多少")):
        kinds = _asked_kinds("多少钱")
    if not kinds and _DAY.search(own):
        kinds = _asked_kinds("营业时间")
    if not kinds and _AGE.search(own):
        kinds = _asked_kinds("几岁")
        own = _AGE.sub(" ", own)
    return Asked(text, _wanted(own, shelf), kinds, must)


_ELLIPSIS = re.compile("呢$|^(?:那|它|这个|还有|也|又|再)|^(?:what|how) about ")


def leaves_out(asked: Asked) -> bool:
    """Whether a question says only what differs from the one before, or asks without naming a thing."""
    return not _names(asked) or any(
        _ELLIPSIS.search(text) for text in (words.bare(asked.text), asked.text.lower())
    )


def carried(asked: Asked, before: Asked) -> Asked:
    """A question with what it leaves out taken from the one before: the thing (多少钱), or what is asked of
    it (那周日呢). One that leaves nothing out prefers what speaks of the thing before."""
    context = tuple(thing for thing in before.wanted if thing not in asked.wanted)
    if not _names(asked):
        kinds = [*asked.kinds, *_named(before.kinds, True)] if asked.kinds else before.kinds
        wanted, must = [*before.wanted, *asked.wanted], asked.must or before.must
        return replace(asked, wanted=wanted, kinds=kinds, must=must, context=before.context)
    kinds = asked.kinds
    if leaves_out(asked) and not _named(kinds, False):
        kinds = [*kinds, *_named(before.kinds, False)]
    return replace(asked, kinds=kinds, context=context)


def _names(asked: Asked) -> bool:
    """Whether it names a thing: more than single characters, such as 借 of 在哪借."""
    kinds = any(word not in _VERBS for _, word in _named(asked.kinds, True))
    return kinds or any(thing.weight > SINGLE for thing in asked.wanted)


def _named(kinds: list[tuple[Kind, str]], things: bool) -> list[tuple[Kind, str]]:
    """The kinds that are named by their thing (停车, 狗), or those that are only asked for (几点, 多少钱)."""
    return [(kind, word) for kind, word in kinds if (word in kind.noted) == things]
