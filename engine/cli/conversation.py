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

HELP = (
    "/new begins a new conversation; /more goes on with an answer that ended at --max-bytes; Ctrl-C stops an "
    "answer; /exit, /quit or Ctrl-D ends."
)
LEAVE = ("/exit", "/quit", "exit", "quit")
MORE = ("/more", "继续")
MORE_HINT = "(The limit is reached: /more goes on.)"


def talk(model: Model, sampler: Sampler, seed: int | None, max_bytes: int) -> None:
    """Read questions from standard input, a line each, and stream the answers to standard output."""
    people = sys.stdin.isatty()
    if people:
        with suppress(ImportError):
            import readline  # noqa: F401  # editing and history of the line
        click.echo(f"{model.name}, {model.parameters:,} parameters, on {model.isa}. {HELP}")
    session, detector = model.session(), Detector.load()
    while (question := _ask(people)) is not None and question.lower() not in LEAVE:
        if question == "/new":
            session = model.session()
            click.echo("A new conversation.")
        elif question == "/help":
            click.echo(HELP)
        elif question in MORE:
            if session.stop_reason == "length":
                _write(session, sampler, seed, max_bytes)
            else:
                click.echo("The answer was at its end.")
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
    _end_turn(session)
    session.stop_reason = "end"
    session.feed(_question(question) + answer.encode() + END_MARK)


def _question(text: str) -> bytes:
    # A terminal may hand over bytes that are no UTF-8, as lone surrogates.
    return USER_MARK + text.encode("utf-8", "replace") + ASSISTANT_MARK


def _answer(session: Session, question: str, sampler: Sampler, seed: int | None, max_bytes: int) -> None:
    _end_turn(session)
    session.feed(_question(question))
    _write(session, sampler, seed, max_bytes)


def _end_turn(session: Session) -> None:
    """What the model did not end itself is over once something else is said."""
    if session.stop_reason not in (None, "end"):
        session.feed(END_MARK)


def _write(session: Session, sampler: Sampler, seed: int | None, max_bytes: int) -> None:
    pieces = session.generate(max_bytes, sampler, seed)
    with suppress(KeyboardInterrupt):
        for piece in pieces:
            click.echo(piece, nl=False)
            sys.stdout.flush()
    click.echo()
    pieces.close()
    if session.stop_reason == "length":
        click.echo(MORE_HINT, err=True)
