"""The owner's uploaded texts, in Redis, where every host finds them. The keys:

    plm:{library}:version     text  grows with each change: processes look at it
    plm:{library}:deployment  text  a random name, so that a host knows its copies of these texts from others
    plm:{library}:sources     hash  id → what is known of a source, as JSON
    plm:{library}:titles      hash  title → id: a title is one source's
    plm:{library}:disabled    set   ids of sources that do not answer
    plm:{library}:bundled     hash  title of a bundled source → 1 or 0: it answers, or not, by decision
    plm:{library}:text:ID     hash  the source's packed text, in numbered parts

They are kept until they are removed, and never lapse. An upload that broke off does, after an hour.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from bot.store.conversations import Store

BASE = "plm:{library}:"
VERSION, DEPLOYMENT, SOURCES, TITLES, DISABLED, BUNDLED = (
    BASE + name for name in ("version", "deployment", "sources", "titles", "disabled", "bundled")
)
PART_BYTES = 128 * 1024  # a call must be done within the store's time-out
STAGED_SECONDS = 3600

T = TypeVar("T")


@dataclass(frozen=True)
class UploadedSource:
    """What is known of an uploaded source. It never changes: another text has another id."""

    id: str
    title: str
    author: str
    dynasty: str
    kind: str
    file: str  # the name of the file it came in
    sha256: str
    size: int  # bytes of the packed text
    added: float  # seconds since 1970


@dataclass(frozen=True)
class LibraryContents:
    """What every host's library is to hold, at one moment."""

    version: int = -1
    deployment: str = ""
    sources: Mapping[str, UploadedSource] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    bundled: Mapping[str, bool] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources.values())


class LibraryStore:
    """Any method raises StoreDownError when Redis is away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client

    def version(self) -> int:
        return int(self._do(lambda: self.client.get(VERSION)) or 0)

    def contents(self) -> LibraryContents:
        self._do(lambda: self.client.set(DEPLOYMENT, secrets.token_hex(4), nx=True))

        def read() -> list[Any]:
            pipe = self.client.pipeline()
            pipe.get(VERSION).get(DEPLOYMENT).hgetall(SOURCES).smembers(DISABLED).hgetall(BUNDLED)
            found: list[Any] = pipe.execute()
            return found

        version, deployment, sources, disabled, bundled = self._do(read)
        return LibraryContents(
            int(version or 0),
            deployment.decode(),
            {key.decode(): UploadedSource(**json.loads(value)) for key, value in sources.items()},
            frozenset(name.decode() for name in disabled),
            {title.decode(): value == b"1" for title, value in bundled.items()},
        )

    def claim_title(self, title: str, source_id: str) -> bool:
        """Whether the title is this source's from now on; False if it is another's."""
        self._do(lambda: self.client.hsetnx(TITLES, title, source_id))
        return bool(self._do(lambda: self.client.hget(TITLES, title)) == source_id.encode())

    def add(self, source: UploadedSource, data: bytes, enabled: bool = True, replaces: str = "") -> None:
        """Keep a source, in place of another if one is named; nothing of it counts before all of it does."""
        key = BASE + "text:" + source.id
        for number in range(max(1, -(-len(data) // PART_BYTES))):
            part = data[number * PART_BYTES : (number + 1) * PART_BYTES]
            self._do(lambda number=number, part=part: self.client.hset(key, str(number), part))  # type: ignore[misc]
            self._do(lambda: self.client.expire(key, STAGED_SECONDS))

        def commit() -> None:
            pipe = self.client.pipeline()
            if replaces:
                self._drop(pipe, replaces)
            pipe.persist(key)
            pipe.hset(SOURCES, source.id, json.dumps(asdict(source), ensure_ascii=False))
            pipe.hset(TITLES, source.title, source.id)
            if not enabled:
                pipe.sadd(DISABLED, source.id)
            pipe.incr(VERSION)
            pipe.execute()

        self._do(commit)

    def data(self, source: UploadedSource) -> bytes | None:
        """The packed text; None if it was removed meanwhile."""
        key = BASE + "text:" + source.id
        parts = []
        for number in range(max(1, -(-source.size // PART_BYTES))):
            part: bytes | None = self._do(lambda number=number: self.client.hget(key, str(number)))  # type: ignore[misc]
            if part is None:
                return None
            parts.append(part)
        return b"".join(parts)

    def remove(self, source: UploadedSource) -> None:
        def remove() -> None:
            pipe = self.client.pipeline()
            self._drop(pipe, source.id)
            pipe.hdel(TITLES, source.title)
            pipe.incr(VERSION)
            pipe.execute()

        self._do(remove)

    def _drop(self, pipe: Any, source_id: str) -> None:
        pipe.hdel(SOURCES, source_id)
        pipe.srem(DISABLED, source_id)
        pipe.delete(BASE + "text:" + source_id)

    def set_enabled(self, source_id: str, enabled: bool) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            (pipe.srem if enabled else pipe.sadd)(DISABLED, source_id)
            pipe.incr(VERSION)
            pipe.execute()

        self._do(write)

    def set_bundled(self, title: str, enabled: bool) -> None:
        def write() -> None:
            pipe = self.client.pipeline()
            pipe.hset(BUNDLED, title, int(enabled))
            pipe.incr(VERSION)
            pipe.execute()

        self._do(write)

    def _do(self, call: Callable[[], T]) -> T:
        return self.store.attempt(call)
