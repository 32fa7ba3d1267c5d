"""Two things taken together: what the books say of the pair, that they clash or are used side by side.

A materia medica says it in the entry of either: `反大戟、芫花、甘遂、海藻` (甘草), `同蟹食，令人腹痛` (柿);
of foods 饮食须知 and its like say it too. What only happens to name both says nothing of it, so a sentence
counts whose clause holds both and a word of taking together.
"""

from __future__ import annotations

import re

from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, plain, sentences, standing
from engine.library import words
from engine.library.cutting import normalise

LONGEST = 120  # characters of a quotation
SHORT = 45  # of a sentence that is quoted whole
FOODS = ("饮食须知", "食疗本草", "饮膳正要", "千金食治")
ASK = "能不能同用，请问医师。"
ASK_BOTH = "拿不准时请问医师。"
_CLASH = "反(?![胃覆复张酸佐])|畏|恶(?![心寒风露疮血核阻])|忌|相反|不可|勿|禁|不宜|莫"
_JOINS = re.compile(f"{_CLASH}|[同共合]食|同用|并用|兼用|合用|[得同配兼佐合]|相[须使]|为.{{0,2}}使|杀")
_VERB = re.compile(
    "(反(?![胃覆复张酸佐])|畏(?!而)|恶(?![心寒风露疮血核阻而])|忌)[^。；;，,反畏恶忌使也者]{0,40}$"
)
_ALIKE = re.compile("[同共合]食|同用|相反|不可|勿|忌")


def together(question: Question, shelf: Shelf) -> Draft | None:
    """The sentences on both of the things a question names; None where the books have none."""
    things = (question.topic, *question.others)[:2]
    names = tuple(_names(thing) for thing in things)
    ranked: list[tuple[float, int, Citation, str]] = []
    for number, own in enumerate(names):
        for entry in shelf.headed(own)[:40]:
            ranked += _in_entry(
                entry, things[number], own, things[1 - number], names[1 - number], len(ranked)
            )
    ranked += _elsewhere(names, shelf)
    ranked.sort(key=lambda one: one[:2], reverse=True)
    citations: list[Citation] = []
    lead = ""
    for _, _, citation, said in ranked:
        room = sum(len(c.quote) for c in citations) + len(citation.quote) <= 190
        if citations and (not room or any(_same(citation, c) for c in citations)):
            continue
        lead = lead or said
        citations.append(citation)
        if len(citations) == 2:
            break
    if not citations:
        return None
    return Draft(citations, [lead or f"书里说到{things[0]}与{things[1]}"], ASK, 1.0, True)


def _names(thing: str) -> tuple[str, ...]:
    known = (*words.herb_names(thing), *words.formula_names(thing))
    return tuple(dict.fromkeys(known))


def _in_entry(
    entry: Entry, mine: str, own: tuple[str, ...], other: str, others: tuple[str, ...], base: int
) -> list[tuple[float, int, Citation, str]]:
    out: list[tuple[float, int, Citation, str]] = []
    for first, last in sentences(entry.text, 60):
        text = normalise(entry.text[first:last])
        found = _place(text, others)
        if found is None:
            continue
        clause = max(text.rfind(mark, 0, found) for mark in "。；\n（") + 1
        before, after = text[clause:found], text[found : found + 14]
        verb = _VERB.search(before)
        if not verb and not (_JOINS.search(before[-14:]) or _ALIKE.search(after)):
            continue
        value = 1.0 * bool(verb) + 0.4 * bool(_ALIKE.search(before + after)) + standing("herb", entry.book)
        begin, end = _around(text, found)
        lead = f"古书说{mine}{verb[1]}{other}" if verb else ""
        out.append((value, -base - len(out), entry.cite(first + begin, first + end), lead))
    return out


def _place(text: str, names: tuple[str, ...]) -> int | None:
    """Where one of the names stands, a name of one character only as a whole word of a list."""
    for name in sorted(names, key=len, reverse=True):
        if len(name) > 1:
            place = text.find(name)
        else:
            found = re.search(rf"[、，。；反畏恶忌同食与和以生]{name}(?=[、，。；同食者及]|$)", text)
            place = found.start() + 1 if found else -1
        if place >= 0:
            return place
    return None


def _around(text: str, place: int) -> tuple[int, int]:
    """The sentence; of a long one the clauses about a place."""
    if len(text) <= SHORT:
        return 0, len(text)
    first = max(text.rfind(mark, 0, max(0, place - 25)) for mark in "，。；、）（") + 1
    while first < place and text[first] in "） ":
        first += 1
    last = next((i + 1 for i in range(place + 20, len(text)) if text[i] in "，。；）"), len(text))
    return first, min(last, first + LONGEST)


def _elsewhere(names: tuple[tuple[str, ...], ...], shelf: Shelf) -> list[tuple[float, int, Citation, str]]:
    """Sentences of any book that name both and say that they are taken together or not."""
    out: list[tuple[float, int, Citation, str]] = []
    query = {name: 1.0 for own in names for name in own[:3]} | {"同食": 0.3, "相反": 0.3, "同用": 0.2}
    hits = shelf.search(query, 40, heading_factor=0.5)
    for book in FOODS:
        try:
            hits += shelf.search(query, 10, None, book, 0.5)
        except ValueError:
            continue
    seen: set[int] = set()
    for hit in hits:
        if hit.id in seen:
            continue
        seen.add(hit.id)
        entry = shelf.alone(hit)
        for first, last in sentences(entry.text, 60):
            text = normalise(entry.text[first:last])
            places = [_place(text, own) for own in names]
            if None in places or last - first > LONGEST:
                continue
            one, two = sorted(place for place in places if place is not None)
            if two - one > 12 or not _ALIKE.search(text[max(0, one - 8) : two + 14]):
                continue
            value = 0.9 + 0.5 * (hit.book in FOODS) + standing("herb", hit.book) - 0.01 * (two - one)
            out.append((value, -1000 - len(out), entry.cite(first, last), ""))
    return out


def _same(one: Citation, other: Citation) -> bool:
    return one.book == other.book or plain(one.quote) in plain(other.quote)
