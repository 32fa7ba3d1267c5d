"""Texts for training: any mix of .txt and .jsonl, plain or .xz, each as one memory-mapped file of bytes.

Documents are framed by the end mark on both sides, so two end marks stand between documents:
  a text       FF text FF              (in .txt, BLANK_LINES or more empty lines part documents)
  a dialogue   FF FD question FE answer FF FD question FE answer FF
Dialogues are shuffled once, with a fixed seed, because files are often sorted by source.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.model.atomic_write import write_atomically
from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK

FORMAT = "3"  # of the prepared files: a change makes old ones stale
BLANK_LINES = 2
MIN_BYTES = 16  # bytes that the trainer needs to read a sequence
BYTE_OF_ROLE = {"user": USER_MARK, "assistant": ASSISTANT_MARK}


class DataError(ValueError):
    """A text file that cannot be used; the message names file and line."""


@dataclass(frozen=True)
class Text:
    """A prepared text: `bytes` is the memory map (uint8), `sha256` that of the file it was made from."""

    name: str
    sha256: str
    source_bytes: int
    bytes: NDArray[np.uint8]


def cache_folder() -> Path:
    """Where prepared texts are kept: PLM_DATA_DIR, else the user's cache."""
    if folder := os.environ.get("PLM_DATA_DIR"):
        return Path(folder) / "texts"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "personal-lm" / "texts"


def load_text(path: str | Path, folder: Path | None = None, blank_lines: int = BLANK_LINES) -> Text:
    """Prepare a file (.txt, .jsonl, each also .xz), or find it prepared already. Raises DataError.

    `blank_lines`: so many empty lines or more part the documents of a .txt.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    sha256 = hashlib.sha256(raw).hexdigest()
    cut = "" if blank_lines == BLANK_LINES else f"-{blank_lines}"
    prepared = (folder or cache_folder()) / f"{sha256[:24]}-{FORMAT}{cut}.bytes"
    if not prepared.exists():
        framed = prepare(path.name, raw, blank_lines)
        if len(framed) < MIN_BYTES:
            raise DataError(f"{path.name}: a text to train on needs at least {MIN_BYTES} bytes")
        prepared.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(prepared, framed)
    return Text(path.name, sha256, len(raw), np.memmap(prepared, np.uint8, mode="r"))


def text_to_score(path: Path) -> bytes:
    """What a file says: dialogues (.jsonl) as framed documents, anything else as it lies; .xz is unpacked."""
    packed = path.read_bytes()
    kind, raw = _unpacked(path.name, packed)
    # A session begins with an end mark of its own.
    return prepare(path.name, packed)[1:] if kind.endswith(".jsonl") else raw


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
    """The framed documents of a file's bytes; `name` tells its kind."""
    kind, raw = _unpacked(name, raw)
    if kind.endswith(".txt"):
        documents = list(split_text(name, raw, blank_lines))
    elif kind.endswith(".jsonl"):
        documents = [document for document in read_jsonl(name, raw) if document]
        random.Random(20).shuffle(documents)
    else:
        raise DataError(f"{name}: must end in .txt, .txt.xz, .jsonl or .jsonl.xz")
    if not documents:
        raise DataError(f"{name}: holds no text")
    return b"".join(END_MARK + document + END_MARK for document in documents)


def _unpacked(name: str, raw: bytes) -> tuple[str, bytes]:
    if not name.endswith(".xz"):
        return name, raw
    try:
        return name.removesuffix(".xz"), lzma.decompress(raw)
    except lzma.LZMAError as error:
        raise DataError(f"{name}: not a whole .xz file: {error}") from None


def split_text(name: str, raw: bytes, blank_lines: int) -> Iterator[bytes]:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}: line {line} is not UTF-8") from None
    if (place := raw.find(b"\0")) >= 0:
        line = raw.count(b"\n", 0, place) + 1
        raise DataError(f"{name}: line {line} holds a zero byte, as no text does")
    gap = rb"\n{%d,}" % (blank_lines + 1)
    for document in re.split(gap, raw.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf")):
        if document := document.strip(b"\n"):
            yield document


def read_jsonl(name: str, raw: bytes) -> Iterator[bytes]:
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            yield entry["text"].encode() if "text" in entry else frame_dialogue(entry["turns"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f'{name}: line {number} has neither "text" nor "turns": [{{"role": …, "content": …}}, …]'
            ) from None


def frame_dialogue(turns: list[dict[str, str]]) -> bytes:
    """FD question FE answer, the answers parted by FF; `prepare` adds those around the document."""
    parts: list[bytes] = []
    for turn in turns:
        if turn["role"] == "user" and parts:
            parts.append(END_MARK)
        parts += [BYTE_OF_ROLE[turn["role"]], turn["content"].encode()]
    return b"".join(parts)
