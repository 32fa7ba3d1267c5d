"""Everyday notes (notes.jsonl) as an owner's documents: short questions that they answer, and others.

They were written for this alone, before the rules that training makes its own notes by (notes.toml of
engine/reading).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.grounding import Answerer
from engine.library import Library
from engine.reading import Reader
from engine.reading.measures import area_under_curve, holds
from tests.bench.benchmarks.interval import wilson

NOTES = Path(__file__).with_name("notes.jsonl")


def note_libraries(folder: Path) -> Iterator[tuple[dict[str, Any], Library]]:
    """Each note, and a library of it alone."""
    for number, line in enumerate(NOTES.read_text("utf-8").splitlines()):
        note = json.loads(line)
        library = Library.open(folder / str(number))
        with library.writer() as writer:
            writer.add_text(note["title"], "", "", note["text"], file="note.txt", kind="document")
        yield note, library


def shares(text: str, who: str, counts: Mapping[str, Sequence[bool]]) -> list[dict[str, Any]]:
    """A row for each measure, with its 95 % interval; they are printed too."""
    rows = []
    for measure, values in counts.items():
        low, high = wilson(sum(values), len(values))
        rows.append(
            {"text": text, "who": who, "measure": measure, "n": len(values),
             "value": round(sum(values) / len(values), 3), "low": round(low, 3), "high": round(high, 3)}
        )  # fmt: skip
    print(f"{text:12} {who:18} " + "  ".join(f"{row['measure']} {row['value']:.3f}" for row in rows))
    return rows


def measure_notes(reader: Reader, folder: Path, show: bool = False) -> list[dict[str, Any]]:
    """`right`: answers that hold the right words; `abstained`; `false`: of the questions that nothing
    answers, those with a quotation. `show` prints each answer."""
    counts: dict[str, dict[str, list[bool]]] = {}
    scores: list[float] = []
    answered: list[bool] = []
    for note, library in note_libraries(folder):
        passage = {"title": note["title"], "text": note["text"]}
        for question, wanted in [*note["questions"], *((absent, None) for absent in note["absent"])]:
            scores.append(reader.read(question, [passage]).answerable)
            answered.append(wanted is not None)
        for who, answerer in {
            "rules": Answerer(library),
            "reader": Answerer(library, reader=reader),
        }.items():
            count = counts.setdefault(who, {"right": [], "abstained": [], "false": []})
            for question, wanted in note["questions"]:
                answer = answerer.answer(question)
                count["right"].append(not answer.abstained and holds(answer.text, wanted))
                count["abstained"].append(answer.abstained)
                if show and who == "reader":
                    print(count["right"][-1], question, "→", answer.text.replace("\n", " "))
            for question in note["absent"]:
                answer = answerer.answer(question)
                count["false"].append(not answer.abstained and bool(answer.citations))
                if show and who == "reader":
                    print("absent", not count["false"][-1], question, "→", answer.text.replace("\n", " "))
    rows = [row for who, count in counts.items() for row in shares("notes", who, count)]
    area = area_under_curve(scores, answered)
    print(f"notes        reader             refusal {area:.3f}")
    rows.append(
        {"text": "notes", "who": "reader", "measure": "refusal", "value": round(area, 3), "n": len(scores)}
    )
    return rows
