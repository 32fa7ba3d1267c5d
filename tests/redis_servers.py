"""Real Redis-compatible servers that fail in the ways that servers do: slowly, full, over to a replica."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from pathlib import Path

import redis

from bot.server.embedded_store import find_servers
from tests.service import free_port, wait_until


class Server:
    """A server on a TCP port of its own, with an append-only file. `kill` is kill -9; `start` again."""

    def __init__(self, directory: Path, *options: str, sentinel: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.port, self.sentinel = directory, free_port(), sentinel
        self.url = f"redis://127.0.0.1:{self.port}"
        self.config = directory / "server.conf"
        own = f'port {self.port}\nbind 127.0.0.1\ndir {directory}\nsave ""\n'
        own += "" if sentinel else "appendonly yes\nappendfsync no\nrepl-diskless-sync-delay 0\n"
        self.config.write_text(own + "\n".join(options) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        binary = next(iter(find_servers().values()))
        log = (self.directory / "server.log").open("ab")
        more = ["--sentinel"] if self.sentinel else []
        self.process = subprocess.Popen([binary, str(self.config), *more], stdout=log, stderr=log)
        log.close()
        wait_until(self.answers, 20, "the server answers")
        return self

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


class Failover:
    """A master, its replica and a sentinel that makes the replica master after a second of silence."""

    def __init__(self, directory: Path) -> None:
        self.master = Server(directory / "one").start()
        self.replica = Server(directory / "two", f"replicaof 127.0.0.1 {self.master.port}").start()
        self.sentinel = Server(
            directory / "sentinel",
            f"sentinel monitor main 127.0.0.1 {self.master.port} 1",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 5000",
            sentinel=True,
        ).start()
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/main"
        wait_until(self._watched, 30, "the replica has what was written, and the sentinel knows it")

    def _watched(self) -> bool:
        with self.master.client() as client, self.sentinel.client() as sentinel:
            client.set("first", 1)
            known = sentinel.execute_command("SENTINEL", "MASTER", "main")[b"num-slaves"] == b"1"
            return bool(client.wait(1, 100)) and known

    def stop(self) -> None:
        for server in (self.sentinel, self.master, self.replica):
            server.kill()


class SlowLine:
    """A TCP line to a server: what it answers comes `delay` seconds late, one answer after the other."""

    def __init__(self, port: int) -> None:
        self.port, self.delay = port, 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
                for source, sink, late in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._carry, args=(source, sink, late), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, late: bool) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(1 << 16):
                if late and self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
