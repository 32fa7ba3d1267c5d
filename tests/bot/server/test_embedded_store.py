"""The store that comes along: found, private, started again, and its data there after kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from bot.server import embedded_store
from bot.server.embedded_store import EmbeddedStore, EmbeddedStoreError
from tests.service import wait_until


def client(store: EmbeddedStore) -> redis.Redis:
    return redis.Redis.from_url(store.url, socket_timeout=1)


def test_what_was_written_survives_kill_9_and_the_server_comes_back(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    store.start()
    with client(store) as connection:
        for number in range(500):
            connection.rpush("list", number)
        killed = store.pid
        assert killed
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: embedded_store._answers(store.socket), 5, "the store is back")
        assert connection.llen("list") == 500
    assert store.pid != killed
    store.stop()
    again = EmbeddedStore(tmp_path)
    again.start()
    with client(again) as connection:
        assert connection.llen("list") == 500
    again.stop()


def test_a_store_that_still_reads_its_data_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, began = embedded_store._ask, time.monotonic()

    def loading(path: Path, command: bytes) -> bytes:
        said = ask(path, command)
        return b"-LOADING" if said and time.monotonic() < began + 1.2 else said

    monkeypatch.setattr(embedded_store, "_ask", loading)
    monkeypatch.setattr(embedded_store, "START_TIMEOUT", 0.6)
    store = EmbeddedStore(tmp_path)
    store.start()
    assert time.monotonic() > began + 1.2
    store.stop()


SLOW_FLUSH = """
#include <unistd.h>
int fdatasync(int fd) { (void)fd; usleep(1500000); return 0; }
int fsync(int fd) { (void)fd; usleep(1500000); return 0; }
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is missing: the disk cannot be made slow")
def test_kill_9_loses_nothing_while_a_slow_disk_flushes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, slow = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_FLUSH)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", slow, source], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(slow))  # for the server that is started now
    store = EmbeddedStore(tmp_path)
    store.start()
    done, end = 0, time.monotonic() + 2.5  # with appendfsync everysec, a flush is under way by then
    with client(store) as connection:
        while time.monotonic() < end:
            connection.rpush("list", done)
            done += 1
    monkeypatch.delenv("LD_PRELOAD")
    killed = store.pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: store.pid != killed and embedded_store._answers(store.socket), 5, "the store is back")
    with client(store) as connection:
        assert connection.llen("list") == done
    store.stop()


def test_what_was_written_is_flushed_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )
    store = EmbeddedStore(tmp_path)
    store.start()
    wait_until(lambda: flushed, 5, "a flush")
    store.stop()
    assert all(file.endswith(".aof") for file in flushed)


def test_only_this_user_can_reach_it_and_only_by_its_socket(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    store.start()
    assert store.directory.stat().st_mode & 0o777 == 0o700
    assert store.socket.stat().st_mode & 0o777 == 0o700
    with client(store) as connection:
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("append*")["appendonly"] == "yes"
    store.stop()
    assert not embedded_store._answers(store.socket)


def test_two_on_one_data_directory_is_an_error_that_says_so(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    store.start()
    with pytest.raises(EmbeddedStoreError, match=r"PLM_DATA_DIR: .* is in use"):
        EmbeddedStore(tmp_path).start()
    store.stop()
    second = EmbeddedStore(tmp_path)
    second.start()
    second.stop()


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 60) / ("e" * 60)
    store = EmbeddedStore(data)
    store.start()
    assert len(os.fsencode(store.socket)) <= embedded_store.SOCKET_PATH_LIMIT
    assert store.socket.parent.stat().st_mode & 0o777 == 0o700
    with client(store) as connection:
        assert connection.ping()
    store.stop()
    store.socket.parent.rmdir()


def test_a_path_with_signs_of_urls_in_it(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "50%25 #1?中")
    store.start()
    with redis.Redis.from_url(store.url) as connection:
        assert connection.ping()
    store.stop()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedStoreError, match=r"^PLM_DATA_DIR: .*file"):
        EmbeddedStore(tmp_path / "file").start()


def test_a_server_on_path_is_preferred_and_none_at_all_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded_store.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedStoreError, match="PLM_REDIS_URL"):
        EmbeddedStore(tmp_path / "data").start()
    (tmp_path / "redis-server").symlink_to("/bin/true")
    assert EmbeddedStore(tmp_path / "data").find_server() == ("redis-server", str(tmp_path / "redis-server"))


def test_the_kind_of_server_that_wrote_the_data_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = EmbeddedStore(tmp_path / "data")
    first.start()
    with client(first) as connection:
        connection.set("kept", 1)
    first.stop()
    others = {kind: "/bin/false" for kind in ("redis-server", "another") if kind != first.kind}
    monkeypatch.setattr(embedded_store, "find_servers", lambda: {**others, first.kind: first.server})
    again = EmbeddedStore(tmp_path / "data")
    again.start()
    with client(again) as connection:
        assert connection.get("kept") == b"1"
    again.stop()
    monkeypatch.setattr(embedded_store, "find_servers", lambda: others)  # that kind is gone
    with pytest.raises(
        EmbeddedStoreError, match=rf"\({first.kind} wrote its data, this is .*\): see .*\.log$"
    ):
        EmbeddedStore(tmp_path / "data").start()


def test_a_server_that_cannot_start_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_store, "find_servers", lambda: {"redis-server": "/bin/false"})
    with pytest.raises(EmbeddedStoreError, match=r"did not start: see .*server\.log"):
        EmbeddedStore(tmp_path).start()


def test_it_goes_when_its_owner_is_killed_and_the_next_start_waits_for_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from bot.server.embedded_store import EmbeddedStore\n"
        "store = EmbeddedStore(Path(sys.argv[1])); store.start()\n"
        "print(store.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    left = int(owner.stdout.readline())
    store = EmbeddedStore(tmp_path)
    with client_at(tmp_path) as connection:
        connection.set("kept", 1)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    began = time.monotonic()
    store.start()
    assert time.monotonic() - began < 5
    with client(store) as connection:
        assert connection.get("kept") == b"1"
    assert store.pid != left
    store.stop()


def client_at(data: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(data / "store" / "plm.sock"), socket_timeout=1)
