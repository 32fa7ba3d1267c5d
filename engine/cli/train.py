"""`plm train`: a thin layer of options over engine.training."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click
import numpy as np

from engine.cli.train_reader import reader_run, report_run
from engine.inference.model import Model
from engine.model.catalog import find_model
from engine.model.checkpoint import ModelFile, is_model, read_model
from engine.model.outputs import OutputError, check_output, check_picture
from engine.reading.training import ReaderRun, load_reader_plan
from engine.training.dataset import Text, is_foreign, load_text
from engine.training.history import Record
from engine.training.pairs import Pairs, read_pairs
from engine.training.recipe import MAX_ANSWER_WEIGHT, Plan, TrainingError, load_plan, plan_from
from engine.training.rehearsal import rehearsal_text
from engine.training.run import Budget, Run, check_inputs, summary

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
POSITIVE = click.FloatRange(min=0, min_open=True)
REHEARSAL_SHARE = 0.5
PASSES = 4  # over new text with rehearsal; more would be learned by heart
INTERRUPTED = 130  # as a shell counts an end by Ctrl-C


@click.command()
@click.option(
    "--config", "config_name", help="Name of a bundled config (tcm, tiny) or a TOML file; default: --init's."
)
@click.option("--init", "initial_name", help="Go on from this model: a bundled name, or a bf16 or f32 file.")
@click.option(
    "--data", "data", required=True, multiple=True, type=FILE, help=".txt or .jsonl, also .xz; repeatable."
)
@click.option("--mix", help="Share of each --data file, such as 1,3; the default is by size.")
@click.option(
    "--rehearse",
    type=click.FloatRange(0, 1, max_open=True),
    help="With --init: share of what is read that the model wrote itself, so that it does not forget. "
    f"The default is {REHEARSAL_SHARE}, or 0 where a --data file is one that the model was made from.",
)
@click.option("--blank-lines", type=click.IntRange(min=1), help="So many part the documents of a .txt. [2]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The model to write.")
@click.option("--name", help="Name of the model in its card; the default is that of --out.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, if there is one.")
@click.option("--minutes", type=POSITIVE, help="Length of the run, all parts together.")
@click.option("--steps", type=click.IntRange(min=1), help="Length of the run in steps.")
@click.option("--valid", multiple=True, type=FILE, help="Text to evaluate on as it goes; repeatable.")
@click.option("--rate", type=POSITIVE, help="Highest learning rate; the default is lower with --init.")
@click.option(
    "--answer-weight",
    type=click.FloatRange(1, MAX_ANSWER_WEIGHT),
    help="In dialogues: how much more the bytes of answers count than those of questions. [1]",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the start and of the order of texts.")
@click.option("--threads", type=click.IntRange(min=1), help="The default is one for each processor.")
def train(
    config_name: str | None,
    initial_name: str | None,
    data: tuple[Path, ...],
    mix: str | None,
    rehearse: float | None,
    out: Path | None,
    name: str | None,
    resume: bool,
    minutes: float | None,
    steps: int | None,
    valid: tuple[Path, ...],
    threads: int | None,
    **settings: Any,
) -> None:
    """Train a model on your own text, or teach it to one that there is (--init).

    A few questions and answers (.jsonl, .json; up to 100) are learned word for word, as long as it takes.
    Other texts are read for --minutes or --steps, with --init for four passes at most. "took 69% of the
    change": the weights moved so far from the old ones to the new; with all of it the model would forget more
    than 2 % of its own text. "55% of the roofline": of the speed at which this machine does nothing but the
    products of matrices.

    Ctrl-C ends the run with a checkpoint, from which --resume goes on.
    """
    if config_name is None and initial_name is None:
        raise click.UsageError("say what to build, by --config, or what to go on from, by --init")
    if rehearse is not None and initial_name is None:
        raise click.UsageError("--rehearse needs --init: a new model has nothing to forget")
    if config_name and (reader := load_reader_plan(config_name)):
        train_reader(
            reader_run(
                reader, data=data, valid=valid, mix=mix, out=out, name=name, initial_name=initial_name,
                minutes=minutes, steps=steps, threads=threads, settings={"rehearse": rehearse, **settings},
            ),
            resume,
        )  # fmt: skip
        return
    try:
        initial = None if initial_name is None else trained_model(initial_name)
        pairs = read_pairs(data) if initial and config_name is None and mix is None else None
        if minutes is None and steps is None and pairs is None:
            raise click.UsageError("say how long: --minutes or --steps")
        plan = choose_plan(config_name, initial, pairs is not None)
        recipe = replace(plan.recipe, **{k: v for k, v in settings.items() if v is not None})
        place = out or default_place(config_name, initial, data[0])
        check_places(place, [*data, *valid, *files_read(config_name, initial)])
        texts = [read_file(path, recipe.blank_lines) for path in data]
        budget = Budget(minutes, steps)
        if pairs:
            texts = [pairs_text(pairs, texts, recipe.seed)]
            budget = replace(budget, bytes=None if steps else pairs_bytes(pairs, rehearse))
        weights = shares(mix, texts)
        check_inputs(plan.model, initial, weights, texts)
        run = Run(
            out=place,
            name=name or place.name.removesuffix(".safetensors").removesuffix("-bf16"),
            config=plan.model,
            recipe=recipe,
            **with_rehearsal(rehearse, initial, texts, weights, budget),
            pairs=pairs,
            valid=[read_file(path, recipe.blank_lines) for path in valid],
            threads=threads or len(os.sched_getaffinity(0)),
            initial=initial,
            notes=plan.notes,
            report=click.echo,
        )
        if resume:
            run.resume()
        click.echo(f"{plan.model.parameters:,} parameters, {run.trainer.isa}, {run.threads} threads")
        with stop_on_signal() as run.stop:
            finished = run.train()
    except (OSError, RuntimeError, ValueError) as error:  # all of the engine's own are ValueErrors
        raise click.ClickException(str(error)) from None
    if not finished:
        click.echo(f"stopped after step {run.record.steps}; --resume goes on from there", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    if pairs:
        report_pairs(pairs, run.record)
    click.echo(json.dumps({"model": str(place), **summary(run.record)}, ensure_ascii=False))
    click.echo(next_steps(place, data if pairs else ()), err=True)


def train_reader(run: ReaderRun, resume: bool) -> None:
    """Ends as a language model's run does."""
    if resume:
        run.resume()
    click.echo(f"{run.plan.config.parameters:,} parameters, {run.trainer.isa}, {run.threads} threads")
    with stop_on_signal() as run.stop:
        finished = run.train()
    if not finished:
        click.echo(f"stopped after step {run.progress.steps}; --resume goes on from there", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    report_run(run)


def read_file(path: Path, blank_lines: int) -> Text:
    """A file to train or evaluate on; says so where it is not UTF-8."""
    text = load_text(path, blank_lines=blank_lines)
    if is_foreign(text.encoding):
        click.echo(f"{path.name}: read as {text.encoding.upper()}")
    return text


def pairs_text(pairs: Pairs, files: list[Text], seed: int) -> Text:
    """What is read of pairs, by the name of their files; says what there is."""
    name = ", ".join(file.name for file in files)
    own = "other wordings" if pairs.own_words else "with words around them"
    click.echo(
        f"{name}: answers to {len(pairs.learned)} questions, to be learned word for word; "
        f"{len(pairs.held_out)} {own} are held out"
    )
    framed = pairs.text(seed)
    size, sha256 = sum(file.source_bytes for file in files), hashlib.sha256(framed).hexdigest()
    return Text(name, sha256, size, np.frombuffer(framed, np.uint8))


def pairs_bytes(pairs: Pairs, rehearse: float | None) -> int:
    """How many bytes are read at first, rehearsal included."""
    share = REHEARSAL_SHARE if rehearse is None else rehearse
    return round(pairs.bytes_to_read / (1 - share))


def report_pairs(pairs: Pairs, record: Record) -> None:
    learned, held_out = record.known
    click.echo(
        f"answered word for word: {learned} of {len(pairs.learned)}; "
        f"in words that were held out: {held_out} of {len(pairs.held_out)}"
    )
    if record.own_text:
        before, now = record.own_text
        click.echo(
            f"text that the model wrote itself before: {before:.3f} bits per byte, now {now:.3f} "
            f"({now / before - 1:+.1%})"
        )


def next_steps(model: Path, pairs: tuple[Path, ...]) -> str:
    """What to do with a model that is finished."""
    int8 = model.name.removesuffix(".safetensors").removesuffix("-bf16") + ".safetensors"
    lines = f"next: plm chat {model}", f"      plm quantize {model} {int8}; PLM_MODEL={int8} plm serve"
    if not pairs:
        return "\n".join(lines)
    files = " ".join(map(str, pairs))
    return "\n".join(
        (*lines, f"      for a bot: plm library add {files}, which quotes these answers and forgets nothing")
    )


def check_places(out: Path, inputs: list[Path]) -> None:
    """OutputError where the model, its checkpoints or its plot would be written over something else."""
    check_output(out, inputs, what="model", is_one=is_model)
    plot, checkpoints = out.with_suffix(".png"), out.with_name(out.name + ".ckpt")
    if plot == out:
        raise OutputError(f"{out}: is where the picture of the losses goes; name the model .safetensors")
    check_picture(plot, inputs)
    if checkpoints.exists() and not checkpoints.is_dir():
        raise OutputError(f"{checkpoints}: is in the way of the folder for checkpoints")


def files_read(config_name: str | None, initial: ModelFile | None) -> list[Path]:
    """What a run reads beside texts."""
    return [*([Path(config_name)] if config_name else []), *([initial.path] if initial else [])]


def trained_model(name: str) -> ModelFile:
    """The model to go on from; for an int8 file, the bf16 file beside it."""
    path = find_model(name)
    model = read_model(path)
    exact = path.with_name(f"{path.stem}-bf16{path.suffix}")
    return read_model(exact) if model.dtype == "int8" and exact.is_file() else model


def choose_plan(config_name: str | None, initial: ModelFile | None, pairs: bool = False) -> Plan:
    """A named config, else the model's own; from a model the recipe for fine-tuning, or for a few pairs."""
    plan = load_plan(config_name) if config_name is not None else plan_from(initial) if initial else None
    if plan is None:
        raise TrainingError("neither a config nor a model is given")
    if initial is None:
        return plan
    return replace(plan, recipe=plan.recipe.for_pairs() if pairs else plan.recipe.tuned())


def with_rehearsal(
    share: float | None, initial: ModelFile | None, texts: list[Text], weights: list[float], budget: Budget
) -> dict[str, Any]:
    """The texts of a run and their shares, with one that the model writes itself if it is to have one.

    The run then ends after PASSES over the new text, unless its steps are given.
    """
    if share is None and initial is not None:
        stages = initial.card.get("stages", [])
        known = {entry["sha256"] for stage in stages for entry in stage["data"]}
        share = 0.0 if any(text.sha256 in known for text in texts) else REHEARSAL_SHARE
    if not share or initial is None:
        return {"texts": texts, "weights": weights, "budget": budget}
    click.echo(f"{initial.name} writes a text of its own to read beside the new one")
    written = rehearsal_text(Model(initial, os.environ.get("PLM_ISA", "")))
    scale, cut = (1 - share) / sum(weights), written.bytes.size // 16
    read = replace(written, bytes=written.bytes[cut:])
    if not budget.steps and not budget.bytes:
        most = round(PASSES * sum(text.bytes.size for text in texts) / (1 - share))
        budget = replace(budget, bytes=most)
    return {
        "texts": [*texts, read],
        "weights": [*(weight * scale for weight in weights), share],
        "budget": budget,
        "anchor_text": written.bytes[:cut],
    }


def default_place(config_name: str | None, initial: ModelFile | None, first: Path) -> Path:
    """NAME-TEXT-bf16.safetensors in the current folder."""
    model = initial.name if initial else Path(config_name or "").stem
    return Path(f"{model}-{first.name.partition('.')[0]}-bf16.safetensors")


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM asked to stop, to be looked at between steps. A second one does not wait."""
    asked: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shares(mix: str | None, texts: list[Text]) -> list[float]:
    """The weight of each text: as told, or in proportion to its size."""
    if mix is None:
        return [float(text.bytes.size) for text in texts]
    try:
        return [float(share) for share in mix.split(",")]
    except ValueError:
        raise TrainingError(f"--mix: {mix!r} is not a list of numbers such as 1,3") from None
