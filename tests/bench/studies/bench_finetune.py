"""What five minutes of fine-tuning do to a bundled model: `make bench-finetune CORPORA=folder`.

Takes 200 kB of recipes out of the general Chinese text for the "notes" of a person, and other recipes to
measure on; runs `plm train --init MODEL --data notes.txt --minutes N` as a person would, and says what the
recipes, the dialogues and the books cost before and after (int8, as `plm score` says). With --rehearse
several shares are compared, 0 being the way without text of the model's own.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import lzma
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from engine import Model
from engine.training.evaluation import valid_figures
from tests.bench.load.record import commit, device

RECIPE = "必备原料和工具"  # a heading that stands in every recipe of HowToCook and nowhere else
NOTES, HELD_OUT = 200_000, 60_000  # bytes


def write_notes(corpora: Path, folder: Path) -> tuple[Path, Path]:
    """Recipes to learn and others to measure on, in an order that says nothing about them."""
    text = lzma.decompress((corpora / "zh.train.txt.xz").read_bytes()).decode()
    recipes = sorted(
        (document for document in text.split("\n\n") if RECIPE in document),
        key=lambda document: hashlib.sha256(document.encode()).digest(),
    )
    paths = folder / "notes.txt", folder / "held-out.txt"
    for path, size in zip(paths, (NOTES, HELD_OUT), strict=True):
        taken: list[str] = []
        while recipes and sum(len(document.encode()) for document in taken) < size:
            taken.append(recipes.pop(0))
        path.write_text("\n\n\n".join(taken) + "\n", encoding="utf-8")
    return paths


def tune(options: argparse.Namespace, notes: Path, share: float | None) -> Path:
    out = options.work / f"tuned-{share}-bf16.safetensors"
    command = [sys.executable, "-m", "engine.cli", "train", "--init", options.model, "--data", notes]
    command += ["--minutes", str(options.minutes), "--out", out]
    command += [] if share is None else ["--rehearse", str(share)]
    command += ["--steps", str(options.steps)] if options.steps else []
    subprocess.run(command, check=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--model", default="tcm")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, help="ends a run before the minutes do")
    parser.add_argument(
        "--rehearse", type=float, nargs="*", default=[None], help="shares; default: plm's own"
    )
    parser.add_argument("--work", type=Path, default=Path("data/finetune"))
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("finetune.csv"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    notes, held_out = write_notes(options.corpora, options.work)
    known = ("tcm-dialogue.valid.jsonl.xz", "tcm-books.valid.txt.xz")
    texts = [held_out, *(options.corpora / name for name in known)]
    before = {name: b for text in texts for name, b in valid_figures(Model.load(options.model), text).items()}
    lines: list[tuple[object, ...]] = []
    made = (
        datetime.now(UTC).isoformat(timespec="seconds"),
        device(),
        commit(),
        options.model,
        options.minutes,
    )
    print("| rehearsal | bytes read | text | before | after | change |\n|---|---|---|---|---|---|")
    for share in options.rehearse:
        model = Model.load(tune(options, notes, share))
        read = model.card["stages"][-1]["bytes_read"]
        shown = "default" if share is None else f"{share:.0%}"
        for name, after in (pair for text in texts for pair in valid_figures(model, text).items()):
            first = before[name]
            change = after / first - 1
            print(f"| {shown} | {read:,} | {name} | {first:.3f} | {after:.3f} | {change:+.1%} |", flush=True)
            lines.append((*made, shown, read, name, first, after, round(change, 4)))
    header = ["time", "device", "commit", "model", "minutes", "rehearsal", "bytes_read", "text"]
    header += ["before", "after", "change"]
    with options.csv.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])


if __name__ == "__main__":
    main()
