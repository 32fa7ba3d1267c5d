"""Keeps this host's library as the uploaded texts and the decisions in Redis want it.

Redis holds the uploaded texts; each host has a copy of its own, so losing one loses nothing, and no disk is
shared. Every process looks each second whether anything has changed. The first of a host to get the writer's
lock does the work, and the others see it done. Only copies of uploads are added and removed here: what
`plm library add` put into a host's folder stays that host's own, unless the same text is uploaded too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.store.connection import StoreDownError
from bot.store.library import LibraryContents, LibraryStore, UploadedSource
from engine.library import (
    Library,
    LibraryBusyError,
    LibraryError,
    PortableSource,
    Source,
    Writer,
    put_portable,
)

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two looks
MAX_PAUSE = 60.0  # seconds between two tries of what fails
BATCH_BYTES = 1_000_000  # of packed text that go in at a time: a removal need not wait long for the lock
MARK = "upload:"


@dataclass(frozen=True)
class Plan:
    """What a host's library lacks: numbers to remove, to enable or disable, and sources to add."""

    remove: tuple[int, ...] = ()
    enabled: tuple[tuple[int, bool], ...] = ()
    add: tuple[UploadedSource, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.remove or self.enabled or self.add)


def copy_name(deployment: str, source: UploadedSource) -> str:
    """What the copy of an uploaded source has for a file."""
    return f"{MARK}{deployment}/{source.id}/{source.file}"


def uploaded_id(source: Source, deployment: str) -> str | None:
    """The id of the upload that a source of a host is the copy of; None if it is none of this deployment."""
    place, _, rest = source.file.removeprefix(MARK).partition("/")
    is_copy = source.file.startswith(MARK) and place == deployment and not source.bundled
    return rest.partition("/")[0] if is_copy else None


def compare(sources: Iterable[Source], wanted: LibraryContents, refused: Iterable[str] = ()) -> Plan:
    """What is to be done to a library of these sources; uploads that it `refused` are left out."""
    remove: list[int] = []
    enabled: list[tuple[int, bool]] = []
    held: set[str] = set()
    own: list[Source] = []
    for source in sources:
        name = uploaded_id(source, wanted.deployment)
        if name is not None and (name not in wanted.sources or name in held):
            remove.append(source.id)
        elif name is not None:
            held.add(name)
            if source.enabled == (name in wanted.disabled):
                enabled.append((source.id, not source.enabled))
        elif source.bundled:
            if source.enabled != wanted.bundled.get(source.title, source.enabled):
                enabled.append((source.id, not source.enabled))
        else:
            own.append(source)
    texts = {wanted.sources[name].sha256 for name in held}
    remove += [source.id for source in own if source.sha256 in texts]
    missing = (one for one in wanted.sources.values() if one.id not in held and one.id not in set(refused))
    return Plan(tuple(remove), tuple(enabled), tuple(sorted(missing, key=lambda one: one.added)))


class LibrarySync:
    """Works in a thread from `start` to `close`, once `is_ready()`: an empty folder is for a build first."""

    def __init__(self, store: LibraryStore, library: Library, is_ready: Callable[[], bool]) -> None:
        self.store = store
        self.library = library
        self.refused: dict[str, str] = {}  # ids of uploads that this library cannot hold, and why
        self._is_ready = is_ready
        self._wanted = LibraryContents()
        self._done = -1  # the version that the library was last seen to have
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="library-sync", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def catch_up(self, seconds: float) -> bool:
        """Wait until this host has what the store says now; whether it came to that. StoreDownError."""
        version = self.store.version()
        self._wake.set()
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= version, seconds)

    def _run(self) -> None:
        pause = INTERVAL
        while not self._closed.is_set():
            self._wake.clear()
            try:
                if self._is_ready():
                    self.refresh()
                pause = INTERVAL
            except (StoreDownError, LibraryBusyError):
                pause = INTERVAL  # looked at again; who needs the store says so
            except Exception:
                log.exception("bringing the library up to date failed")
                pause = min(2 * pause, MAX_PAUSE)
            self._wake.wait(pause)

    def refresh(self) -> None:
        """Bring the library to what the store says. LibraryBusyError while another process writes."""
        while not self._closed.is_set():
            if self.store.version() != self._wanted.version:
                self._wanted = self.store.contents()
                self.refused.clear()
            if not compare(self.library.sources(), self._wanted, self.refused):
                break
            self._change()
        with self._changed:
            self._done = self._wanted.version
            self._changed.notify_all()

    def _change(self) -> None:
        """One step of the work: all removals and decisions, and a batch of additions."""
        began = time.monotonic()
        added: UploadedSource | None = None
        try:
            with self.library.writer(wait_seconds=0) as writer:
                plan = compare(writer.sources(), self._wanted, self.refused)
                for number in plan.remove:
                    writer.remove(number)
                for number, enabled in plan.enabled:
                    writer.set_enabled(number, enabled)
                size = 0
                for added in plan.add:
                    if (size or plan.remove) and size + added.size > BATCH_BYTES:
                        break
                    size += added.size
                    self._add(writer, added)
        except LibraryBusyError:
            raise
        except LibraryError as error:
            if added is None:
                raise
            log.error("the upload %s cannot be added: %s", added.id, error)
            self.refused[added.id] = str(error)
            return
        log.info("the library changed in %.2f s: %d removed", time.monotonic() - began, len(plan.remove))

    def _is_copy(self, source: Source) -> bool:
        return uploaded_id(source, self._wanted.deployment) is not None

    def _add(self, writer: Writer, source: UploadedSource) -> None:
        data = self.store.data(source)
        if data is None:
            self.refused[source.id] = "its text is gone"  # mostly removed meanwhile, as the next look sees
            return
        for own in writer.sources():  # its copy takes its place, and its title
            if own.sha256 == source.sha256 and not own.bundled and not self._is_copy(own):
                writer.remove(own.id)
        portable = PortableSource(
            source.title, source.author, source.dynasty, source.kind, source.sha256, data,  # type: ignore[arg-type]
            source.id not in self._wanted.disabled,
        )  # fmt: skip
        put_portable(writer, portable, copy_name(self._wanted.deployment, source))
