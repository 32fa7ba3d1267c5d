"""A few questions with their answers, to be learned word for word: `plm train --init MODEL --data faq.jsonl`.

Ten pairs are two thousand bytes. Read like any text, in four passes with rehearsal, they teach nothing; read
until they are learned, they make the model forget. So they are read fifty times or more, each time in another
order and every other time in other words, in small batches with rehearsal beside them, and reading goes on
until all are known. Then the least share of the change is taken that knows them (Wortsman et al., 2022,
arXiv:2109.01903).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from engine.inference.model import Model
from engine.inference.samplers import CHAT
from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK
from engine.training.dataset import is_dialogues, read_dialogues, read_text
from engine.training.dialogues import Document, sides

MOST = 100  # of them; more are a text to be learned from, as any other
MOST_BYTES = 32_000
# Passes over so many bytes at first; of more, fewer: what one pair teaches of the form serves all.
MOST_PASSES, MOST_PASSES_BYTES, LEAST_PASSES = 48.0, 2_400, 20.0
LEAST_READ = 115_000  # bytes, some eighty steps
MORE = 0.5  # of the passes are added each time that something is not known
ROUNDS = 3
SHARES, SHARES_MARGIN = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 0.05  # of the change: tried, and added to it
COPIES = 64  # of all of them in the text that is read
DROPPED = 0.12  # of the characters of a question, in every other copy
_MANY = 3  # wordings, of which the last is held out

# What people put around a question: read, and held out.
_CHINESE = ("请问{}", "你好，{}", "想问一下{}"), "麻烦问一句，{}"
_OTHER = ("Please: {}", "Hello, {}", "I would like to know: {}"), "One question. {}"

Pair = tuple[str, str]


@dataclass(frozen=True)
class Pairs:
    """`learned` are question and answer each; `held_out` the same answers, asked in words that are not read:
    the owner's (`own_words`) where there are three wordings or more, else the question with words around it.
    """

    learned: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    own_words: bool

    @property
    def bytes_to_read(self) -> int:
        """How much of `text` is to be read at first."""
        size = sum(len((question + answer).encode()) + 4 for question, answer in self.learned)
        passes = max(LEAST_PASSES, MOST_PASSES * min(1.0, sqrt(MOST_PASSES_BYTES / size)))
        return max(LEAST_READ, round(passes * size))

    def text(self, seed: int) -> bytes:
        """What is read: framed dialogues, every other one of two pairs."""
        dice = random.Random(seed)
        pairs, turns = list(self.learned), []
        for copy in range(COPIES):
            dice.shuffle(pairs)
            for question, answer in pairs:
                turns.append(_turn((_reworded(question, dice) if copy % 2 else question, answer)))
        text = END_MARK
        for turn in turns:
            text += turn + END_MARK + (END_MARK if dice.random() < 0.5 else b"")
        return text


def read_pairs(paths: Iterable[Path]) -> Pairs | None:
    """The pairs of files that are in a form of dialogues, if they hold no more than a few pairs; else None.
    DataError."""
    learned: dict[Pair, None] = {}
    held_out: dict[Pair, None] = {}
    size = 0
    for path in paths:
        if not is_dialogues(path.name):
            return None
        raw = path.read_bytes()
        if len(raw) > 8 * MOST_BYTES:
            return None
        for documents in read_dialogues(path.name, read_text(path.name, raw)[0]):
            found = [pair for document in documents if (pair := _pair(document))]
            if len(found) < len(documents):
                return None
            if len(found) >= _MANY:
                held_out[found.pop()] = None
            learned |= dict.fromkeys(found)
        size = sum(len((question + answer).encode()) for question, answer in learned)
        if len(learned) > MOST or size > MOST_BYTES:
            return None
    if not learned:
        return None
    own_words = bool(held_out)
    if not own_words:
        held_out = dict.fromkeys(
            (_frames(question)[1].format(question), answer) for question, answer in learned
        )
    return Pairs(tuple(learned), tuple(held_out), own_words)


def _pair(document: Document) -> Pair | None:
    """Question and answer, if a document is one of each."""
    if isinstance(document, str):
        return None
    said = list(sides(document))
    return (said[0][1], said[1][1]) if [user for user, _ in said] == [True, False] else None


def _frames(question: str) -> tuple[tuple[str, ...], str]:
    return _CHINESE if re.search("[\u3400-\u9fff]", question) else _OTHER


def _reworded(question: str, dice: random.Random) -> str:
    """The question as people might put it: with words around it, without its mark, and with characters
    missing, so that no single one is what it is known by."""
    kept = "".join(character for character in question if dice.random() > DROPPED)
    bare = (kept if len(kept) > 1 else question).rstrip("？?")
    return dice.choice((*_frames(question)[0], "{}", "{}", "{}")).format(bare)


def known(model: Model, pairs: Sequence[Pair]) -> int:
    """How many questions are answered word for word as `plm chat` samples: as the first of a talk, and again
    behind another."""
    return sum(
        _answers(model, pair) and _answers(model, pair, pairs[place - 1]) for place, pair in enumerate(pairs)
    )


def _answers(model: Model, pair: Pair, before: Pair | None = None) -> bool:
    session, (question, answer) = model.session(), pair
    if before:
        session.feed(_turn(before) + END_MARK)
    session.feed(USER_MARK + question.encode() + ASSISTANT_MARK)
    text = ""
    pieces = session.generate(len(answer.encode()) + 1, CHAT, seed=len(question))
    for piece in pieces:
        text += piece
        if not answer.startswith(text):
            pieces.close()
            return False
    return text == answer and session.stop_reason == "end"


def _turn(pair: Pair) -> bytes:
    return USER_MARK + pair[0].encode() + ASSISTANT_MARK + pair[1].encode()
