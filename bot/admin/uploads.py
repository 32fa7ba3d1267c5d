"""Taking uploaded files into the library: read as by `plm library add`, kept in Redis for every host."""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from werkzeug.datastructures import FileStorage

from bot.store.library import LibraryContents, LibraryStore, UploadedSource
from engine.library import DocumentError, Pair, PortableSource, Reader, Source, portable_pair, read_portable

MAX_LIBRARY_BYTES = 512 << 20  # of packed text in Redis
MAX_NAME_BYTES = 200  # of a file's name: a file system takes 255
_NEVER_IN_NAMES = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class UploadOutcome:
    """What became of a file, or of one source of it; `reason` for one that failed."""

    file: str
    state: Literal["added", "replaced", "unchanged", "failed"]
    title: str = ""
    id: str = ""
    reason: str = ""


class Uploads:
    """Works on one request's files. The texts and titles of `bundled` sources are taken."""

    def __init__(self, store: LibraryStore, bundled: list[Source]) -> None:
        self.store = store
        self._bundled = {source.sha256: source.title for source in bundled}
        self._titles = {source.title for source in bundled}

    def add_file(self, file: FileStorage, naming: Mapping[str, str]) -> Iterator[UploadOutcome]:
        """Read an uploaded file and keep its sources.

        `naming` has title, author, dynasty instead of what the file says. A file that cannot be read is an
        outcome, too. StoreDownError.
        """
        name = file_name(file.filename or "")
        with tempfile.TemporaryDirectory(prefix="plm-upload-") as folder, Reader() as reader:
            path = Path(folder) / name
            file.save(path)
            try:
                for source in read_portable(path, reader):
                    given = {key: value for key, value in naming.items() if value}
                    yield self._keep(replace(source, **given), name)  # type: ignore[arg-type]
            except DocumentError as error:
                yield UploadOutcome(name, "failed", reason=str(error))

    def add_pair(self, questions: list[str], answer: str) -> UploadOutcome:
        """A question-answer pair written by hand, as a source of its own."""
        digest = hashlib.sha256("\n".join(questions).encode()).hexdigest()
        return self._keep(portable_pair(Pair(digest[:16], tuple(questions), answer)), "")

    def _keep(self, portable: PortableSource, file: str) -> UploadOutcome:
        contents = self.store.contents()
        held = {source.sha256: source.title for source in contents.sources.values()} | self._bundled
        if portable.sha256 in held:
            return UploadOutcome(file, "unchanged", held[portable.sha256])
        if contents.size + len(portable.data) > MAX_LIBRARY_BYTES:
            reason = f"the uploads have {MAX_LIBRARY_BYTES >> 20} MiB already; remove some first"
            return UploadOutcome(file, "failed", portable.title, reason=reason)
        source_id = secrets.token_hex(8)
        title, replaced = self._title(portable.title, file, source_id, contents)
        source = UploadedSource(
            source_id, title, portable.author, portable.dynasty, portable.kind, file, portable.sha256,
            len(portable.data), time.time(),
        )  # fmt: skip
        self.store.add(source, portable.data, portable.enabled, replaced)
        return UploadOutcome(file, "replaced" if replaced else "added", title, source_id)

    def _title(self, title: str, file: str, source_id: str, contents: LibraryContents) -> tuple[str, str]:
        """A title that no other source has, and the id of the older one of the same file, to be replaced."""
        title = " ".join(title.split())[:80] or "text"
        older = {source.title: source for source in contents.sources.values()}
        name, number = title, 2
        while True:
            if name in older and older[name].file == file:
                return name, older[name].id
            if name not in self._titles and self.store.claim_title(name, source_id):
                return name, ""
            name, number = f"{title} ({number})", number + 1


def file_name(given: str) -> str:
    """The last part of what the browser says, within what a file system takes; its ending stays."""
    name = _NEVER_IN_NAMES.sub("", given.replace("\\", "/").rpartition("/")[2]).strip().lstrip(".")
    path = Path(name or "file")
    endings = "".join(path.suffixes[-2:])[-20:]
    room = MAX_NAME_BYTES - len(endings.encode())
    stem = name.removesuffix(endings).encode()[:room].decode(errors="ignore")
    return (stem or "file") + endings
