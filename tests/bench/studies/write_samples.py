"""What the bundled models write, unedited: `make samples`.

The same prompts and seeds for Top-E, top-p and min-p, all at the temperature of the chat's default.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from engine import (
    ASSISTANT_MARK,
    CHAT,
    END_MARK,
    USER_MARK,
    MinP,
    Model,
    ModelFileError,
    Sampler,
    TopE,
    TopP,
)
from engine.model.catalog import find_model
from tests.bench.studies.sample_prompts import PROMPTS, SamplePrompt
from tests.bench.studies.study_samplers import as_code, title

MOST = 450  # bytes of an answer; one that is cut ends in (…)


def samplers() -> list[Sampler]:
    """The default first."""
    rivals = [kind(amount, temperature=CHAT.temperature) for kind, amount in RIVALS]
    return [CHAT, *(rival for rival in rivals if rival != CHAT)]


RIVALS: list[tuple[type[TopE] | type[TopP] | type[MinP], float]] = [(TopE, 1.0), (TopP, 0.9), (MinP, 0.1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.write_text("\n".join(document()), encoding="utf-8")


def document() -> Iterator[str]:
    yield "# Samples\n"
    yield (
        "Written by `make samples`, unedited. The seed of a prompt is its number; (…) marks an answer cut at"
        f" {MOST} bytes.\nThe models are small: what they say is fluent more often than true, and none of it"
        f" is medical advice. The default is `{as_code(CHAT)}`."
    )
    for name, prompts in PROMPTS.items():
        try:
            path = find_model(name)
        except ModelFileError:  # not every checkout has every model
            continue
        model = Model.load(path)
        yield f"\n## {name} ({model.hash})"
        for number, prompt in enumerate(prompts, start=1):
            yield f"\n### {number}. {' → '.join(prompt.said)}\n"
            for sampler in samplers():
                yield f"- *{title(sampler)}*"
                yield from map(_quoted, answers(model, prompt, sampler, number))
    yield ""


def answers(model: Model, prompt: SamplePrompt, sampler: Sampler, seed: int) -> Iterator[str]:
    """What the model says to each thing that is said."""
    session = model.session()
    for said in prompt.said:
        session.feed(said if prompt.opening else USER_MARK + said.encode() + ASSISTANT_MARK)
        text = "".join(session.generate(MOST, sampler, seed))
        if session.stop_reason != "end":
            session.feed(END_MARK)
            text += "(…)"
        yield text


def _quoted(text: str) -> str:
    """As a literal block, so that nothing in it is read as Markdown."""
    fence = "```" if "```" not in text else "~~~~"
    return "\n".join(["", f"  {fence}text", *(f"  {line}" for line in text.split("\n")), f"  {fence}", ""])


if __name__ == "__main__":
    main()
