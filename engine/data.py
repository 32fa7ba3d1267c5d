"""Texts for training: any mix of .txt and .jsonl, plain or .xz, each as one memory-mapped file of bytes.

Documents are framed by the end mark on both sides, so two end marks stand between documents:
  a text       FF text FF              (in .txt, two or more empty lines part documents)
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

from engine.checkpoint import write_atomically
from engine.marks import ASSISTANT_MARK, END_MARK, USER_MARK

FORMAT = "3"  # of the prepared files: a change makes old ones stale
MARK_OF_ROLE = {"user": USER_MARK, "assistant": ASSISTANT_MARK}


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


def load_text(path: str | Path, folder: Path | None = None) -> Text:
    """Prepare a file (.txt, .jsonl, each also .xz), or find it prepared already. Raises DataError."""
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    sha256 = hashlib.sha256(raw).hexdigest()
    prepared = (folder or cache_folder()) / f"{sha256[:24]}-{FORMAT}.bytes"
    if not prepared.exists():
        prepared.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(prepared, prepare(path.name, raw))
    return Text(path.name, sha256, len(raw), np.memmap(prepared, np.uint8, mode="r"))


def text_to_score(path: Path) -> bytes:
    """What a file says: dialogues (.jsonl) as framed documents, anything else as it lies; .xz is unpacked."""
    packed = path.read_bytes()
    kind, raw = _unpacked(path.name, packed)
    # A session begins with an end mark of its own.
    return prepare(path.name, packed)[1:] if kind.endswith(".jsonl") else raw


def prepare(name: str, raw: bytes) -> bytes:
    """The framed documents of a file's bytes; `name` tells its kind."""
    kind, raw = _unpacked(name, raw)
    if kind.endswith(".txt"):
        documents = list(split_text(name, raw))
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


def split_text(name: str, raw: bytes) -> Iterator[bytes]:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}: line {line} is not UTF-8") from None
    for document in re.split(rb"\n{3,}", raw.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf")):
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
    """FD question FE answer, the answers parted by FF; the document's own marks come from `prepare`."""
    parts: list[bytes] = []
    for turn in turns:
        if turn["role"] == "user" and parts:
            parts.append(END_MARK)
        parts += [MARK_OF_ROLE[turn["role"]], turn["content"].encode()]
    return b"".join(parts)
