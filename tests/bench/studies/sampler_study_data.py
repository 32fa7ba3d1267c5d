"""What study_samplers asks, and the answers that people gave: cut with a fixed seed from held-out texts."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import ASSISTANT_MARK, END_MARK, USER_MARK, Batcher, Model, Sampler

SHARES = {"book": 0.4, "people": 0.4, "opening": 0.2}  # of the prompts
OPENING = 20  # characters of a paragraph
MOST = 1200  # bytes of an answer, as the bot has it


@dataclass(frozen=True)
class Prompt:
    """`data` is what the model reads; an answer is over at the byte `end`. `own` names the document of it."""

    kind: str
    data: bytes
    end: int
    real: str
    own: str


@dataclass(frozen=True)
class Answer:
    text: str
    ended: bool


def load(corpora: Path, count: int, seed: int = 3) -> tuple[list[Prompt], dict[str, str]]:
    """Prompts of all kinds, mixed, and the held-out documents by name.

    A book and the dialogues made from it are one document, else every answer from a book would be known.
    """
    with lzma.open(corpora / "tcm-books.valid.txt.xz", "rt", encoding="utf-8") as text:
        books = {_title(book): book for book in text.read().split("\n\n\n")}
    with lzma.open(corpora / "tcm-dialogue.valid.jsonl.xz", "rt", encoding="utf-8") as lines:
        dialogues = [json.loads(line) for line in lines]
    documents = {f"books:{title}": book for title, book in books.items()}
    found: dict[str, list[Prompt]] = {kind: [] for kind in SHARES}
    for number, dialogue in enumerate(dialogues):
        own, turns = dialogue["source"], [turn["content"] for turn in dialogue["turns"]]
        kind = "book" if own.startswith("books:") else "people"
        own = own if kind == "book" else f"dialogue {number}"
        documents[own] = documents.get(own, "") + "\n" + "\n".join(turns)
        data = USER_MARK + turns[0].encode() + ASSISTANT_MARK
        found[kind].append(Prompt(kind, data, END_MARK[0], _cut(turns[1]), own))
    for title, book in books.items():
        for line in book.splitlines():
            if len(line) >= 3 * OPENING:
                data, real = line[:OPENING].encode(), _cut(line[OPENING:])
                found["opening"].append(Prompt("opening", data, ord("\n"), real, f"books:{title}"))
    generator = random.Random(seed)
    prompts = [one for kind, all_of in found.items() for one in generator.sample(all_of, _part(kind, count))]
    generator.shuffle(prompts)
    return prompts, documents


def answer(model: Model, prompts: Sequence[Prompt], sampler: Sampler, seed: int = 1) -> list[Answer]:
    """The answers to all prompts, written in one batch."""
    batcher = Batcher(model, len(prompts))
    streams = [
        # An end mark is one in a book as well.
        batcher.submit(prompt.data, MOST, sampler, seed + number, "\n" if prompt.end == ord("\n") else ())
        for number, prompt in enumerate(prompts)
    ]
    texts = ["".join(stream) for stream in streams]
    ended = [stream.stop_reason in ("end", "stop") for stream in streams]
    return [Answer(text, end) for text, end in zip(texts, ended, strict=True)]


def _title(book: str) -> str:
    return book.strip()[1:].split("》")[0]


def _cut(text: str) -> str:
    return text.encode()[:MOST].decode("utf-8", "ignore")


def _part(kind: str, count: int) -> int:
    return round(SHARES[kind] * count)
