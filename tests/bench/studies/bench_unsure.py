"""Where an answer is unsure: `python -m tests.bench.studies.bench_unsure --dialogues FILE`, for PLM_UNSURE.

The model answers the first question of each held-out dialogue, as the bot would. Right are the pairs of
neighbouring characters of its answer, those of the question apart, that the true answer has too. The
threshold is the lowest number of bits a byte (of the answer, under the bare model) above which answers are
right at most half as often as all are. Prints tenths of the answers, by their bits. One core, a minute.
"""

from __future__ import annotations

import argparse
import json
import lzma
from pathlib import Path

import numpy as np

from bot.settings.config import Settings
from engine import ASSISTANT_MARK, USER_MARK, Model
from engine.inference.samplers import chat_sampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dialogues", type=Path, required=True, help="tcm-dialogue.valid.jsonl.xz")
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--limit", type=int, default=10**9)
    options = parser.parse_args()
    lines = lzma.decompress(options.dialogues.read_bytes()).decode().splitlines()
    turns = [json.loads(line)["turns"] for line in lines[: options.limit]]
    model = Model.load(options.model)
    rows = [
        row
        for seed, turn in enumerate(turns)
        if (row := measure(model, turn[0]["content"], turn[1]["content"], seed))
    ]
    found = np.array(sorted(rows))
    print("| bits a byte | its pairs right | the true answer's bits a byte | answers |\n|---|---|---|---|")
    for part in np.array_split(found, 10):
        right, true = part[:, 1].mean(), part[:, 2].mean()
        print(f"| {part[0, 0]:.2f}–{part[-1, 0]:.2f} | {right:.3f} | {true:.3f} | {len(part)} |")
    place = threshold(found[:, 1])
    share = 100 * (1 - place / len(found))
    print(f"\nall: {found[:, 1].mean():.3f} right")
    print(f"unsure above {found[place, 0]:.2f} bits a byte: {share:.0f} % of answers")


def measure(model: Model, question: str, answer: str, seed: int) -> tuple[float, float, float] | None:
    """Bits a byte of the model's answer, the share of it that is right, bits a byte of the true answer."""
    settings: Settings = Settings.model_construct()
    session = model.session()
    session.feed(USER_MARK + question.encode() + ASSISTANT_MARK)
    own, true = session.fork(), session.fork()
    sampler = chat_sampler(settings.sampler, settings.temperature)
    written = "".join(session.generate(settings.max_bytes, sampler, seed))
    pairs = pairs_of(written) - pairs_of(question)
    if not pairs:
        return None
    right = len(pairs & pairs_of(answer)) / len(pairs)
    return float(own.bits(written).mean()), right, float(true.bits(answer).mean())


def pairs_of(text: str) -> set[str]:
    letters = "".join(c for c in text if c.isalnum())
    return {letters[i : i + 2] for i in range(len(letters) - 1)}


def threshold(right: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    """The first place, by bits, from which on answers are right at most half as often as all are."""
    behind = np.cumsum(right[::-1])[::-1] / np.arange(len(right), 0, -1)
    above = np.flatnonzero(behind > right.mean() / 2)
    return min(int(above[above < len(right) - 20].max(initial=-1)) + 1, len(right) - 1)


if __name__ == "__main__":
    main()
