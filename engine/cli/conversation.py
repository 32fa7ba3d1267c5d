"""A conversation in the terminal: `plm chat`."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from engine.emergency import Detector, caution, reply
from engine.inference.model import Model
from engine.inference.samplers import Sampler
from engine.inference.session import Session
from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK

HELP = "/new begins a new conversation; Ctrl-C stops an answer; Ctrl-D ends."


def talk(model: Model, sampler: Sampler, seed: int | None, max_bytes: int) -> None:
    """Read questions from standard input, a line each, and stream the answers to standard output."""
    people = sys.stdin.isatty()
    if people:
        with suppress(ImportError):
            import readline  # noqa: F401  # editing and history of the line
        click.echo(f"{model.name}, {model.parameters:,} parameters, on {model.isa}. {HELP}")
    session, detector = model.session(), Detector.load()
    while (question := _ask(people)) is not None:
        if question == "/new":
            session = model.session()
            click.echo("A new conversation.")
        elif question == "/help":
            click.echo(HELP)
        elif question:
            heard = detector.assess(question.encode("utf-8", "replace").decode())
            if help_now := reply(heard, question):
                click.echo(help_now)
                _remember(session, question, help_now)
                continue
            if warning := caution(heard, question):
                click.echo(warning)
            _answer(session, question, sampler, seed, max_bytes)


def _ask(people: bool) -> str | None:
    try:
        return input("> " if people else "").strip()
    except (EOFError, KeyboardInterrupt):
        if people:
            click.echo()
        return None


def _remember(session: Session, question: str, answer: str) -> None:
    """A turn that the model did not write."""
    session.feed(_question(question) + answer.encode() + END_MARK)


def _question(text: str) -> bytes:
    # A terminal may hand over bytes that are no UTF-8, as lone surrogates.
    return USER_MARK + text.encode("utf-8", "replace") + ASSISTANT_MARK


def _answer(session: Session, question: str, sampler: Sampler, seed: int | None, max_bytes: int) -> None:
    session.feed(_question(question))
    pieces = session.generate(max_bytes, sampler, seed)
    with suppress(KeyboardInterrupt):
        for piece in pieces:
            click.echo(piece, nl=False)
            sys.stdout.flush()
    click.echo()
    pieces.close()
    if session.stop_reason != "end":
        session.feed(END_MARK)  # the turn is over all the same
