"""A real Redis-compatible server for the tests of the bot, empty for each test.

What is in ON_CLUSTER runs on a cluster too, but for tests that start a server of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bot.server.embedded_store import EmbeddedStore
from bot.store.conversations import Store
from bot.tasks.queue import TaskQueue
from tests.bot.webhook_receiver import Receiver
from tests.redis_cluster import ClusterServer

# Most tests give the engine its words and expect them; those of the library name one of their own. Services
# that a test starts read it, too.
os.environ.setdefault("PLM_LIBRARY", "none")


@pytest.fixture(autouse=True)
def no_work_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the workers of every application that a test made: they would go on into the next tests."""
    started: list[TaskQueue] = []
    start = TaskQueue.start

    def remember(tasks: TaskQueue) -> None:
        started.append(tasks)
        start(tasks)

    monkeypatch.setattr(TaskQueue, "start", remember)
    yield
    for tasks in started:
        tasks.close(1)


ON_CLUSTER = (
    "tests/bot/store",
    "tests/bot/channels",
    "tests/bot/chat/test_erasure.py",
    "tests/bot/admin/test_broadcasts.py",
    "tests/bot/admin/test_views.py",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.definition.nodeid.split("::")[0]
    if {"server", "store"} <= set(metafunc.fixturenames) and module.startswith(ON_CLUSTER):
        metafunc.parametrize("server", ("single", "cluster"), indirect=True)


@pytest.fixture(scope="session")
def single_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    server = EmbeddedStore(tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cluster_server() -> Iterator[ClusterServer]:
    cluster = ClusterServer()
    yield cluster
    cluster.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> EmbeddedStore | ClusterServer:
    """Of one kind or the other, each started once: a parameter of the session would end one for the other."""
    kind = getattr(request, "param", "single")
    found: EmbeddedStore | ClusterServer = request.getfixturevalue(f"{kind}_server")
    return found


@pytest.fixture
def store(server: EmbeddedStore | ClusterServer) -> Iterator[Store]:
    store = Store(server.url)
    store.client.flushall()
    yield store
    store.close()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store of the module's own."""
    server = EmbeddedStore(tmp_path_factory.mktemp("store"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()
