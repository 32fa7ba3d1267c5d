"""From a question to what the index is asked: tokens and headings with their weights."""

from __future__ import annotations

from engine.library.cutting import MAX_HEADING_KEY, heading_key, normalise, tokens
from engine.library.index import Terms
from engine.library.records import Passage

TITLE, HEADING, TEXT = 1.0, 4.0, 1.0
SINGLE = 0.3  # a single character's weight against a pair's
MAX_QUESTION = 200  # characters; what stands behind is not searched for
EXACT = 2.0  # weight of a heading that stands in the question, for each of its characters


def parse(question: str) -> Terms:
    """The terms of a question."""
    question = question[:MAX_QUESTION]
    weights = {token: SINGLE if len(token) == 1 else 1.0 for token in tokens(question)}
    # Half of all passages hold a common character: in the text pairs find as much in half the time.
    long = {token: weight for token, weight in weights.items() if len(token) > 1} or weights
    fields = {
        field: {token: weight * factor for token, weight in held.items()}
        for field, factor, held in (
            ("title", TITLE, weights),
            ("heading", HEADING, weights),
            ("text", TEXT, long),
        )
    }
    return Terms(fields, {key: EXACT * len(key) for key in _possible_headings(question)})


def _possible_headings(question: str) -> set[str]:
    whole = heading_key(question)
    keys = {whole} if whole else set()
    for run in question.split():
        name = heading_key(run) or run
        for start in range(len(name)):
            for end in range(start + 2, min(len(name), start + MAX_HEADING_KEY) + 1):
                keys.add(name[start:end])
    return keys


def why(terms: Terms, passage: Passage) -> str:
    """What of a question a passage holds, for people: `heading = 桂枝汤 · heading: 桂枝 · text: 组成`."""
    parts = []
    name = heading_key(passage.heading.rpartition("/")[2])
    if name in terms.headings:
        parts.append(f"heading = {name}")
    for field, text in (("title", passage.book), ("heading", passage.heading), ("text", passage.text)):
        spelt = normalise(text)
        words = [token for token in terms.fields.get(field, {}) if len(token) > 1 and token in spelt]
        if words:
            parts.append(f"{field}: {' '.join(words[:8])}")
    return " · ".join(parts)
