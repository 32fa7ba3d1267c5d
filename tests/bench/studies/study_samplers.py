"""Which sampler writes most like people: `python -m tests.bench.studies.study_samplers --corpora FOLDER`.

Each sampler answers the same 200 prompts out of held-out texts: 80 questions on books, 80 of people, and 40
openings of paragraphs. What it writes is held against the real answers in the measures of MEASURES.

The rule that chooses the default for chat: in each measure of DECIDING a sampler is as far off as its
distance from the real answers, in units of the median sampler's distance (the median, as greedy writing is so
far off that it would make all others look alike); the mean of these is its score, and the lowest wins. A unit
is no smaller than two standard errors of such a distance, nor, of shares of the answers, than 3 answers in
all, which is what none seen may hide (the rule of three). The default of today stays, though, where the
winner is not ahead of it by more than chance: two standard errors of the difference, jackknifed over twenty
groups of prompts.

Prints and writes Markdown; --csv writes every figure. One core, a minute or two.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np

from engine import CHAT, Greedy, MinP, Model, Sampler, TopE, TopK, TopP, Typical, Wygpt
from tests.bench.studies.sampler_study_data import Answer, Prompt, answer, load
from tests.bench.studies.text_measures import Distinct, Floats, Places, bare, jackknife, loops, repeated

MEASURES = {
    "distinct-1": "distinct-1",
    "distinct-2": "distinct-2",
    "distinct-3": "distinct-3",
    "distinct-4": "distinct-4",
    "repeated": "4-grams said before in the answer",
    "loops": "answers in a loop",
    "ended": "answers that ended",
    "known": "4-grams in other held-out documents",
    "bits": "bits per byte under the model",
    "length": "characters",
}
# One distinct-n, as they go together.
DECIDING = ("distinct-4", "repeated", "loops", "ended", "known", "bits", "length")
OF_ANSWERS = ("loops", "ended")  # shares of them
GROUPS = 20

SAMPLERS: list[Sampler] = [
    Greedy(),
    Greedy(repetition_penalty=1.3),
    *(TopE(factor=f, temperature=t) for f in (0.5, 0.7, 1.0, 1.5, 2.5) for t in (0.7, 1.0)),
    *(TopE(factor=f, temperature=0.7, repetition_penalty=1.1) for f in (1.0, 1.5)),
    *(TopE(factor=f, temperature=0.7, repetition_penalty=1.3) for f in (0.7, 1.0, 1.5)),
    TopE(temperature=1.0, repetition_penalty=1.3),
    *(TopP(0.9, temperature=t) for t in (0.7, 1.0)),
    TopP(0.9, temperature=0.7, repetition_penalty=1.3),
    *(MinP(0.1, temperature=t) for t in (0.7, 1.0)),
    MinP(0.1, temperature=0.7, repetition_penalty=1.3),
    *(Typical(0.9, temperature=t) for t in (0.7, 1.0)),
    *(TopK(40, temperature=t) for t in (0.7, 1.0)),
    Wygpt(),
    TopP(1.0, temperature=1.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--limit", type=int, default=200, help="prompts, for a try")
    options = parser.parse_args()
    if options.limit < 2 * GROUPS:
        parser.error(f"--limit must be at least {2 * GROUPS}")
    started = time.process_time()
    model = Model.load(options.model)
    prompts, documents = load(options.corpora, options.limit)
    samplers = SAMPLERS if CHAT in SAMPLERS else [CHAT, *SAMPLERS]
    real = [Answer(prompt.real, True) for prompt in prompts]
    answers = [real, *(answer(model, prompts, sampler) for sampler in samplers)]
    values = measure(prompts, answers, own_bits(model, prompts, answers), Places(documents))
    ranking = choose(values, samplers.index(CHAT), len(prompts))
    text = report(model, len(prompts), samplers, values, ranking)
    print(f"{text}\n({time.process_time() - started:.0f} s of one core)")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.csv:
        write_csv(options.csv, model.hash, samplers, values, ranking.scores)


def own_bits(model: Model, prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Floats:
    """What each answer costs the model that is asked the question, [rows, prompts]."""
    bits = np.zeros((len(answers), len(prompts)))
    for number, prompt in enumerate(prompts):
        session = model.session()
        session.feed(prompt.data)
        costs = session.bits_each([row[number].text for row in answers])
        bits[:, number] = [cost.sum() for cost in costs]
    return bits


def measure(
    prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], bits: Floats, places: Places
) -> Floats:
    """[rows, 1 + GROUPS, measures]: of all prompts, then of all but each group."""
    group = np.arange(len(prompts)) * GROUPS // len(prompts)
    spellings = [[bare(one.text) for one in row] for row in answers]
    variety = [[Distinct(texts, n, group) for n in (1, 2, 3, 4)] for texts in spellings]
    sizes = [min(row[n].smallest for row in variety) for n in range(4)]
    out = np.zeros((len(answers), 1 + GROUPS, len(MEASURES)))
    for number, (row, texts) in enumerate(zip(answers, spellings, strict=True)):
        pairs = np.array([repeated(text) for text in texts], float)
        known = [places.known(text, prompt.own) for text, prompt in zip(texts, prompts, strict=True)]
        size = [len(one.text.encode()) for one in row]
        parts = [pairs[:, 0], map(loops, texts), (one.ended for one in row), known]
        tops = np.array([*(list(part) for part in parts), bits[number], [len(text) for text in texts]], float)
        ones = np.ones(len(row))
        bottoms = np.array([pairs[:, 1], ones, ones, pairs[:, 1], size, ones], float)
        for without in range(-1, GROUPS):
            left = group != without
            shares = tops[:, left].sum(axis=1) / np.maximum(bottoms[:, left].sum(axis=1), 1)
            leave = None if without < 0 else without
            counts = [one.share(draw, leave) for one, draw in zip(variety[number], sizes, strict=True)]
            out[number, without + 1] = [*counts, *shares]
    return out


class Ranking(NamedTuple):
    """Which sampler the rule chooses, all scores, and the standard errors of their distance to the best."""

    chosen: int
    scores: Floats
    behind: Floats


def choose(values: Floats, today: int, count: int) -> Ranking:
    """The rule, on what `measure` returns: the real answers first; `today` counts from the first sampler.

    `count` is the number of prompts.
    """
    columns = [list(MEASURES).index(name) for name in DECIDING]
    away = np.abs(values[1:, :, columns] - values[:1, :, columns])
    chance = 2 * np.median(jackknife(away[:, 1:].swapaxes(0, 1)), axis=0)
    least = [3 / count if name in OF_ANSWERS else 1e-9 for name in DECIDING]
    unit = np.maximum.reduce([np.median(away[:, 0], axis=0), chance, least])
    scores = (away / unit).mean(axis=2)
    best = int(scores[:, 0].argmin())
    behind = jackknife((scores[:, 1:] - scores[best, 1:]).T)
    stays = scores[today, 0] - scores[best, 0] <= 2 * behind[today]
    return Ranking(today if stays else best, scores[:, 0], behind)


def as_code(sampler: Sampler) -> str:
    """As Python writes it, without what is so by default."""
    given = [
        f"{field.name}={getattr(sampler, field.name)!r}"
        for field in fields(sampler)
        if getattr(sampler, field.name) != field.default
    ]
    return f"{type(sampler).__name__}({', '.join(given)})"


def title(sampler: Sampler) -> str:
    amount = "" if sampler.amount_field is None else f" {getattr(sampler, sampler.amount_field)}"
    warmth = "" if isinstance(sampler, Greedy) else f", T {sampler.temperature:.1f}"
    penalty = f", penalty {sampler.repetition_penalty}" if sampler.repetition_penalty > 1 else ""
    return f"{sampler.name}{amount}{warmth}{penalty}"


def report(model: Model, count: int, samplers: list[Sampler], values: Floats, ranking: Ranking) -> str:
    chosen, scores, behind = ranking
    spread = jackknife(values[:, 1:].swapaxes(0, 1))
    best = int(scores.argmin())
    lines = [
        "# Samplers beside people",
        "",
        f"Written by `make bench-samplers` with the model {model.name} ({model.hash}): {count} prompts out of"
        " held-out texts, answered with each sampler.",
        "± is the standard error. What each column says, and the rule that chooses, stand in"
        " `tests/bench/studies/study_samplers.py`.",
        "",
        f"| sampler | off (less is better) | {' | '.join(MEASURES.values())} |",
        "|" + "---|" * (2 + len(MEASURES)),
        f"| **real answers** | 0 | {' | '.join(map(_cell, MEASURES, values[0, 0], spread[0]))} |",
    ]
    for i in np.argsort(scores, kind="stable"):
        name = f"**{title(samplers[i])}**" if i == chosen else title(samplers[i])
        equal = "" if i == best or scores[i] - scores[best] > 2 * behind[i] else " ≈"
        cells = map(_cell, MEASURES, values[i + 1, 0], spread[i + 1])
        lines.append(f"| {name} | {scores[i]:.3f}{equal} | {' | '.join(cells)} |")
    lines += [
        "",
        "≈: not behind the best by more than chance (two standard errors).",
        "",
        f"The rule chooses `CHAT = {as_code(samplers[chosen])}`, the line in `engine/inference/samplers.py`"
        f"{' today' if samplers[chosen] == CHAT else ''}.",
        "",
    ]
    return "\n".join(lines)


def _cell(name: str, value: float, error: float) -> str:
    if name == "length":
        return f"{value:.0f} ± {error:.0f}"
    if name == "bits" or name.startswith("distinct"):
        return f"{value:.3f} ± {error:.3f}"
    return f"{100 * value:.1f} % ± {100 * error:.1f}"


def write_csv(path: Path, model: str, samplers: list[Sampler], values: Floats, scores: Floats) -> None:
    spread = jackknife(values[:, 1:].swapaxes(0, 1))
    names, off = ["real answers", *map(title, samplers)], [0.0, *scores]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "sampler", "measure", "value", "standard_error"])
        for row, name in enumerate(names):
            writer.writerow([model, name, "off", f"{off[row]:.4f}", ""])
            for column, measured in enumerate(MEASURES):
                numbers = (f"{values[row, 0, column]:.5f}", f"{spread[row, column]:.5f}")
                writer.writerow([model, name, measured, *numbers])


if __name__ == "__main__":
    main()
