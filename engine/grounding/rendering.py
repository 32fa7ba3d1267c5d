"""How quotations are written out with their places."""

from __future__ import annotations

from collections.abc import Sequence

from engine.grounding.records import Citation


def place(citation: Citation) -> str:
    """Where a quotation stands, as it is said behind it."""
    heading = citation.heading
    return f"——《{citation.book}·{heading}》" if heading else f"——《{citation.book}》"


def merged(lines: list[str], citations: Sequence[Citation]) -> list[str]:
    """The lines of quotations, where those that stand in one place one after the other name it once."""
    out: list[str] = []
    for number, line in enumerate(lines):
        here = place(citations[number])
        if number + 1 < len(citations) and place(citations[number + 1]) == here:
            line = line.removesuffix(here)
        if number and place(citations[number - 1]) == here:
            out[-1] += line
        else:
            out.append(line)
    return out


def headings(citations: Sequence[Citation]) -> list[str]:
    """The places of quotations, each once."""
    return list(
        dict.fromkeys(f"《{c.book}·{c.heading}》" if c.heading else f"《{c.book}》" for c in citations)
    )
