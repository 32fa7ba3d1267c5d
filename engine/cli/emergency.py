"""`plm emergency`: make the classifier anew, measure it, ask it."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from engine.cli.errors import one_line_errors
from engine.emergency.assessment import Level
from engine.emergency.detector import WEIGHTS, Detector
from engine.emergency.evaluation import area, evaluate, plot, roc, shares
from engine.emergency.lookalikes import lookalikes as ordinary_of
from engine.emergency.messages import bundled_files, digest, read_messages
from engine.emergency.replies import caution, reply
from engine.emergency.weights import is_weights
from engine.model.outputs import OutputError, check_output, check_picture

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
HERE = Path(str(files("engine.emergency")))


@click.group()
def emergency() -> None:
    """Emergencies in messages: make, measure and ask the classifier."""


@emergency.command()
@click.option(
    "--data",
    "data",
    multiple=True,
    type=FILE,
    help="More messages (JSON lines: text, label, kind); repeatable.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=HERE / WEIGHTS)
@click.option(
    "--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the ROC curve."
)
@one_line_errors
def train(data: tuple[Path, ...], out: Path, picture: Path | None) -> None:
    """Make the weights from the bundled messages and --data; some minutes. Beside them their card (.json)."""
    from engine.emergency.training import train as train_on  # needs numpy, which no answer needs

    check_places(out, picture, [*bundled_files(), *data])
    messages = read_messages([*bundled_files(), *data])
    trained = train_on(messages, out)
    click.echo(err=True)
    pairs = [
        (score, message.label == "emergency")
        for score, message in zip(trained.scores.tolist(), messages, strict=True)
        if message.label != "toxic_dose"
    ]
    points = roc([score for score, _ in pairs], [positive for _, positive in pairs])
    marks = {
        name: _rates(pairs, trained.settings[name]) for name in (Level.EMERGENCY.value, Level.UNCERTAIN.value)
    }
    card = {
        "made": datetime.now(UTC).date().isoformat(),
        "messages": {
            label: sum(m.label == label for m in messages) for label in ("emergency", "none", "toxic_dose")
        },
        "sha256 of the messages": digest(messages),
        "sha256 of the weights": hashlib.sha256(out.read_bytes()).hexdigest(),
        "penalty": trained.penalty,
        "settings": {name: round(value, 4) for name, value in trained.settings.items()},
        "five-fold cross-validation": {
            "area under the ROC curve": round(area(points), 4),
            **{
                f"at the threshold {name}": {"recall": round(y, 4), "false alarms": round(x, 4)}
                for name, (x, y) in marks.items()
            },
            "right kind of emergency": round(trained.kind_accuracy, 3),
        },
    }
    out.with_suffix(".json").write_text(
        json.dumps(card, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    if picture:
        plot(picture, {"cross-validation": points}, marks)
    click.echo(json.dumps(card, ensure_ascii=False, indent=2))


@emergency.command()
@click.argument("file", type=FILE)
@click.option("--weights", type=FILE, help="Other weights than the bundled ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with every wrong message.")
@click.option("--wrong", is_flag=True, help="Print the messages that were taken wrongly.")
@one_line_errors
def test(file: Path, weights: Path | None, as_json: bool, wrong: bool) -> None:
    """Recall and false alarms on FILE (JSON lines: text, and label or emergency; kind), by kind."""
    messages = read_messages([file])
    detector = Detector.load(path=weights)
    start = time.perf_counter()
    result = evaluate(detector, messages)
    result["ms_per_message"] = round(1000 * (time.perf_counter() - start) / max(len(messages), 1), 3)
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    click.echo(_report(result))
    for row in result["wrong"] if wrong else []:
        click.echo(f"{row['label']}/{row['kind']} → {row['level']} {row['score']}: {row['text']}")


@emergency.command()
@click.argument("text")
def ask(text: str) -> None:
    """What TEXT is taken for, and what would be said."""
    assessment = Detector.load().assess(text)
    click.echo(f"{assessment.level} {assessment.kind} {assessment.score:.3f}")
    if words := reply(assessment, text) or caution(assessment, text):
        click.echo(words)


@emergency.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--longest", default=90, show_default=True, help="Characters of a question.")
@click.option("--at-most", default=10_000, show_default=True, help="How many of them.")
@click.option("--studies/--no-studies", default=True, help="Severe ones that ask what a book says too.")
@one_line_errors
def lookalikes(files: tuple[Path, ...], longest: int, at_most: int, studies: bool) -> None:
    """Print the ordinary questions of FILES (JSON lines) as messages for `train`, without severe ones."""
    messages = ordinary_of(files, longest, at_most, studies)
    for message in messages:
        row = {"text": message.text, "label": message.label, "kind": message.kind}
        click.echo(json.dumps(row, ensure_ascii=False))


def check_places(out: Path, picture: Path | None, inputs: list[Path]) -> None:
    """OutputError where the weights, their card or the plot would be written over something else."""
    card = out.with_suffix(".json")
    check_output(out, inputs, what="emergency classifier", is_one=is_weights)
    check_output(
        card, inputs, what="card of a classifier", is_one=lambda path: b"sha256" in path.read_bytes()
    )
    if card == out:
        raise OutputError(f"{out}: is where the card goes; give the weights another ending")
    if picture:
        check_picture(picture, [*inputs, out, card])


def _rates(pairs: list[tuple[float, bool]], threshold: float) -> tuple[float, float]:
    """False alarms and recall."""
    yes = [score >= threshold for score, positive in pairs if positive]
    no = [score >= threshold for score, positive in pairs if not positive]
    return sum(no) / len(no), sum(yes) / len(yes)


def _report(result: dict[str, Any]) -> str:
    """A table: what was heard of the emergencies, false alarms of the others, warnings of the doses."""
    lines = [f"{'':24}{'of':>6} {'found':>7} {'95 % interval':>17} {'or unsure':>10}"]
    for label, levels, more in (
        ("emergency", [Level.EMERGENCY], [Level.EMERGENCY, Level.UNCERTAIN]),
        ("none", [Level.EMERGENCY], [Level.EMERGENCY, Level.UNCERTAIN]),
        ("toxic_dose", [Level.TOXIC_DOSE, Level.EMERGENCY], [Level.TOXIC_DOSE, Level.EMERGENCY]),
    ):
        for kind, counts in result["table"].get(label, {}).items():
            hits, of, low, high = shares(counts, levels)
            unsure = shares(counts, more)[0]
            lines.append(
                f"{label + ' ' + kind:24}{of:>6} {hits / of:>7.1%} "
                f"{low:>8.1%}–{high:<8.1%} {unsure / of:>9.1%}"
            )
    return "\n".join([*lines, f"{result['ms_per_message']} ms a message"])
