"""The library that answers are quoted from, as one process has it: built at the first start, then read.

Of several processes that start together one builds and the others wait for it. The build is a process of its
own: it keeps a core busy for most of a minute, and people wait for answers meanwhile. While an older library
is there, that one answers until the new one is done.
"""

from __future__ import annotations

import fcntl
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.server.supervisor import die_with_parent
from bot.settings.config import ConfigError, Settings
from engine.grounding import Answerer
from engine.library import Library, LibraryError, is_built
from engine.reading import Reader

log = logging.getLogger(__name__)

LOCK = "build.lock"
STAMP = "file.stamp"  # which state of the file of PLM_LIBRARY has been read
BUILD_TIMEOUT = 1800.0  # seconds that a build may take
WARM_UP = "桂枝汤由哪些药组成？"  # the first question would wait for tables to be read


class ServedLibrary:
    """`answerer` once there is something to answer from, and `fault` says why not before that."""

    def __init__(self, folder: Path, file: Path | None = None, minimum: float | None = None) -> None:
        """The library in `folder`, with the texts of `file` if one is named."""
        self.folder = folder
        self.file = file
        self.library = Library.open(folder)
        self._answerer = Answerer(self.library, minimum, Reader.load())
        self._fault: str | None = "the library is being built"
        self._ready = threading.Event()

    @classmethod
    def from_settings(cls, settings: Settings) -> ServedLibrary | None:
        """None where there is to be none."""
        if settings.library_folder is None:
            return None
        return cls(settings.library_folder, settings.library_file, settings.library_minimum)

    @property
    def answerer(self) -> Answerer | None:
        return self._answerer if self._ready.is_set() else None

    def fault(self) -> str | None:
        """None if questions can be answered, else one line why not."""
        return None if self._ready.is_set() else self._fault

    def start(self) -> None:
        """Make it ready, at once or in the background."""
        try:
            if self.library.documents or not self._is_stale():
                self._open()
        except (ConfigError, LibraryError) as error:
            self._fail(error)
            return
        threading.Thread(target=self._prepare, name="library", daemon=True).start()

    def wait(self, timeout: float) -> bool:
        """Until it is ready, at most so many seconds."""
        return self._ready.wait(timeout)

    def describe(self) -> str:
        """One line for people. ConfigError if it cannot be read."""
        if self._is_stale():
            return f"{self.folder}: to be built at the start"
        sources = self.library.sources()
        passages = sum(source.passages for source in sources if source.enabled)
        return f"{self.folder}: {len(sources)} sources, {passages:,} passages"

    def build(self) -> None:
        """Build it if that is due, telling how far it is on stderr. ConfigError if it fails."""
        if not self._is_stale():
            return
        with self._alone():
            if self._is_stale():
                self._run_build()

    def _is_stale(self) -> bool:
        """It is to be built: nothing is there, or bundled texts of another version.

        A library of somebody's own texts alone, made by `plm library add`, stays what it is.
        """
        try:
            if self.file is not None:
                return self._read_stamp() != _stamp(self.file)
            return not is_built(self.folder) and not self._is_own()
        except LibraryError as error:
            raise ConfigError(f"PLM_LIBRARY: {error}") from None

    def _is_own(self) -> bool:
        sources = self.library.sources()
        return bool(sources) and not any(source.bundled for source in sources)

    def _prepare(self) -> None:
        try:
            self.build()
            self._open()
            began = time.monotonic()
            self._answerer.answer(WARM_UP)
            log.info("the library answers; its tables were read in %.2f s", time.monotonic() - began)
        except (ConfigError, LibraryError, OSError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._fault = str(error)
        log.error("the library: %s", error)

    def _open(self) -> None:
        if self.library.documents:
            self._ready.set()
        else:
            self._fault = "the library is empty"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of all processes of this machine that may build it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _run_build(self) -> None:
        log.info("building the library in %s", self.folder)
        command = [sys.executable, "-m", "engine.cli", "library", "--folder", str(self.folder)]
        command += ["build"] if self.file is None else ["add", str(self.file)]
        try:
            done = subprocess.run(
                command, timeout=BUILD_TIMEOUT, stdout=subprocess.DEVNULL, check=False,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ConfigError(f"PLM_LIBRARY: not built within {BUILD_TIMEOUT:.0f} s") from None
        if done.returncode:
            raise ConfigError(f"PLM_LIBRARY: {self.folder} could not be built; the line above says why")
        if self.file is not None:
            (self.folder / STAMP).write_text(_stamp(self.file), "utf-8")

    def _read_stamp(self) -> str:
        path = self.folder / STAMP
        return path.read_text("utf-8") if path.is_file() else ""


def _stamp(file: Path) -> str:
    """Changes when the file does."""
    state = file.stat()
    return f"{file.absolute()} {state.st_size} {state.st_mtime_ns}"
