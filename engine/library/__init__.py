"""The texts that answers are quoted from, and their search. It needs neither Flask nor Redis."""

from engine.library.building import build, is_built
from engine.library.documents import DocumentError, Reader
from engine.library.index import Terms
from engine.library.library import Library
from engine.library.portable import PortableSource, portable_pair, put_portable, read_portable
from engine.library.records import Hit, LibraryBusyError, LibraryError, Pair, PairHit, Passage, Quote, Source
from engine.library.writer import Writer

__all__ = [
    "DocumentError",
    "Hit",
    "Library",
    "LibraryBusyError",
    "LibraryError",
    "Pair",
    "PairHit",
    "Passage",
    "PortableSource",
    "Quote",
    "Reader",
    "Source",
    "Terms",
    "Writer",
    "build",
    "is_built",
    "portable_pair",
    "put_portable",
    "read_portable",
]
