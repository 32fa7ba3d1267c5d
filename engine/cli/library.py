"""`plm library`: the texts that answers are quoted from."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from dataclasses import asdict
from pathlib import Path

import click

from engine.cli.errors import one_line_errors
from engine.library import building, exporting
from engine.library.adding import Outcome, add
from engine.library.documents import ENDINGS
from engine.library.library import Library
from engine.library.pack import PACK, read_titles, write_pack
from engine.library.records import LibraryError, Source

DEFAULT_FOLDER = "library"  # within PLM_DATA_DIR
STEPS = 1000  # of the progress bar


def default_folder() -> Path:
    """`PLM_LIBRARY`, else a folder in `PLM_DATA_DIR`, by default that of the bot."""
    named = os.environ.get("PLM_LIBRARY", "")
    if named and named != "none":
        return Path(named)
    home = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "personal-lm"
    return Path(os.environ.get("PLM_DATA_DIR") or home) / DEFAULT_FOLDER


@click.group("library")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="The library [PLM_LIBRARY].")
@click.pass_context
def library(context: click.Context, folder: Path | None) -> None:
    """The texts that answers are quoted from."""
    context.obj = Library.open(folder or default_folder())


def opened(folder: Path) -> Library:
    """The library in a folder; where there is none the bundled books are put there first."""
    held = Library.open(folder)
    if not held.sources():
        build_with_progress(folder)
    return held


def build_with_progress(folder: Path, *, everything: bool = False) -> None:
    """Build the library and show how far it is, on stderr: a bar in a terminal, else a line now and then."""
    at, last = "", -1
    shown = click.progressbar(range(STEPS), label="library", file=sys.stderr, item_show_func=lambda _: at)
    with shown as bar:

        def tell(share: float, what: str) -> None:
            nonlocal at, last
            at = what
            bar.update(max(0, int(share * STEPS) - bar.pos))
            if not sys.stderr.isatty() and int(share * 10) > last:
                last = int(share * 10)
                click.echo(f"library: {last * 10} % read, now {what}", err=True)

        building.build(folder, progress=tell, everything=everything)


@library.command()
@click.option("--all", "everything", is_flag=True, help="Bring removed bundled books back, too.")
@click.pass_obj
@one_line_errors
def build(held: Library, everything: bool) -> None:
    """Make the library anew: the bundled books and questions, and your own texts. Under a minute."""
    build_with_progress(held.folder, everything=everything)
    click.echo(_summary(held))


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the fields below each other; a Chinese character takes two places."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f + " " * (w - _width(f)) for f, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def _summary(held: Library) -> str:
    sources = held.sources()
    return f"{len(sources)} sources, {sum(source.passages for source in sources):,} passages in {held.folder}"


@library.command("add")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--title", default="", help="Instead of the file's name; for one file.")
@click.option("--author", default="")
@click.option("--dynasty", default="", help="Or a date.")
@click.pass_obj
@one_line_errors
def add_command(held: Library, paths: tuple[Path, ...], title: str, author: str, dynasty: str) -> None:
    """Add files, and all files of folders that can be read. One that cannot is named; the rest goes in."""
    if title and (len(paths) > 1 or paths[0].is_dir()):
        raise click.UsageError("--title names one file")
    counts = dict.fromkeys(("added", "replaced", "unchanged", "failed"), 0)
    for outcome in add(held, paths, title=title, author=author, dynasty=dynasty):
        counts[outcome.state] += 1
        _report(outcome)
    click.echo(", ".join(f"{count} {state}" for state, count in counts.items() if count) or _nothing())
    if counts["failed"]:
        raise click.exceptions.Exit(1)


def _nothing() -> str:
    return f"nothing to add: no {' '.join(ENDINGS)} there"


def _report(outcome: Outcome) -> None:
    if outcome.state == "failed":
        click.echo(f"{outcome.file}: {outcome.reason}", err=True)
    elif outcome.state != "unchanged":
        click.echo(f"{outcome.state} {outcome.title} ({outcome.source_id})")


@library.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
@one_line_errors
def list_command(held: Library, as_json: bool) -> None:
    """The sources, with their numbers."""
    sources = held.sources()
    if as_json:
        for source in sources:
            click.echo(json.dumps(asdict(source), ensure_ascii=False))
        return
    head = ("", "title", "author", "dynasty", "kind", "passages", "kB", "")
    rows = [
        (
            *(str(source.id), source.title, source.author, source.dynasty, source.kind),
            *(f"{source.passages:,}", f"{source.bytes // 1000:,}", "" if source.enabled else "disabled"),
        )
        for source in sources
    ]
    for line in _columns([head, *rows]):
        click.echo(line)
    click.echo(_summary(held))


@library.command()
@click.argument("which")
@click.option("--passage", type=int, help="Number of a passage: show it with its neighbours.")
@click.pass_obj
@one_line_errors
def show(held: Library, which: str, passage: int | None) -> None:
    """What a source is, by title or number, and its headings."""
    source = find(held, which)
    if passage is not None:
        for found in held.neighbours(passage):
            click.echo(
                f"[{found.id}] 《{found.book}》{found.heading} {found.start}–{found.end}\n{found.text}\n"
            )
        return
    for key, value in asdict(source).items():
        click.echo(f"{key}: {value}")
    for heading in dict.fromkeys(found.heading for found in held.passages(source.id)):
        click.echo(f"  {heading}")


@library.command()
@click.argument("question")
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--book", help="Within one source, by title or number.")
@click.option(
    "--json", "as_json", is_flag=True, help="One object a line: book, heading, text, offsets, score."
)
@click.pass_obj
@one_line_errors
def search(held: Library, question: str, limit: int, book: str | None, as_json: bool) -> None:
    """The best passages for a question, as the bot finds them, with scores and what matched."""
    if not held.sources():
        raise LibraryError(f"{held.folder}: no library there yet; say `plm library build`")
    for hit in held.search(question, limit, None if book is None else find(held, book).id):
        if as_json:
            click.echo(json.dumps(asdict(hit), ensure_ascii=False))
        else:
            click.echo(f"{hit.score:6.1f}  《{hit.book}》{hit.heading}  ({hit.why})\n{hit.text}\n")


@library.command()
@click.argument("which", nargs=-1, required=True)
@click.pass_obj
@one_line_errors
def enable(held: Library, which: tuple[str, ...]) -> None:
    """Let sources answer again."""
    _enable(held, which, True)


@library.command()
@click.argument("which", nargs=-1, required=True)
@click.pass_obj
@one_line_errors
def disable(held: Library, which: tuple[str, ...]) -> None:
    """Keep sources, but find nothing in them."""
    _enable(held, which, False)


def _enable(held: Library, which: tuple[str, ...], enabled: bool) -> None:
    sources = [find(held, name) for name in which]
    with held.writer() as writer:
        for source in sources:
            writer.set_enabled(source.id, enabled)
    for source in sources:
        click.echo(f"{'enabled' if enabled else 'disabled'} {source.title}")


@library.command()
@click.argument("which", nargs=-1, required=True)
@click.pass_obj
@one_line_errors
def remove(held: Library, which: tuple[str, ...]) -> None:
    """Take sources out, also from the disk."""
    sources = [find(held, name) for name in which]
    with held.writer() as writer:
        for source in sources:
            writer.remove(source.id)
    for source in sources:
        click.echo(f"removed {source.title}")


@library.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--all", "bundled", is_flag=True, help="The bundled texts, too.")
@click.pass_obj
@one_line_errors
def export(held: Library, file: Path, bundled: bool) -> None:
    """Write your texts to a file (.jsonl or .jsonl.xz) that `add` reads on another host."""
    count = exporting.export(held, file, bundled=bundled)
    click.echo(f"{count} sources in {file}")


@library.command(hidden=True)
@click.argument("corpus", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=PACK)
@one_line_errors
def pack(corpus: Path, out: Path) -> None:
    """Pack the books of books/titles.txt out of the corpus: how the bundled file is made."""
    click.echo(f"{write_pack(out, corpus, read_titles()):,} bytes in {out}")


def find(held: Library, which: str) -> Source:
    """A source by title, or by number where no title is the same."""
    try:
        return held.source(which)
    except LibraryError:
        if not which.isdigit():
            raise
        return held.source(int(which))
