"""Choices, statements and gaps by what the library says; the model's likelihoods help where they can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from engine.grounding.evidence import judge, weigh
from engine.grounding.gaps import GAP, MOST, candidates, cite, ranked, surest
from engine.grounding.records import Citation
from engine.grounding.rendering import place
from engine.grounding.shelf import Shelf
from engine.grounding.wording import asks_for_exception

# Fillings of the model's that are weighed against the books', and their characters: of longer ones it hits
# none, and looking for them takes as long again.
OWN, LONGEST_OWN = 5, 4
Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Weighed:
    """`answer` has the fields of the model's (engine.likelihood), and `shares` for choices; with the passage
    that decides."""

    answer: dict[str, Any]
    citation: Citation

    @property
    def quotation(self) -> str:
        """The passage with its source, as answers show it."""
        return f"「{self.citation.quote}」{place(self.citation)}"


def weigh_choices(
    shelf: Shelf, question: str, choices: Sequence[str], bits: Sequence[float] | None = None
) -> Weighed | None:
    """The best choice, or None where no passage speaks of the question and a choice."""
    found = weigh(shelf, question, choices, bits)
    scores = [one.score for one in found]
    best = max(range(len(scores)), key=scores.__getitem__)
    # Of what is not so, no passage speaks: the one that speaks most for another choice decides.
    decides = min(range(len(scores)), key=scores.__getitem__) if asks_for_exception(question) else best
    citation = found[decides].citation
    if citation is None:
        return None
    total = sum(exp(score - scores[best]) for score in scores)
    shares = [exp(score - scores[best]) / total for score in scores]
    return Weighed({"answer": best, "scores": scores, "shares": shares}, citation)


def weigh_statement(shelf: Shelf, statement: str) -> Weighed | None:
    """How likely a statement is, or None where no passage speaks of it."""
    found = judge(shelf, statement)
    return Weighed({"probability": found.probability}, found.citation) if found.citation else None


def weigh_gap(shelf: Shelf, text: str, ask: Ask | None = None) -> Weighed | None:
    """The text with its gap filled as books have it and the model finds likely; None where no book does.

    The bits of a filling are the model's less what the books' votes are worth.
    """
    found = candidates(shelf, text)[:MOST]
    if not found:
        return None
    among = [one.text for one in found]
    fields = {"text": text, "count": OWN, "max_characters": LONGEST_OWN, "among": among}
    answer = ask("fill", fields) if ask else None
    if answer:
        order = ranked(found, {one["text"]: one["bits"] for one in answer["gaps"][0]})
        best = next((one for one in found if one.text == order[0][0]), None)
        gap = [{"text": filling, "bits": bits} for filling, bits in order]
    else:
        best = surest(found)
        gap = [{"text": best.text}] if best else []
    if best is None:
        return None
    return Weighed({"text": text.replace(GAP, best.text), "gaps": [gap]}, cite(shelf, best))


def weigh_question(
    shelf: Shelf, kind: str, fields: Mapping[str, Any], ask: Ask | None = None
) -> Weighed | None:
    """For a question of the kind choose, judge or fill. `ask` gives the model's answer to one, or None."""

    def weigh() -> Weighed | None:
        if kind == "choose":
            answer = ask(kind, {name: fields[name] for name in ("question", "choices")}) if ask else None
            return weigh_choices(
                shelf, fields["question"], fields["choices"], answer["scores"] if answer else None
            )
        if kind == "judge":
            return weigh_statement(shelf, fields["statement"])
        return weigh_gap(shelf, fields["text"], ask)

    return shelf.library.undisturbed(weigh)
