"""Words that the asker quotes: where they stand, who says them, and what comes next."""

from __future__ import annotations

import re

from engine.grounding.kinds import MEANING, NEXT, ORIGIN
from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, canon, plain, standing
from engine.grounding.theory import theory
from engine.library import words
from engine.library.cutting import normalise

_ASKING = re.compile(
    f"(?:这句话|这句|这话|一句|句话)?的?(?:{NEXT.pattern}|{ORIGIN.pattern}|{MEANING.pattern}|是谁|什么|请问|呢|[？?])"
)


def quoted_words(question: Question) -> str:
    """The words that are quoted: the longest piece of the question beside what it asks of them."""
    if question.quoted:
        return question.quoted
    text = question.text.replace(question.book_word, " ") if question.book_word else question.text
    return max((piece.strip("，。 “”：:、的") for piece in _ASKING.split(text)), key=len)


_NUMBERED = re.compile("第([0-9]{1,3}|[一二三四五六七八九十百零]{1,6})条")
CLAUSES = "伤寒论"  # its clauses are numbered


def numbered(question: Question, shelf: Shelf) -> Draft | None:
    """A clause of the 伤寒论 by its number: 第十二条."""
    asked = _NUMBERED.search(question.text)
    if not asked or CLAUSES not in question.books:
        return None
    number = asked[1] if asked[1].isdigit() else str(_value(asked[1]))
    for hit in shelf.search({number: 1.0}, 40, None, CLAUSES, 0.0):
        entry = shelf.entry(hit, 0, 1)
        found = re.search(rf"(?<!\d){number}．.+?(?=\n|(?<!\d)\d{{1,3}}．|$)", entry.text)
        if found:
            return Draft([entry.cite(*found.span())], [""], "", 1.0, True)
    return None


def _value(text: str) -> int:
    """The number that Chinese figures spell, below a thousand."""
    digits = {figure: value for value, figure in enumerate("零一二三四五六七八九")}
    total = figure = 0
    for character in text:
        if character in "十百":
            total += (figure or 1) * (10 if character == "十" else 100)
            figure = 0
        else:
            figure = digits[character]
    return total + figure


def quote(question: Question, shelf: Shelf) -> Draft | None:
    clause = numbered(question, shelf)
    if clause:
        return clause
    said = quoted_words(question)
    found = places(said, question, shelf) if len(plain(said)) >= 3 else []
    if not found:
        return theory(question, shelf)
    citations: list[Citation] = []
    for _, entry, first, last in found:
        begin, end = _around(entry.text, first, last)
        citation = entry.cite(begin, end)
        if all(citation.book != c.book for c in citations):
            citations.append(citation)
        if len(citations) == (2 if sum(len(c.quote) for c in citations) < 90 else 1) or len(citations) == 2:
            break
    return Draft(citations, [""] * len(citations), "", 1.0, True)


def places(said: str, question: Question, shelf: Shelf) -> list[tuple[float, Entry, int, int]]:
    """where the words stand, best book first: (value, entry, first, last)"""
    mine = plain(said)
    hits = []
    query = dict.fromkeys(words.MARKS.sub(" ", said).split(), 1.0)
    if not question.books:
        hits = shelf.search(query, 60, heading_factor=0.3)
    for book in (*question.books[:5], *canon("theory")[:6], *canon("symptom")[:6]):
        try:
            hits += shelf.search(query, 8, None, book, 0.3)
        except ValueError:
            continue
    found = []
    seen: set[int] = set()
    for hit in hits:
        if hit.id in seen:
            continue
        seen.add(hit.id)
        span = find(hit.text, mine)
        if span is None:
            continue
        named = 1.0 if hit.book in question.books else 0.0
        exact = 1.0 if span[2] == 1.0 else 0.0
        value = span[2] + 0.3 * exact + 0.3 * standing("theory", hit.book) + named
        found.append((value, shelf.alone(hit), span[0], span[1]))
    return sorted(found, key=lambda x: -x[0])


def find(text: str, mine: str) -> tuple[int, int, float] | None:
    """(first, last, likeness) of the words in the text, punctuation apart"""
    same = normalise(text)
    letters = [place for place, character in enumerate(same) if character.isalnum()]
    spelled = "".join(same[place] for place in letters)
    at = spelled.find(mine)
    if at >= 0:
        return letters[at], letters[at + len(mine) - 1] + 1, 1.0
    if len(mine) < 5:
        return None
    grams = {mine[i : i + 2] for i in range(len(mine) - 1)}
    marks = [spelled[i : i + 2] in grams for i in range(len(spelled) - 1)]
    size = len(mine) + 2
    best, start = 0, -1
    for i in range(max(1, len(marks) - size + 2)):
        count = len({spelled[j : j + 2] for j in range(i, min(len(marks), i + size - 1)) if marks[j]})
        if count > best:
            best, start = count, i
    share = best / max(1, len(grams))
    if share < 0.7 or start < 0:
        return None
    end = min(len(letters) - 1, start + size - 1)
    return letters[start], letters[end] + 1, share


def _around(text: str, first: int, last: int) -> tuple[int, int]:
    """from the beginning of the sentence to the end of what follows the words"""
    begin = max(text.rfind(mark, 0, first) for mark in "。！？；\n") + 1
    if first - begin > 50:
        begin = max(begin, max(text.rfind(mark, begin, first) for mark in "，：、") + 1)
    end = last
    while end < len(text) and text[end] not in "。！？\n" and end - begin < 120:
        end += 1
    if end < len(text) and text[end] in "。！？":
        end += 1
    if end - last < 4 and end < len(text):  # the words end a sentence: what comes next is asked or helps
        more = end
        while more < len(text) and text[more] not in "。！？；\n" and more - end < 50:
            more += 1
        if 1 < more - end < 50:
            end = more + (more < len(text) and text[more] in "。！？；")
    return begin, end
