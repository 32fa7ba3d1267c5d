"""The engine's part of the command `plm`.

Exit codes: 0 done, 1 failed with one line on stderr, 2 wrong usage.
"""

from __future__ import annotations

import click

from engine.cli.lazy import LazyCommand
from engine.cli.streams import Commands

# Name, where the command or group of commands is, and the first sentence of its help: a package that brings
# commands of its own adds its group here.
COMMANDS = (
    ("ask", "engine.cli.ask:ask", "Answer QUESTION with quotations from the library."),
    ("bench", "engine.cli.bench:bench", "How fast a model runs here, on one core."),
    ("chat", "engine.cli.generate:chat", "Talk with a model in the terminal."),
    (
        "choose",
        "engine.cli.likelihood:choose",
        'Answer multiple-choice questions: JSON lines {"question", "choices"} from FILE or standard input.',
    ),
    ("convert", "engine.cli.models:convert", "Import models of other programs."),
    (
        "emergency",
        "engine.cli.emergency:emergency",
        "Emergencies in messages: make, measure and ask the classifier.",
    ),
    (
        "fill",
        "engine.cli.likelihood:fill",
        "Fill the gaps of TEXT, each marked by ____ (four underscores); - reads standard input.",
    ),
    ("generate", "engine.cli.generate:generate", "Continue a text; prints what comes after --prompt."),
    ("info", "engine.cli.models:info", "What a model is, what it was trained on, and how good it is."),
    (
        "judge",
        "engine.cli.likelihood:judge",
        "How likely STATEMENT is against its best contrast, as a probability; - reads standard input.",
    ),
    ("library", "engine.cli.library:library", "The texts that answers are quoted from."),
    (
        "quantize",
        "engine.cli.models:quantize",
        "Write the int8 form of a bf16 or f32 model file; --valid puts its bits per byte into the card.",
    ),
    (
        "score",
        "engine.cli.likelihood:score",
        "How likely the text in FILE is, in bits per byte; - reads standard input.",
    ),
    (
        "train",
        "engine.cli.train:train",
        "Train a model on your own text, or teach it to one that there is (--init).",
    ),
)


@click.group(cls=Commands)
def main() -> None:
    """Use and make models."""


for name, place, summary in COMMANDS:
    main.add_command(LazyCommand(name, place, summary))
