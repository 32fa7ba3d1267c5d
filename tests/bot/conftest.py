"""A real Redis-compatible server for the tests of the bot, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.embedded import EmbeddedStore
from bot.store import Store


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    server = EmbeddedStore(tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(server: EmbeddedStore) -> Iterator[Store]:
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
