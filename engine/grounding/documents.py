"""An owner's own documents: there are no rules for these, so a reader finds the span that answers.

The search brings the passages, the reader points at the span, and the program quotes the sentence around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Protocol

from engine.grounding.everyday import Asked, carried, is_latin, leaves_out, understood
from engine.grounding.note_lines import NOTE, is_note, units
from engine.grounding.notes import Line, answers, few, lead, lines_of, unlike, visitors, whole
from engine.grounding.question import Question
from engine.grounding.records import Draft
from engine.grounding.shelf import Entry, Shelf, plain, sentences
from engine.library import Passage, words
from engine.library.cutting import tokens

PASSAGES = 6  # of a search, that are read for a question
WHOLE = 6000  # bytes: so much is read as a whole, for an everyday question and its note may share no word
# How sure it is that the passage answers, by the reader's log odds on that passage alone and the weighted
# share of the question's pairs of characters that it holds: fitted by `bench_reading --fit`.
READER, COVERED, BIAS = 0.42, 3.66, -0.79
SURE = 0.5
PLAIN = 0.95  # score of a note's line from which on it goes before another place that the reader points at
BETTER = 0.15  # how much more of the question a note's line must hold than that other place, else
TURNS = 4  # questions before, from which a follow-up is understood
MOST_ODDS = 8.0  # the reader's odds are no surer than that
LONGEST = 150  # characters of a quotation
SHORT = 0.6  # a span that is a smaller share of its sentence is said first,
LEAD = 0.8  # if it is so likely: else it may be the wrong part of the right sentence
_MARKS = re.compile(r"^\W+|\W+$")


class Span(Protocol):
    """Characters `start` to `end` (not included) of passage number `passage`."""

    @property
    def passage(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def probability(self) -> float: ...


class Reading(Protocol):
    @property
    def spans(self) -> Sequence[Span]: ...
    @property
    def answerable(self) -> float: ...


class Reader(Protocol):
    """What finds spans: engine.reading.Reader."""

    def read(self, question: str, passages: Sequence[Mapping[str, str]]) -> Reading: ...


def only_documents(draft: Draft | None, shelf: Shelf) -> bool:
    """Whether all that a draft quotes stands in the owner's documents."""
    own = shelf.documents()
    return draft is not None and all(citation.book in own for citation in draft.citations)


def about(draft: Draft | None, topic: str) -> bool:
    """Whether what a draft quotes, or a heading over it, names the thing asked for."""
    return draft is None or any(topic in f"{c.heading}{c.quote}" for c in draft.citations)


def documents(
    question: Question, shelf: Shelf, reader: Reader | None, said: str = "",
    history: Sequence[Mapping[str, str]] = (),
) -> Draft | None:  # fmt: skip
    """What the owner's documents answer, with how sure that is as its match; None where there are no
    documents or they hold nothing alike. A short note's line may answer before the reader does.

    `said` is the question as it was typed; what it leaves out is taken from `history`, if that has quoted
    from the documents."""
    own = shelf.documents()
    if not own:
        return None
    text = words.tidy(said) or question.text
    talk = _talk(own, history)
    lines, asked = _lines(text, shelf, talk)
    line = lines[0] if lines and answers(asked, lines[0]) else None
    english = is_latin(text)  # which the reader was not taught
    follows = bool(talk) and leaves_out(asked)
    alone = text if talk and not follows else question.text
    read = _read(alone, shelf, reader) if reader is not None and not english else None
    if line is None or (read is not None and read.exact and not follows and not _better(line, lines, read)):
        return read
    cited = [line.entry.cite(*whole(line.entry.text, line.unit))]
    if line.unit.head and len(line.unit.columns) > 2:  # 项目 | 数值 says nothing
        cited.insert(0, line.entry.cite(*line.unit.head))
    return Draft(cited, [lead(line, asked)], "", min(1.0, line.score), True, everyday=bool(asked.kinds))


def _talk(own: Mapping[str, int], history: Sequence[Mapping[str, str]]) -> list[str]:
    """What was asked before, if one of the last two answers quotes a document; the last question is last."""
    answers_ = [turn["content"] for turn in history if turn.get("role") == "assistant"][-2:]
    if not any(f"——《{title}" in answer for answer in answers_ for title in own):
        return []
    return [words.tidy(turn["content"]) for turn in history if turn.get("role") == "user"][-TURNS:]


def _lines(text: str, shelf: Shelf, before: Sequence[str]) -> tuple[list[Line], Asked]:
    """The lines for a question, as it is meant after those before, else as it stands."""
    alone = understood(text, shelf)
    own = list(shelf.documents().values())
    if not visitors(text):
        return [], alone
    if before:
        earlier = understood(before[0], shelf)
        for turn in before[1:]:
            earlier = carried(understood(turn, shelf), earlier)
        meant = carried(alone, earlier)
        lines = lines_of(meant, shelf, own)
        if lines and answers(meant, lines[0]):
            return lines, meant
    return lines_of(alone, shelf, own), alone


def _better(line: Line, lines: Sequence[Line], read: Draft) -> bool:
    """Whether a line answers better, by its words, than the place that the reader points at."""
    if _within(read, line):
        return len(line.unit.columns) > 2  # whose names say what the cell is
    if not is_note(line.entry.text, NOTE):
        return line.score >= PLAIN
    rated = max((other.score for other in lines if _within(read, other)), default=0.0)
    return line.score >= PLAIN or line.score > rated + BETTER


def _within(read: Draft, line: Line) -> bool:
    """Whether the reader points at that line too."""
    return read.citations[0].overlaps(line.entry.cite(line.unit.first, line.unit.last))


def _read(text: str, shelf: Shelf, reader: Reader) -> Draft | None:
    found = find(text, shelf, reader)
    if found is None:
        return None
    entry, span, alone, share = found
    first, last = around(entry, span.start, span.end)
    if unlike(text, entry.cite(first, last).quote, entry, shelf):
        return None
    score = sureness(alone, share)
    said = _MARKS.sub("", entry.text[span.start : span.end])
    citation = entry.cite(*place_of(entry, span.start, span.end))
    first_said = said and span.probability > LEAD and len(said) < SHORT * len(citation.quote)
    return Draft([citation], [said if first_said else ""], "", score, score > SURE)


def place_of(entry: Entry, start: int, end: int) -> tuple[int, int]:
    """What is quoted of a span: its sentences; of a note the whole line or row, and the answer where it is a
    question of the note's own."""
    if is_note(entry.text, NOTE):
        held = list(units(entry))
        unit = next((u for u in held if u.first < end and u.last > start), None)
        unit = unit or next((u for u in held if u.first >= end), None)
        if unit is not None:
            return whole(entry.text, unit)
    return around(entry, start, end)


def find(text: str, shelf: Shelf, reader: Reader) -> tuple[Entry, Span, float, float] | None:
    """The passage that answers best and its span; how sure the reader is of that passage alone, from 0 to 1,
    and the share of the question that it holds."""
    entries = [shelf.alone(passage) for passage in _candidates(text, shelf)]
    if not entries:
        return None
    passages = [{"title": f"{e.book} {e.heading}".strip(), "text": e.text} for e in entries]
    reading = reader.read(text, passages)
    if not reading.spans:
        return None
    span = reading.spans[0]
    entry = entries[span.passage]
    alone = reading if len(passages) == 1 else reader.read(text, [passages[span.passage]])
    return entry, span, alone.answerable, covered(text, entry, shelf)


def _candidates(text: str, shelf: Shelf) -> Sequence[Passage]:
    """The passages of the owner's documents that may answer: all if they are few, else those of a search."""
    own = list(shelf.documents().values())
    return few(text, shelf, own, WHOLE, PASSAGES) if own else []


def log_odds(answerable: float) -> float:
    least = 1 / (1 + exp(MOST_ODDS))
    p = min(max(answerable, least), 1 - least)
    return log(p / (1 - p))


def covered(text: str, entry: Entry, shelf: Shelf) -> float:
    """The share of a question's pairs of characters, by weight, that an entry holds, its headings too."""
    weights = {t: shelf.weight(t) for t in dict.fromkeys(tokens(text)) if len(t) > 1}
    held = plain(entry.text + entry.book + entry.heading)
    total = sum(weights.values())
    return sum(weight for pair, weight in weights.items() if pair in held) / total if total else 0.0


def sureness(answerable: float, share: float) -> float:
    """From 0 to 1."""
    return 1 / (1 + exp(-(READER * log_odds(answerable) + COVERED * share + BIAS)))


def around(entry: Entry, first: int, last: int) -> tuple[int, int]:
    """The sentences that hold a span, as far as LONGEST goes; the span itself is always whole."""
    held = [(a, b) for a, b in sentences(entry.text, LONGEST) if a < last and b > first]
    if not held:
        return first, last
    begin, end = held[0][0], held[-1][1]
    if end - begin > max(LONGEST, last - first):
        begin = max(begin, first - (LONGEST - (last - first)) // 2) if last - first < LONGEST else first
        end = max(last, min(end, begin + LONGEST))
    return begin, end
