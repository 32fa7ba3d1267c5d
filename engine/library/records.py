"""What the library is made of: sources, passages, hits, question-answer pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["book", "pairs", "document"]
KINDS: tuple[str, ...] = get_args(Kind)


class LibraryError(ValueError):
    """What is wrong with a library, in one line that says how to mend it."""


class LibraryBusyError(LibraryError):
    """Another process is writing."""


@dataclass(frozen=True)
class Source:
    """A text of the library. `id` is never given to another source; `title` is unique."""

    id: int
    title: str
    author: str
    dynasty: str
    file: str
    sha256: str
    enabled: bool
    kind: Kind
    passages: int
    bytes: int
    bundled: bool = False


@dataclass(frozen=True)
class Passage:
    """A piece of a source; `text` is the source's UTF-8 text from byte `start` to byte `end`."""

    id: int
    source_id: int
    book: str
    heading: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Hit(Passage):
    """A passage that a search found, best first; `why` says what matched, for people."""

    score: float
    why: str


@dataclass(frozen=True)
class Quote:
    """What an answer rests on: words of a book of the library."""

    book: str
    quote: str


@dataclass(frozen=True)
class Pair:
    """A question in several wordings with its answer."""

    id: str
    questions: tuple[str, ...]
    answer: str
    topic: str = ""
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True)
class PairHit:
    """A pair whose wording `matched_question` is `score` close: 0 nothing in common, 1 the same tokens."""

    pair: Pair
    score: float
    matched_question: str
    passage: Passage
