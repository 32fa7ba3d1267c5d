"""Short everyday notes of an owner: hours, prices, parking. Their lines are weighed by words.

The reader was taught on articles, and sees little in lines such as 代煎每剂三元. So a sentence of a note is
scored by the share of the question's own words that it or its heading holds, where an answer of the kind that
is asked for (a price, a time, a place) must stand in it. `terms/everyday.tsv` has the words of both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from engine.grounding.shelf import Entry, Shelf, plain, sentences
from engine.library import words
from engine.library.cutting import tokens

PASSAGES = 8
SHORT = 60  # characters of a sentence; longer ones are no notes
BRIEF = 12  # characters of a question as visitors ask it
ENOUGH = 0.6  # of the question's words, from which on a sentence answers
HEADED = 0.8  # weight of a word that stands in the heading alone
_FILLER = re.compile(
    "第一次|东西|看病|看诊|你们|咱们|我们|这里|这儿|贵店|贵院|请问|想问|一下|需要|可以|能不能|可不可以|有没有|能|可|要|有|是|吗|呢|吧|啊|么|的|了|在|给|到|去|来|"
    "坐|走|看|打|我|你|您|想|做|办|怎么|怎样|如何|什么|哪|多少|几|一次|一个|一剂|每|一|个|次|点|会|都|还|也|和|就|那|帮|收|用"
)


@dataclass(frozen=True)
class Kind:
    """A kind of thing that visitors ask: their words, the notes' words, how an answer looks."""

    asked: re.Pattern[str]
    noted: tuple[str, ...]
    looks: re.Pattern[str]


@dataclass(frozen=True)
class Line:
    entry: Entry
    first: int
    last: int
    score: float


@dataclass(frozen=True)
class Asked:
    """A question: its text, its own words with weights, the kinds of things asked, whom it must be about."""

    text: str
    wanted: dict[str, float]
    kinds: list[Kind]
    must: re.Pattern[str] | None


_TITLES = "医生|医师|主任|大夫|老师|教授|师傅|经理"
_PERSON = re.compile(f"(?<![一-龥])([一-龥])(?:{_TITLES})")  # surname and title, where a question begins


@cache
def _kinds() -> tuple[Kind, ...]:
    kinds = []
    for asked, noted, looks in words.rows("everyday.tsv"):
        people = sorted(asked.split("、"), key=len, reverse=True)
        kinds.append(
            Kind(re.compile("|".join(map(re.escape, people))), tuple(noted.split("、")), re.compile(looks))
        )
    return tuple(kinds)


def best_line(text: str, shelf: Shelf, sources: list[int]) -> Line | None:
    """The sentence of the owner's documents that answers an everyday question best; None if none does."""
    text = words.tidy(text)
    kinds = [kind for kind in _kinds() if kind.asked.search(text)]
    person = _PERSON.search(text)
    own = text.replace(person.group(), " ") if person else text
    for kind in kinds:
        own = kind.asked.sub(" ", own)
    own = _FILLER.sub(" ", words.MARKS.sub(" ", own))
    wanted = {token: shelf.weight(token) for run in own.split() for token in _pieces(run)}
    if not wanted and not kinds:
        return None
    must = re.compile(f"{person[1]}[一-龥]{{0,3}}(?:{_TITLES})") if person else None
    query = text + " " + " ".join(word for kind in kinds for word in kind.noted)
    hits = shelf.library.search(query, PASSAGES, sources, explain=False) if sources else []
    lines = [
        line
        for hit in hits
        for line in _lines(shelf.alone(hit), Asked(text, wanted, kinds, must))
        if line.score >= ENOUGH
    ]
    return max(lines, key=lambda line: line.score, default=None)


def unlike(text: str, said: str) -> bool:
    """Whether a short question asks for a kind of thing, such as a price, of which a sentence has none."""
    text = words.tidy(text)
    short = len(words.bare(text)) <= BRIEF and len(said) <= SHORT
    return short and any(kind.asked.search(text) and not kind.looks.search(said) for kind in _kinds())


def _pieces(run: str) -> list[str]:
    cut = tokens(run)
    return [token for token in cut if len(token) > 1] or cut


def _lines(entry: Entry, asked: Asked) -> list[Line]:
    spans = sentences(entry.text, SHORT)
    if not spans or sum(last - first for first, last in spans) / len(spans) > SHORT:
        return []
    heading, question = plain(f"{entry.book}{entry.heading}"), ""
    out = []
    for first, last in spans:
        said = entry.text[first:last].strip()
        if said.endswith(("？", "?")):  # a question of the note's own: what follows answers it
            question = plain(said)
            continue
        out.append(Line(entry, first, last, _score(said, heading, question, asked)))
        question = ""
    return out


def _score(said: str, heading: str, question: str, asked: Asked) -> float:
    """How well a sentence under a heading, or behind a question of the note's own, answers: from 0 to 1."""
    spelled = plain(said) + question
    fits = all(kind.looks.search(said) or kind.asked.search(question) for kind in asked.kinds)
    if not fits or (asked.must and not asked.must.search(spelled)):
        return 0.0
    held = sum(
        weight * (1.0 if token in spelled else HEADED if token in heading else 0.0)
        for token, weight in asked.wanted.items()
    )
    share = held / sum(asked.wanted.values()) if asked.wanted else 0.0
    named = [_named(kind, asked.text, spelled, heading) for kind in asked.kinds]
    alike = [token for token in tokens(asked.text) if len(token) > 1]
    more = 0.1 * sum(token in spelled for token in alike) / max(1, len(alike))  # decides between equals
    if not asked.wanted:
        return (1.0 if asked.must and named else min(named, default=0.0)) + more
    return (0.7 * share + 0.3 * sum(named) / len(named) if named else share) + more


def _named(kind: Kind, text: str, spelled: str, heading: str) -> float:
    """Whether a sentence speaks of the kind of thing that is asked: in the asker's words or in the notes'."""
    asked = kind.asked.search(text)
    if asked and asked.group() in spelled:
        return 1.0
    places = [place for place, word in enumerate(kind.noted) if word in spelled]
    if places:  # the first words say it most plainly
        return 0.9 - 0.003 * places[0] + 0.015 * min(4, len(places) - 1)
    return HEADED if any(word in heading for word in (*kind.noted, asked.group() if asked else "")) else 0.0
