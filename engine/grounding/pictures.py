"""The formula whose picture a complaint shows: several signs at once, as the books' clauses describe them.

`terms/pictures.tsv` says in today's words what the sick show for whom some three hundred formulas were
made. A complaint of several signs is compared with all of them; the formula's own clause is then looked up
and quoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import log

from engine.grounding import formulas
from engine.grounding.clauses import Clause
from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Shelf, sentences
from engine.library import words
from engine.library.words import Group

ENOUGH = 0.62  # of a complaint, by weight, that a picture has to hold
FURTHER = 400  # characters behind a clause in which its book may name the formula
LONGEST = 150  # characters of a clause that are quoted
AHEAD = 0.92  # a second picture is as good if it comes so near to the first
_RARE = 3.0  # the weight of a sign that no picture has


@dataclass(frozen=True)
class Sign:
    """One sign of a picture, in any of the words that it has."""

    words: tuple[str, ...]
    needed: bool  # without it, it is another picture
    meant: frozenset[str]  # what the books call it
    plain: tuple[str, ...]  # its words that name no complaint, to be looked for as they are

    def shown(self, question: Question) -> tuple[Group, ...] | None:
        """What of a question names it; None if nothing does, empty if words that are no complaint's do."""
        named = tuple(group for group in question.groups if self._means(group))
        if named or not any(word in question.text for word in self.plain):
            return named or None
        return ()

    def _means(self, group: Group) -> bool:
        if group.word in self.words or group.word in self.meant:
            return True
        others = set(group.alternatives) - {group.word}
        return 2 * len(others & self.meant) > min(len(others), len(self.meant)) > 0


@dataclass(frozen=True)
class Picture:
    formula: str
    book: str
    signs: tuple[Sign, ...]


@cache
def pictures() -> tuple[Picture, ...]:
    return tuple(
        Picture(formula, book, tuple(_sign(cell) for cell in signs.split("、")))
        for formula, book, signs in words.rows("pictures.tsv")
    )


def _sign(cell: str) -> Sign:
    said = tuple(cell.removeprefix("*").split("/"))
    named = {word: group for word in said for group in words.groups(word) if group.word == word}
    meant = {alternative for group in named.values() for alternative in group.alternatives}
    return Sign(said, cell.startswith("*"), frozenset(meant), tuple(w for w in said if w not in named))


@cache
def _weights() -> dict[Sign, float]:
    """How telling a sign is: the fewer pictures have it, the more."""
    all_signs = Counter(sign.words[0] for picture in pictures() for sign in picture.signs)
    return {
        sign: min(_RARE, log(len(pictures()) / all_signs[sign.words[0]]))
        for picture in pictures()
        for sign in picture.signs
    }


def likest(question: Question) -> list[Picture]:
    """The one picture that a complaint of two signs or more shows, or two that are alike; none if unsure."""
    ranked = sorted(_likenesses(question), key=lambda found: -found[0])
    return [picture for value, picture in ranked[:2] if value >= AHEAD * ranked[0][0]]


def _likenesses(question: Question) -> Iterator[tuple[float, Picture]]:
    weights = _weights()
    for picture in pictures():
        if question.books and picture.book not in question.books:
            continue
        seen = [(sign, shown) for sign in picture.signs if (shown := sign.shown(question)) is not None]
        if len(seen) < 2 or any(s.needed and s not in {sign for sign, _ in seen} for s in picture.signs):
            continue
        held = sum(weights[sign] for sign, _ in seen)
        named = {group.word for _, shown in seen for group in shown}
        left = sum(_weight(group) for group in question.groups if not _within(group.word, named, question))
        share = held / (held + left)
        if share >= ENOUGH:
            yield share + 0.3 * held / sum(weights[sign] for sign in picture.signs) + 0.04 * held, picture


def _within(word: str, named: set[str], question: Question) -> bool:
    """Whether a complaint is named, or shares its characters in the question with one that is."""
    first = question.text.find(word)
    spans = [(question.text.find(other), len(other)) for other in named]
    return word in named or any(begin < first + len(word) and first < begin + size for begin, size in spans)


@cache
def _known(word: str) -> float:
    return min(
        (w for sign, w in _weights().items() if word in sign.words or word in sign.meant), default=_RARE
    )


def _weight(group: Group) -> float:
    return min(_known(word) for word in group.alternatives)


def shown(question: Question, ranked: Sequence[Clause], shelf: Shelf) -> dict[str, Draft]:
    """The formulas whose pictures a complaint shows, each with a clause; `ranked`: those that speak of it."""
    found = {picture.formula: _of(picture, question, ranked, shelf) for picture in likest(question)}
    return {formula: draft for formula, draft in found.items() if draft}


def _of(found: Picture, question: Question, ranked: Sequence[Clause], shelf: Shelf) -> Draft | None:
    """A clause that speaks of the complaint and names the formula, else what its book says it is for."""
    names = words.formula_names(found.formula)
    naming = [named for clause in ranked if (named := _naming(clause, names, found.book))]
    if naming:
        return quoted(max(naming, key=lambda clause: (clause.entry.book == found.book) + clause.value))
    asked = replace(
        question, kind="formula", topic=found.formula, names=names, aspects=("indication",),
        books=(found.book,), book_word=found.book,
    )  # fmt: skip
    draft = formulas.indications(asked, shelf)
    if draft is None or draft.citations[0].book != found.book:
        draft = formulas.indications(replace(asked, books=(), book_word=""), shelf)
    if draft is None:
        return None
    first = draft.citations[0]
    return Draft(
        [first], ["" if any(name in first.quote for name in names) else found.formula], "", 1.0, True
    )


def _naming(clause: Clause, names: tuple[str, ...], book: str) -> Clause | None:
    """The clause, if it or, in the picture's own book, what follows it names the formula."""
    if clause.formula in names:
        return clause
    text = clause.entry.text
    for name in names if clause.entry.book == book else ():
        place = text.find(name, clause.first, clause.last + FURTHER)
        if place >= 0 and text[place - 1 : place] in ("用", "与", "宜", "以", "服"):
            first, last = next(s for s in sentences(text) if s[0] <= place < s[1])
            return replace(clause, formula=name, extra=None if first < clause.last else (first, last))
    return None


def quoted(clause: Clause) -> Draft:
    """A clause as it is quoted, with the sentence that names its formula where that is another."""
    entry, last = clause.entry, min(clause.last, clause.first + LONGEST)
    citations = [entry.cite(clause.first, last)]
    headed = clause.formula and clause.formula == entry.key and clause.formula not in citations[0].quote
    if clause.extra:
        citations.append(entry.cite(*clause.extra))
    return Draft(citations, [clause.formula if headed else "", ""][: len(citations)], "", clause.coverage)
