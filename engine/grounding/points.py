"""Acupoints: where one lies and what it is for, from the books that list them.

The books have no heading for a point: an entry is a line that begins with its name and says where it lies,
`合谷 大指次指歧骨间陷中。…主头痛…`. So lines are looked for, not headings.
"""

from __future__ import annotations

import re

from engine.grounding.point_names import known_points
from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, sentences
from engine.library.cutting import normalise

BOOKS = (
    "古今医统大全",
    "医学入门",
    "针灸大成",
    "针灸甲乙经",
    "十四经发挥",
    "医宗金鉴",
    "备急千金要方",
    "外台秘要",
)
LONGEST = 150  # characters of a quotation
_PLACE = re.compile("[寸分]|[陷宛]中|间|端|[上下前后内外]廉|际|骨|头|心|鼻|目|耳|脐|膝|腕|踝")
_USE = re.compile("【主治】|主治?|治|疗|能除|善")
_CHANNEL = re.compile("[手足][太少阳厥][阳阴明]|督脉|任脉|阳明")
_CHART = re.compile("穴图|考正穴法|经穴起止|诸穴|取孔穴|远近法")  # headings of whole lists of points
_WITH_CHILD = re.compile("妊|孕|胎")
_NEEDLE = re.compile("[针刺灸]")


def point(question: Question, shelf: Shelf) -> Draft | None:
    name = question.topic
    old, channel = known_points()[name]
    use = bool(re.search("治|作用|功效|好处|有什么用|管什么|效果", question.text))
    where = bool(re.search("哪里|在哪|位置|怎么找|怎么取|定位|什么地方|哪儿", question.text))
    unborn = question.asks("pregnancy")
    ranked: list[tuple[float, int, Entry, int, int]] = []
    query = {f"{old}穴": 1.0, old: 3.0, f"{name}": 1.0, channel[:3]: 1.0}
    if unborn:
        query |= {"妊娠": 1.0, "堕胎": 1.0}
    for rank, book in enumerate(BOOKS):
        try:
            hits = shelf.search(query, 40, None, book, 0.5)
        except ValueError:
            continue
        for hit in hits:
            if unborn:
                ranked += _unborn(shelf.alone(hit), old, rank)
            for first, last in _lines(normalise(hit.text), old, channel if old != name else ""):
                said = hit.text[first:last]
                value = 1.0 * (bool(_USE.search(said)) and use) + 0.4 * bool(_USE.search(said))
                value += 0.5 * (where and bool(_PLACE.search(said))) + 0.3 * bool(_CHANNEL.search(said))
                value += 0.3 * (channel[:3] in said) - 0.05 * rank
                value += 0.5 * bool(_CHART.search(hit.heading))
                ranked.append((value, -len(ranked), shelf.alone(hit), first, last))
    if not ranked:
        return None
    ranked.sort(key=lambda one: one[:2], reverse=True)
    citations: list[Citation] = []
    for _, _, entry, first, last in ranked:
        if all(entry.book != c.book for c in citations):
            citations.append(entry.cite(first, min(last, first + LONGEST)))
        if len(citations) == 2 or sum(len(c.quote) for c in citations) > 110:
            break
    title = name if name.endswith("穴") else f"{name}穴"
    note = "孕期按揉或针灸前请先问医师。" if unborn else "针灸请由医师施行。"
    return Draft(citations, [f"{title}（{channel}）"], note, 1.0, True)


def _unborn(entry: Entry, name: str, rank: int) -> list[tuple[float, int, Entry, int, int]]:
    """The sentences that name the point and speak of a child not yet born."""
    out: list[tuple[float, int, Entry, int, int]] = []
    for first, last in sentences(entry.text, 80):
        said = entry.text[first:last]
        if name in said and _WITH_CHILD.search(said) and last - first < LONGEST:
            out.append((4.0 - 0.05 * rank, -len(out), entry, first, last))
    return out


def _lines(text: str, name: str, channel: str) -> list[tuple[int, int]]:
    """First and last character of the lines that begin with a point's name and say where it lies."""
    out = []
    for found in re.finditer(rf"(?:^|[\n。）)　])({re.escape(name)})(?:[一二]?穴)?[\s（(，：:、在者]", text):
        first = found.start(1)
        last = text.find("\n", first)
        last = len(text) if last < 0 else last
        if text.startswith("【主治】", last + 1):
            last = text.find("\n", last + 1)
            last = len(text) if last < 0 else last
        said = text[first:last]
        if re.match("[ 　]?主", text[found.end(1) :]):  # one of many in a list by complaints
            last = text.find("。", first) + 1 or last
            said = text[first:last]
        needle = _NEEDLE.search(said)
        place = said[len(name) : needle.start() if needle else 60]
        if not _PLACE.search(place[:60]) or len(said) < 8:
            continue
        if channel and not _agrees(said, channel):
            continue
        out.append((first, last))
    return out


def _agrees(said: str, channel: str) -> bool:
    """Whether a line on one of two points of the same name is on the one of this channel's limb."""
    of_foot = bool(re.search("[膝足趾踝胫腓股]|犊鼻", said[:60]))
    return of_foot == channel.startswith("足")
