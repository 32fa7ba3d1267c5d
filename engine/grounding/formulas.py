"""Formulas: composition, indications, preparation, and what is said of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from engine.grounding.compositions import HerbList, entries_of, likeness, lists_of, medoid
from engine.grounding.dynasties import LAST, years
from engine.grounding.herb_lists import herb_lists
from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, plain, sentences, standing
from engine.library import words

T = TypeVar("T")
CHANGES = 200  # characters of what is said of additions
_PREPARE = re.compile(
    "上[一二三四五六七八九十两]+味|右[一二三四五六七八九十两]+味|[上右]件?[药为锉㕮]|为末|水[一二三四五六七八九十两半]+[升杯碗盏钟茶]|煮取|水煎|煎服|煎[一二三四五六七八九十]|每服|顿服|温服|作[一二三]服|调下|为丸|分[温]?[二三]服|共[为研]|蜜丸|和丸"
)
_ELSEWHERE = re.compile(f"^(?:{_PREPARE.pattern})|方见")
_INDICATED = re.compile("治|主之|主治|疗|宜|之剂|者.{0,4}(?:用|服)|此方|专")


def _named(items: list[T], question: Question, book_of: Callable[[T], str]) -> list[T]:
    """those of the book that was asked for, where it has any"""
    chosen = [x for x in items if book_of(x) in question.books]
    return chosen or items


def composition(question: Question, shelf: Shelf) -> Draft | None:
    names = question.names
    entries = entries_of(names, question, shelf)
    lists = lists_of(names, entries)
    if not lists:
        return None
    lists = _named(lists, question, lambda x: x.entry.book)
    best, differ = medoid(lists)
    last = best.last
    citations = [best.entry.cite(best.first, last)]
    leads = [f"{question.topic}的组成"]
    if question.asks("preparation"):
        more = _preparation_after(best)
        if more:
            citations.append(more)
            leads.append("服法")
    others = len({x.entry.book for x in differ})
    leads[0] = _contains(question, best) or leads[0]
    note = f"另有{_number(others)}书方不同。" if others else ""
    return Draft(citations, leads, note, 1.0, True)


_WHETHER = re.compile("有没有|含不含|[有含放加用][^，。]{1,8}[吗么嘛没]|是否")


def asked_herb(question: Question) -> str:
    """The herb of which is asked whether the formula holds it; empty where that is not asked."""
    herb = next((h for h in question.others if h in question.text), "")
    return herb if _WHETHER.search(question.text) else ""


def _contains(question: Question, best: HerbList) -> str:
    """Whether the list holds the herb that is asked for, said before it; empty where none is."""
    herb = asked_herb(question)
    if not herb:
        return ""
    text = best.entry.text[best.first : best.last]
    there = herb in text or any(name in best.herbs or name in text for name in words.herb_names(herb))
    return f"{question.topic}的这张方里{'有' if there else '没有'}{herb}"


def _number(count: int) -> str:
    return "零一两三四五六七八九十"[count] if count <= 10 else str(count)


_OTHER_NAME = re.compile("(?<!一)名[^，。：]{2,8}[汤散丸丹饮]|^本方[加去减]")  # another formula's making


def _preparation_after(best: HerbList) -> Citation | None:
    for first, last in sentences(best.entry.text):
        said = best.entry.text[first:last]
        if first >= best.last - 1 and _PREPARE.search(said) and not _OTHER_NAME.search(said):
            return best.entry.cite(first, min(last, first + 120))
        if first > best.last + 260:
            break
    return None


def preparation(question: Question, shelf: Shelf) -> Draft | None:
    lists = lists_of(question.names, entries_of(question.names, question, shelf))
    if not lists:
        return None
    lists = _named(lists, question, lambda x: x.entry.book)
    best, _ = medoid(lists)
    ranked: list[tuple[float, int, Citation]] = []
    for item in lists:
        if likeness(item.herbs, best.herbs) < 0.6:
            continue
        citation = _preparation_after(item)
        if citation:
            water = bool(re.search("[升杯碗盏钟]", citation.quote))
            ranked.append((standing("formula", item.entry.book) + 0.15 * water, len(ranked), citation))
    if not ranked:
        return None
    return Draft([max(ranked)[2]], [f"{question.topic}的煎服法"], "", 1.0, True)


def indications(question: Question, shelf: Shelf) -> Draft | None:
    names = question.names
    found: list[tuple[float, int, Citation]] = []
    keys = {plain(n) for n in names} | set(names)
    entries = [
        (entry, place == 0 and entry.key in keys) for entry, place in entries_of(names, question, shelf)
    ]
    written = years(shelf)
    oldest = min((written.get(entry.book, LAST) for entry, headed in entries if headed), default=LAST)
    for entry, headed in entries:
        later = not headed and written.get(entry.book, LAST) > oldest  # it only uses what is an older book's
        found += [
            (value - 0.4 * later, number, citation)
            for value, number, citation in _indications_in(entry, names, headed, len(found), shelf)
        ]
    found = _named(found, question, lambda x: x[2].book)
    if not found:
        return None
    asked = {c for g in question.groups for a in g.alternatives for c in [a]}
    weight = 0.6 if question.asks("indication") else 0.3  # 能治头痛吗: what speaks of it
    found = [(s + weight * any(a in c.quote for a in asked), i, c) for s, i, c in found]
    found.sort(key=lambda x: (-x[0], x[1]))
    chosen: list[Citation] = []
    for _, _, citation in found:
        if all(citation.book != c.book and plain(c.quote)[:12] not in plain(citation.quote) for c in chosen):
            chosen.append(citation)
        if len(chosen) == 2 or sum(len(c.quote) for c in chosen) > 110:
            break
    note = ""
    if asked and _YES_NO.search(question.text) and not any(a in c.quote for a in asked for c in chosen):
        note = f"以上没有直接说到“{question.groups[0].word}”。"
    return Draft(chosen, [f"{question.topic}的主治"] + [""] * (len(chosen) - 1), note, 1.0, True)


_YES_NO = re.compile("(?:能|可以|可|管)[^，。]{0,4}[治消退止]|治[^什哪啥]{1,6}[吗么嘛不]$|有用[吗么]|管用")


def _indications_in(
    entry: Entry, names: tuple[str, ...], headed: bool, base: int, shelf: Shelf
) -> list[tuple[float, int, Citation]]:
    out: list[tuple[float, int, Citation]] = []
    rank = standing("formula", entry.book)
    for number, (first, last) in enumerate(sentences(entry.text)):
        sentence = entry.text[first:last]
        if headed:
            if number > 5:
                break
            if (
                herb_lists(sentence)
                or _of_another(sentence, names)
                or _ELSEWHERE.search(sentence)
                or not _INDICATED.search(sentence)
            ):
                continue
            opens = bool(re.match("[【〔]?.{0,6}(治|主|疗|专|功)", sentence.strip()))
            value = 0.5 * opens + 0.3 * (number == 0) + ("主之" in sentence) * 0.2
        else:
            name = next((n for n in names if n in sentence), "")
            if not name:
                continue
            place = sentence.find(name)
            before = sentence[:place]
            if before.count("（") > before.count("）") or _is_anothers(sentence, place, name, shelf):
                continue
            if "主之" in sentence[place : place + len(name) + 3]:
                value = 0.9
                if _LIST_FOLLOWS.match(entry.text, last):
                    value += 0.2 + 0.001 * min(len(sentence), 100)
            elif re.search("(宜|可与|与|用)$", sentence[:place]):
                value = 0.45
            elif re.match(f"{re.escape(name)}[，,：]?(治|主)", sentence[place:]):
                value = 0.8
            else:
                continue
            if place < 6 and "主之" in sentence:
                value -= 0.4
            if remark := re.match(r"\s*（[^）]*）(?=\d)", sentence):  # of the clause before
                first += remark.end()
        if len(sentence) > 150:
            value -= 0.2
            last = first + _cut(sentence, 150)
        out.append((value + rank, base + len(out), entry.cite(first, last)))
    return out


# Where a book lists the herbs behind a clause, the clause is the formula's own: 小柴胡汤主之。方五。
_LIST_FOLLOWS = re.compile(r"\s*方[一二三四五六七八九十]*。(?!\s*（用前)")
_VARIED = re.compile("(?:[加新]减|加味|增[损减]|[大小新复变]|[二三四五六七八九十]味|\\w*加)$")


def _is_anothers(sentence: str, place: int, name: str, shelf: Shelf) -> bool:
    """Whether the name is the end of another formula's: 茵陈五苓散, 枳实薤白桂枝汤, 加减补中益气汤."""
    before = words.MARKS.split(sentence[max(0, place - 8) : place])[-1]
    if _VARIED.search(before):
        return True
    ends = [before[-size:] for size in range(1, min(len(before), 5) + 1)]
    return any(
        (len(end) > 1 and end in words.known_herbs()) or end + name in words.known_formulas()
        or shelf.is_heading(end + name)
        for end in ends
    )  # fmt: skip


def _of_another(sentence: str, names: tuple[str, ...]) -> bool:
    """Whether a sentence under the formula's heading says only what another formula is for."""
    said = _MAIN.findall(sentence)
    return bool(said) and not any(name in one for one in said for name in names)


_MAIN = re.compile("([一-龥]{2,9}[汤散丸饮])(?:亦|并|悉)?主之")


def _cut(sentence: str, limit: int) -> int:
    place = max(sentence.rfind(mark, 0, limit) for mark in "，。；、：）")
    return place + 1 if place > 30 else limit


_FORBIDDEN = re.compile(
    "忌|禁[用忌服]|[勿莫慎][用服之]|不可[用服与轻多妄过]|不宜[用服与多]|不得[用服]|戒之|切戒"
)


def caution(question: Question, shelf: Shelf) -> Draft | None:
    """Who is not to take a formula, and when; where nothing is said of that, so much, and what it is for."""
    unborn = question.asks("pregnancy")
    wanted, ask = (_UNBORN, ASK_UNBORN) if unborn else (_FORBIDDEN, ASK)
    ranked: list[tuple[float, int, Citation]] = []
    for entry, place in entries_of(question.names, question, shelf):
        headed = place == 0 and entry.key in question.names and not unborn
        for first, last in sentences(entry.text):
            sentence = entry.text[first:last]
            name = next((n for n in question.names if n in sentence), "")
            if not wanted.search(sentence) or last - first > LONGEST or not (headed or name):
                continue
            if name and _is_anothers(sentence, sentence.find(name), name, shelf):
                continue
            value = standing("formula", entry.book) + 0.6 * bool(name) + 0.3 * headed
            value += 0.4 * bool(name and _NOT_IT.search(sentence.replace(name, "△")))
            ranked.append((value, -len(ranked), entry.cite(first, last)))
    if not ranked:
        other = indications(question, shelf)
        note = f"所查的书没有说到它的{'孕产宜忌' if unborn else '禁忌'}，以上只是主治；{ask}"
        return replace(other, note=note) if other else None
    said = [max(ranked)[2]]
    leads = [f"{question.topic}与孕产" if unborn else f"{question.topic}的禁忌"]
    other = indications(question, shelf) if len(said[0].quote) <= SHORT else None
    if other:
        said.append(other.citations[0])
        leads.append("主治")
    return Draft(said, leads, ask, 1.0, True)


_NOT_IT = re.compile("不可(?:与|服|用)△|△.{0,12}(?:忌|禁|勿|不可|不宜)|(?:忌|禁|慎|勿|戒).{0,3}△")
_UNBORN = re.compile("[妊孕娠]|[堕伤动落坏安]胎|胎[前动]")
ASK, ASK_UNBORN = "能不能用，请问医师。", "孕期用药请先问医师。"
LONGEST = 130  # characters of a sentence on who is not to take it
SHORT = 60  # of one that leaves room for what it is for


def mention(question: Question, shelf: Shelf) -> Draft | None:
    """A sentence that names the formula and the other words of the question."""
    rest = [g.alternatives for g in question.groups if g.word not in question.topic]
    rest += [words.herb_names(herb) for herb in question.others]
    ranked: list[tuple[float, int, Citation]] = []
    for entry, _ in entries_of(question.names, question, shelf)[:60]:
        for first, last in sentences(entry.text):
            sentence = entry.text[first:last]
            hit = sum(any(a in sentence for a in alternatives) for alternatives in rest)
            named = any(n in sentence for n in question.names) or entry.key in question.names
            if hit and named and last - first < 200 and not herb_lists(sentence):
                ranked.append((hit + standing("formula", entry.book), -len(ranked), entry.cite(first, last)))
    return Draft([max(ranked)[2]], [""], "", 0.8, True) if ranked else None


_CHANGED = re.compile("加减|加味|怎么加|化裁|随[症证]")
_CHANGES = re.compile(
    "(?:[若如兼][^。；，]{1,16}|[^。；，]{1,12}者)[，,]?(?:加|减|倍|去(?![皮壳心油滓芦节毛根核尖足头白]))[^。；]{1,30}|"
    "本方(?:加|减|去|除)[^。；]{1,30}"
)


def asks_changes(question: Question) -> bool:
    """Whether it asks what is added to a formula, or left out, in other cases: 加减有哪些."""
    return bool(_CHANGED.search(question.text.replace(question.topic, "")))


def changes(question: Question, shelf: Shelf) -> Draft | None:
    """The sentences of one entry that say so, as many as there is room for."""
    ranked: list[tuple[float, int, Citation]] = []
    for entry, place in entries_of(question.names, question, shelf):
        spans = [s for s in sentences(entry.text, 60) if _CHANGES.search(entry.text[s[0] : s[1]])]
        if place or not spans:
            continue
        first, last = spans[0]
        held = 1
        for begin, end in spans[1:]:
            if begin - last > 2 or end - first > CHANGES:
                break
            last, held = end, held + 1
        ranked.append(
            (
                min(held, 4) + standing("formula", entry.book),
                -len(ranked),
                entry.cite(first, min(last, first + CHANGES)),
            )
        )
    return Draft([max(ranked)[2]], [f"{question.topic}的加减"], "", 1.0, True) if ranked else None
