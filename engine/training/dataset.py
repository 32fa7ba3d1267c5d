"""Texts for training: any mix of texts (.txt, .md) and dialogues (.jsonl, .json), plain or packed, each as
one memory-mapped file of bytes. Any encoding that engine/model/file_encoding.py knows is read.

Documents are framed by the end mark on both sides, so two end marks stand between documents:
  a text       FF text FF              (in .txt, BLANK_LINES or more empty lines part documents)
  a dialogue   FF FD question FE answer FF FD question FE answer FF
Dialogues are shuffled once, with a fixed seed, because files are often sorted by source.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.model.atomic_write import write_atomically
from engine.model.file_encoding import UTF_8, EncodingError, decode
from engine.model.special_bytes import ASSISTANT_MARK, END_MARK
from engine.training.dialogues import Document, EntryError, documents, frame

FORMAT = "4"  # of the prepared files: a change makes old ones stale
BLANK_LINES = 2
MIN_BYTES = 16  # bytes that the trainer needs to read a sequence
TEXTS, DIALOGUES = (".txt", ".text", ".md", ".markdown"), (".jsonl", ".ndjson", ".json")
_PACKED = {".xz": lzma.decompress, ".gz": gzip.decompress}
# What is no text though it holds some, by its first bytes, and what its owner can do.
_FORMATS = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a Word, EPUB or other zip file"),
    (b"\xd0\xcf\x11\xe0", "a file of an older Office"),
    (b"{\\rtf", "an RTF file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\xfd7zXZ", "an .xz file"),
    (b"\x1f\x8b", "a .gz file"),
)


class DataError(ValueError):
    """A text file that cannot be used; the message names file and line."""


@dataclass(frozen=True)
class Text:
    """A prepared text: `bytes` is the memory map (uint8), `sha256` that of the file it was made from, which
    was in `encoding`."""

    name: str
    sha256: str
    source_bytes: int
    bytes: NDArray[np.uint8]
    encoding: str = "utf-8"


def cache_folder() -> Path:
    """Where prepared texts are kept: PLM_DATA_DIR, else the user's cache."""
    if folder := os.environ.get("PLM_DATA_DIR"):
        return Path(folder) / "texts"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "personal-lm" / "texts"


def load_text(path: str | Path, folder: Path | None = None, blank_lines: int = BLANK_LINES) -> Text:
    """Prepare a file, or find it prepared already. Raises DataError.

    `blank_lines`: so many empty lines or more part the documents of a text.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    sha256 = hashlib.sha256(raw).hexdigest()
    cut = "" if blank_lines == BLANK_LINES else f"-{blank_lines}"
    folder = folder or cache_folder()
    begin = f"{sha256[:24]}-{FORMAT}{cut}"
    prepared = next(folder.glob(f"{begin}.*.bytes"), None)
    if prepared is None:
        framed, encoding = _prepare(path.name, raw, blank_lines)
        if len(framed) < MIN_BYTES:
            raise DataError(f"{path.name}: a text to train on needs at least {MIN_BYTES} bytes")
        folder.mkdir(parents=True, exist_ok=True)
        prepared = folder / f"{begin}.{encoding}.bytes"
        write_atomically(prepared, framed)
    encoding = prepared.name.split(".")[1]
    return Text(path.name, sha256, len(raw), np.memmap(prepared, np.uint8, mode="r"), encoding)


def text_to_score(path: Path) -> bytes:
    """What a file says: see `read_to_score`."""
    return read_to_score(path.name, path.read_bytes())[0]


def read_to_score(name: str, raw: bytes) -> tuple[bytes, str]:
    """What a file's bytes say, and their encoding: dialogues as framed documents, anything else as it lies,
    but with plain line ends; packed ones are unpacked. DataError, also if they say nothing."""
    if is_dialogues(name):
        framed, encoding = _prepare(name, raw, BLANK_LINES)
        return framed[1:], encoding  # a session begins with an end mark of its own
    text, encoding = read_text(name, raw, keep_damage=True)
    return text.encode("utf-8", "surrogateescape"), encoding


def is_dialogues(name: str) -> bool:
    """Whether a file of this name holds entries, not a text."""
    return _unpacked_name(name).endswith(DIALOGUES)


def is_foreign(encoding: str) -> bool:
    """Whether the reader of a file should say which encoding it has found."""
    return encoding not in UTF_8


def answers_name(name: str) -> str:
    """The name in cards and records of a file's answers alone."""
    return f"{name} (answers)"


def answer_mask(framed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 for each byte of an answer and for its end mark, 0 for all else; shape as `framed`."""
    places = np.arange(1, framed.size + 1)
    opened = np.maximum.accumulate(np.where(framed == ASSISTANT_MARK[0], places, 0))
    closed = np.maximum.accumulate(np.where(framed == END_MARK[0], places, 0))
    answers = np.zeros(framed.size, np.uint8)
    answers[1:] = opened[:-1] > closed[:-1]
    return answers


def prepare(name: str, raw: bytes, blank_lines: int = BLANK_LINES) -> bytes:
    """The framed documents of a file's bytes; `name` tells its kind. DataError."""
    return _prepare(name, raw, blank_lines)[0]


def _prepare(name: str, raw: bytes, blank_lines: int) -> tuple[bytes, str]:
    kind = _unpacked_name(name)
    if not kind.endswith(TEXTS + DIALOGUES):
        _refuse_formats(name, raw)
        raise DataError(f"{name}: must end in .txt, .md, .jsonl or .json, also with .xz or .gz behind it")
    text, encoding = read_text(name, raw)
    if kind.endswith(TEXTS):
        framed = [document.encode() for document in split_text(text, blank_lines)]
    else:
        found = chain.from_iterable(read_dialogues(name, text))
        framed = [document for one in found if (document := frame(one))]
        random.Random(20).shuffle(framed)
    if not framed:
        raise DataError(f"{name}: holds no text")
    return b"".join(END_MARK + document + END_MARK for document in framed), encoding


def read_text(name: str, raw: bytes, keep_damage: bool = False) -> tuple[str, str]:
    """The text of a file's bytes, unpacked, with plain line ends, and its encoding. DataError says what the
    file is instead, and what to do. `keep_damage`: see file_encoding.py."""
    raw = _unpacked(name, raw)
    if not raw.strip():
        raise DataError(f"{name}: holds no text")
    _refuse_formats(name, raw)
    try:
        text, encoding = decode(raw, keep_damage)
    except EncodingError as error:
        if (zero := raw.find(b"\0")) >= 0:
            line = raw.count(b"\n", 0, zero) + 1
            raise DataError(f"{name}: line {line} holds a zero byte, as no text does") from None
        raise DataError(f"{name}: {error}") from None
    if (zero := text.find("\0")) >= 0:
        line = text.count("\n", 0, zero) + 1
        raise DataError(f"{name}: line {line} holds a zero byte, as no text does")
    return text, encoding


def _refuse_formats(name: str, raw: bytes) -> None:
    kind = next((kind for begin, kind in _FORMATS if raw.startswith(begin)), "")
    if kind.endswith(("xz file", "gz file")):
        raise DataError(f"{name}: is {kind}; name it so (book.txt{kind.split()[1]})")
    if kind:
        raise DataError(f"{name}: is {kind}, not text; save it as plain text (.txt, UTF-8)")


def _unpacked_name(name: str) -> str:
    name = name.lower()
    return name.removesuffix(name[-3:]) if name[-3:] in _PACKED else name


def _unpacked(name: str, raw: bytes) -> bytes:
    unpack = _PACKED.get(name.lower()[-3:])
    try:
        return unpack(raw) if unpack else raw
    except (lzma.LZMAError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: not a whole {name[-3:]} file: {error}") from None


def split_text(text: str, blank_lines: int) -> Iterator[str]:
    """The documents of a text, without the empty lines around them."""
    for document in re.split(rf"\n{{{blank_lines + 1},}}", text):
        if document := document.strip("\n"):
            yield document


def read_dialogues(name: str, text: str) -> Iterator[tuple[Document, ...]]:
    """What each entry holds, of lines of JSON or of one array. DataError names file, line, field and role."""
    for line, entry in _entries(name, text):
        try:
            yield documents(entry)
        except EntryError as error:
            raise DataError(f"{name}: line {line}: {error}") from None


def _entries(name: str, text: str) -> Iterator[tuple[int, Any]]:
    """Each entry with the number of the line that it begins in."""
    if _is_array(text):
        yield from _array(name, text)
        return
    if (whole := _parsed(text)) is not None:  # one entry, over several lines
        yield 1, whole
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _parse(name, number, line)


def _is_array(text: str) -> bool:
    """Whether it is one array of entries; an array of turns is an entry itself."""
    whole = _parsed(text) if text.lstrip()[:1] == "[" else None
    return isinstance(whole, list) and not any(
        isinstance(one, dict) and ("role" in one or "from" in one) for one in whole
    )


def _array(name: str, text: str) -> Iterator[tuple[int, Any]]:
    decoder, blank = json.JSONDecoder(), re.compile(r"[\s,]*")
    place, line, counted = text.index("[") + 1, 1, 0
    while True:
        place = blank.match(text, place).end()  # type: ignore[union-attr]
        if text[place] == "]":
            return
        line, counted = line + text.count("\n", counted, place), place
        entry, place = decoder.raw_decode(text, place)
        yield line, entry


def _parsed(text: str) -> Any:
    """The value of a text that is JSON as a whole, else None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse(name: str, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{name}: line {number} is no JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise DataError(f"{name}: line {number} is no JSON that can be read: nested too deep") from None
