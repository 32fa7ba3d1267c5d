"""What an answer is made of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Citation:
    """A quotation: `quote` is the source's text from byte `start` to byte `end`, character for character."""

    book: str
    heading: str
    quote: str
    start: int
    end: int
    passage_id: int

    def overlaps(self, other: Citation) -> bool:
        """Whether both quote some of the same text."""
        return self.book == other.book and self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Answer:
    """`kind` is the kind of question; `score` between 0 and 1 how sure it is that the library answers it.

    `nearest` names the headings that came nearest, most of use where the answer is an abstention.
    """

    text: str
    citations: list[Citation] = field(default_factory=list)
    abstained: bool = False
    kind: str = ""
    topic: str = ""
    score: float = 0.0
    nearest: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Draft:
    """A possible answer before it is judged: quotations, each with words that lead to it."""

    citations: list[Citation]
    leads: list[str] = field(default_factory=list)
    note: str = ""
    match: float = 0.0  # how well the quotations fit the question, 0 to 1
    exact: bool = False  # a heading or the quoted words were found as asked
    defines: bool = False  # the quotation begins with the thing asked for and says what it is
    everyday: bool = False  # a note says what visitors ask of its kind: a price, a time, a place
