"""Redis that is not quite right: what is wrong is said, in terms of PLM_REDIS_URL, and nothing is a 500."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from bot.app import create_app
from bot.cli import doctor
from bot.settings.config import Settings
from bot.store import readiness
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.faults import explain_refusals
from bot.tasks.queue import DISPATCH, TaskQueue
from bot.text.records import Conversation
from tests.bot.scripted_engine import ScriptedEngine
from tests.redis_servers import Server

ROOT = Path(__file__).resolve().parents[3]
LISTED = "~plm:* ~{plm:* +@all -@dangerous +keys"  # what deploy/README.md tells to give
USERS = {
    "listed": LISTED,
    "noscripts": "~* +@all -eval -evalsha -script",
    "nohashes": "~* +@all -hset -zadd",
    "otherkeys": "~shop:* +@all",
    "noqueues": "~plm:* +@all",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    users = (f"user {name} on >pw {rules}" for name, rules in USERS.items())
    server = Server(tmp_path_factory.mktemp("acl"), *users).start()
    yield server
    server.kill()


@pytest.fixture
def open_store() -> Iterator[object]:
    opened: list[Store] = []

    def make(url: str) -> Store:
        opened.append(Store(url))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def as_user(server: Server, name: str) -> str:
    return server.url.replace("redis://", f"redis://{name}:pw@")


def fault(store: Store, *, tasks: bool = False) -> str:
    with pytest.raises(StoreDownError) as caught:
        readiness.check(store, tasks=tasks)
    return str(caught.value)


def test_the_user_of_the_documents_may_do_all_that_is_needed(server: Server, open_store: type[Store]) -> None:
    assert LISTED in (ROOT / "deploy/README.md").read_text("utf-8")
    store = open_store(as_user(server, "listed"))
    readiness.check(store, tasks=True, thorough=True)
    assert store.enqueue(Conversation("page", "u"), "1", "n", "问").status == "queued"
    assert isinstance(doctor.check_store(store, tasks=True), doctor.Note)
    assert "may not run INFO" in doctor.check_store(store)
    assert not [key for key in store.client.keys("*probe*") if key]


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("noscripts", "PLM_REDIS_URL: its user may not run EVALSHA"),
        ("nohashes", "PLM_REDIS_URL: its user may not run HSET, ZADD"),
        ("otherkeys", "PLM_REDIS_URL: its user may not: it needs the keys ~plm:* and ~{plm:*"),
        ("nobody", "PLM_REDIS_URL: the server does not take this user and password, or wants one"),
    ],
)
def test_a_user_who_may_not_is_said_and_no_message_is_a_500(
    server: Server, open_store: type[Store], user: str, said: str
) -> None:
    store = open_store(as_user(server, user))
    assert fault(store) == said
    with pytest.raises(StoreDownError, match="PLM_REDIS_URL: "):
        store.enqueue(Conversation("page", "x"), "1", "n", "问")


def test_the_queues_keys_are_tried_where_there_are_queues(server: Server, open_store: type[Store]) -> None:
    store = open_store(as_user(server, "noqueues"))
    readiness.check(store)
    assert "~{plm:*" in fault(store, tasks=True)


def test_a_database_that_does_not_exist_is_503_and_named(server: Server, open_store: type[Store]) -> None:
    store = open_store(server.url + "/99")
    app = create_app(Settings(model="tcm"), engine=ScriptedEngine(), store=store)
    client = app.test_client()
    response = client.get("/readyz")
    said = "PLM_REDIS_URL: the server has no database of the number at its end"
    assert (response.status_code, response.json) == (
        503,
        {"status": "unavailable", "faults": {"redis": said}},
    )
    assert client.get("/").status_code == 503
    chat = client.post("/page/chat", json={"text": "问", "id": "1"}, headers={"Origin": "http://localhost"})
    assert chat.status_code != 500
    app.extensions["plm"].close(1)


def test_a_member_of_a_cluster_and_a_sentinel_are_named(tmp_path: Path, open_store: type[Store]) -> None:
    member = Server(tmp_path / "member", "cluster-enabled yes").start()
    sentinel = Server(tmp_path / "sentinel", sentinel=True).start()
    try:
        assert fault(open_store(member.url)).startswith("PLM_REDIS_URL: this is a member of a cluster: write")
        with pytest.raises(StoreDownError):
            open_store(member.url).enqueue(Conversation("page", "u"), "1", "n", "问")
        assert fault(open_store(sentinel.url)).startswith("PLM_REDIS_URL: this is a sentinel: write")
    finally:
        member.kill()
        sentinel.kill()


def test_slots_elsewhere_are_no_500(
    server: Server, open_store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(server.url)
    for said in ("MOVED 5061 192.0.2.1:6379", "CROSSSLOT Keys in request don't hash to the same slot"):
        with pytest.raises(StoreDownError, match="PLM_REDIS_URL: this is a member of a cluster"):
            store.attempt(lambda said=said: store.client.eval(f"return redis.error_reply({said!r})", 0))  # type: ignore[misc]


def test_what_is_no_redis_at_all_is_named(open_store: type[Store]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        said = fault(open_store(f"redis://127.0.0.1:{listener.getsockname()[1]}"))
    assert said == "PLM_REDIS_URL: what answers there is not Redis"


def test_a_sentinel_s_url_for_what_is_none(server: Server, open_store: type[Store]) -> None:
    store = open_store(f"redis+sentinel://127.0.0.1:{server.port}/main")
    assert fault(store) == "PLM_REDIS_URL: what answers there is no sentinel: write redis://HOST:PORT/0"


def test_a_server_that_cannot_write_is_not_ready(server: Server, open_store: type[Store]) -> None:
    with server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            assert fault(open_store(server.url)).startswith("Redis refuses: ")
        finally:
            client.config_set("min-replicas-to-write", 0)
    readiness.check(open_store(server.url))


def test_refusals_are_one_sentence() -> None:
    assert explain_refusals(
        ["HSET READONLY You can't write against a read only replica.", "SET NOPERM x"]
    ) == ("Redis refuses: READONLY You can't write against a read only replica.")
    assert explain_refusals(["SMOVE ERR unknown command"]).startswith(
        "PLM_REDIS_URL: the server does not run SMOVE"
    )


def test_every_command_in_use_is_tried() -> None:
    """Those of the scripts here and in the libraries, and those that the store sends itself."""
    tried = {command.split()[0] for command in readiness.COMMANDS}
    scripts = [file.read_text("utf-8") for file in (ROOT / "bot/store/lua").rglob("*.lua")]
    scripts.append(DISPATCH.decode())
    folder = files("limits") / "resources/redis/lua_scripts"
    scripts += [
        (folder / f"{name}.lua").read_text("utf-8") for name in ("sliding_window", "acquire_sliding_window")
    ]
    used = {name.upper() for text in scripts for name in re.findall(r"redis\.p?call\(\s*['\"](\w+)", text)}
    assert used - tried == set()
    sources = [file.read_text("utf-8") for file in (ROOT / "bot/store").glob("*.py")]
    sent = {name for text in sources for name in re.findall(r"\b(?:client|pipe)\.([a-z_]+)\(", text)}
    as_methods = {command.lower() for command in tried} | {
        "delete",
        "zscan_iter",
        "hscan_iter",
        "scan_iter",
        "lock",
    }
    others = {
        "close",
        "pipeline",
        "execute",
        "register_script",
        "on_node",
        "script_load",
        "evalsha",
        "wait",
        "ping",
        "info",
    }
    assert sent - as_methods - others == {"config_get", "execute_command"}


def test_the_queue_works_under_the_user_of_the_documents(server: Server, open_store: type[Store]) -> None:
    tasks = TaskQueue(open_store(as_user(server, "listed")))
    done = threading.Event()
    tasks.register("probe", "note", lambda: done.set())
    tasks.start()
    tasks.send("probe", "note", None)
    assert done.wait(10)
    tasks.close(1)
