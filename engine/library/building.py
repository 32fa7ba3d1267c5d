"""Building the library: the bundled books and pairs into a new generation, the owner's texts with them.

Nothing of it is seen before it is complete, and a build that is killed leaves the library as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.library import generation, store
from engine.library.documents.reading import Reader
from engine.library.pack import PACK, read_pack
from engine.library.records import LibraryError
from engine.library.writer import Writer

PAIRS = Path(__file__).resolve().parent / "pairs"
TERMS = Path(__file__).resolve().parent / "terms" / "characters.txt"
CUTTERS = ("books.py", "cutting.py", "splitting.py", "writer.py")  # what decides how texts lie in the library
PAIRS_TITLE = "常见问答·{}"

Progress = Callable[[float, str], None]  # share done, between 0 and 1, and what is being read


@dataclass(frozen=True)
class Bundle:
    """The texts that come along: a pack of books (none: no books) and a folder of pairs."""

    pack: Path | None = PACK
    pairs: Path = PAIRS

    def stamp(self) -> str:
        """Changes with the texts and with how they are cut and spelt."""
        digest = hashlib.sha256(store.FORMAT.encode())
        cuts = [Path(__file__).with_name(name) for name in CUTTERS]
        for path in [*([self.pack] if self.pack else []), *self.pair_files(), *cuts, TERMS]:
            if path.is_file():
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def pair_files(self) -> list[Path]:
        return sorted(self.pairs.glob("*.jsonl"))


@dataclass
class _Kept:
    """What the owner has decided about bundled sources, by title."""

    disabled: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)


def is_built(folder: Path, bundle: Bundle | None = None) -> bool:
    """Whether the folder holds the bundled texts as they are now, in the form of this version."""
    path = generation.current(folder)
    if path is None or not (path / generation.DATABASE).exists():
        return False
    with store.opened(path / generation.DATABASE) as connection:
        wanted = (bundle or Bundle()).stamp()
        return store.meta(connection, "format") == store.FORMAT and store.meta(connection, "bundle") == wanted


def build(
    folder: Path, bundle: Bundle | None = None, progress: Progress | None = None, *,
    everything: bool = False, wait_seconds: float = 600.0,
) -> None:  # fmt: skip
    """Make the library anew and switch to it.

    A bundled source that the owner removed stays away, unless `everything` is wanted.
    """
    bundle = bundle or Bundle()
    tell = progress or (lambda share, what: None)
    with Writer(folder, wait_seconds, fresh=True) as writer:
        kept = _owners_texts(writer, tell)
        removed = set() if everything else kept.removed
        if bundle.pack is not None:
            for share, book in read_pack(bundle.pack):
                tell(share, book.title)
                if book.title not in removed:
                    number = writer.add_text(
                        book.title, book.author, book.dynasty, book.text, file=bundle.pack.name, kind="book",
                        bundled=True,
                    )  # fmt: skip
                    writer.set_enabled(number, book.title not in kept.disabled)
        _add_pairs(writer, bundle, removed, kept.disabled)
        writer.set_meta("bundle", bundle.stamp())
        writer.set_meta("removed", "\n".join(sorted(removed)))
        tell(1.0, "index")


def _add_pairs(writer: Writer, bundle: Bundle, removed: set[str], disabled: set[str]) -> None:
    with Reader() as reader:
        for path in bundle.pair_files():
            title = PAIRS_TITLE.format(path.stem)
            for parsed in reader.read(path):
                if title not in removed:
                    number = writer.add_pairs(title, parsed.pairs, file=path.name, bundled=True)
                    writer.set_enabled(number, title not in disabled)


def _owners_texts(writer: Writer, tell: Progress) -> _Kept:
    """Copy the owner's sources out of the current generation, and see what bundled ones they did not want."""
    old = generation.current(writer.folder)
    if old is None:
        return _Kept()
    with store.opened(old / generation.DATABASE) as connection:
        if store.meta(connection, "format") != store.FORMAT:
            raise LibraryError(
                f"{old}: a library of another version; move it away, build it anew, add your texts"
            )
        writer.count_from(store.last_number(connection))
        sources = store.sources(connection)
        for source in sources:
            if not source.bundled:
                tell(0.0, source.title)
                writer.copy(connection, source)
        removed = filter(None, (store.meta(connection, "removed") or "").split("\n"))
        return _Kept(
            {source.title for source in sources if source.bundled and not source.enabled}, set(removed)
        )
