"""A cluster whose slots are moved and whose masters die: only whose data lies there may see "busy"."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from redis.cluster import key_slot

from bot.cli import doctor
from bot.settings.config import ConfigError
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.index import INDEXES, index_of
from bot.tasks.queue import TaskQueue
from bot.text.records import Conversation, Lease
from tests.redis_cluster import ClusterServer, ask
from tests.redis_servers import Server
from tests.service import free_port, wait_until

LONGEST_OUTAGE = 5.0  # seconds that the slots of a dead master may be without one


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterServer]:
    cluster = ClusterServer()
    yield cluster
    cluster.stop()


@pytest.fixture
def store(cluster: ClusterServer) -> Iterator[Store]:
    store = Store(cluster.url)
    yield store
    store.close()


@pytest.fixture
def patient(cluster: ClusterServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A busy machine is slow; what is tested is not how fast."""
    monkeypatch.setattr("bot.store.conversations.TIMEOUT", 3.0)
    monkeypatch.setattr("bot.store.connection.MOVING_SECONDS", 3.0)
    store = Store(cluster.url)
    yield store
    store.close()


def slot(key: str) -> int:
    return key_slot(key.encode())


def served_by(cluster: ClusterServer, node: Server, count: int = 1) -> list[Conversation]:
    """Conversations whose keys lie on this master."""
    some, owners = (Conversation("wechat", f"o{number}") for number in range(1000)), cluster.owners()
    return [one for one in some if owners[slot(one.base)] is node][:count]


def converse(store: Store, conversation: Conversation, text: str) -> None:
    """A question and its answer."""
    message_id = uuid.uuid4().hex
    store.enqueue(conversation, message_id, "n", text)
    lease = store.acquire(conversation, "me")
    assert isinstance(lease, Lease)
    assert store.finish(conversation, lease, "答" + text, "end", message_id, b"state")


def said(store: Store, conversation: Conversation) -> list[str]:
    return [turn["content"] for turn in store.turns(conversation, 0)]


def in_background(work: Callable[[], None]) -> tuple[threading.Event, threading.Thread]:
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            work()

    thread = threading.Thread(target=loop)
    thread.start()
    return over, thread


def test_nothing_is_lost_or_doubled_while_a_slot_is_moved(cluster: ClusterServer, patient: Store) -> None:
    """To and fro; the user, and the list that the user is in, never see an error."""
    store, talker, texts = patient, Conversation("wechat", "o-moved"), list[str]()

    def write() -> None:
        texts.append(f"问{len(texts)}")
        converse(store, talker, texts[-1])

    for _ in range(3):
        write()
    over, thread = in_background(write)
    try:
        for round_trip in range(4):
            for target in cluster.masters():
                before = len(texts)
                moved = cluster.move(slot(talker.base), target, pause=0.05)
                assert moved >= 5 or target is cluster.owner(slot(talker.base))
                cluster.move(slot(index_of(talker)), target)
                wait_until(lambda before=before: len(texts) > before, 15, f"it goes on, {round_trip}")
    finally:
        over.set()
        thread.join()
    assert said(store, talker) == [word for text in texts for word in (text, "答" + text)]
    assert [*store.client.scan_iter(match=talker.base + "turns")] == [f"{talker.base}turns".encode()]


def test_no_task_is_lost_or_run_twice_while_the_queue_is_moved(
    cluster: ClusterServer, patient: Store
) -> None:
    queue, ran = TaskQueue(patient), Counter[int]()
    queue.register("moved", "count", lambda number: ran.update([number]))
    queue.start()
    sent = 0
    try:
        for target in cluster.masters() * 2:
            for _ in range(10):
                queue.send("moved", "count", Conversation("wechat", "o-task"), sent)
                sent += 1
            cluster.move(slot("{plm:work:moved}"), target, pause=0.05)
        wait_until(lambda: len(ran) == sent, 20, "all have run")
    finally:
        queue.close(5)
    assert set(ran.values()) == {1}
    wait_until(lambda: queue.counts()["moved"]["waiting"] == 0, 5, "all are acknowledged")


def test_one_node_alone_says_what_it_is(cluster: ClusterServer) -> None:
    store = Store(cluster.nodes[0].url)
    (elsewhere,) = served_by(cluster, cluster.owner(slot("plm:channels")))[:1]
    away = next(node for node in cluster.masters() if node is not cluster.owner(slot(elsewhere.base)))
    store.close()
    store = Store(away.url)
    with pytest.raises(StoreDownError, match=r"PLM_REDIS_URL: .*redis\+cluster://"):
        store.enqueue(elsewhere, "m1", "n", "问")
    store.close()


def test_the_doctor_looks_at_every_master(cluster: ClusterServer, store: Store) -> None:
    for node in cluster.masters():
        ask(node, "CONFIG SET", "min-replicas-to-write", 1)
    assert "3 masters, version" in doctor.check_store(store)
    assert "replicas follow" in doctor.check_store(store)
    node = cluster.masters()[1]
    for name, wrong, right in (
        ("min-replicas-to-write", "0", "1"),
        ("cluster-require-full-coverage", "yes", "no"),
        ("appendonly", "no", "yes"),
    ):
        ask(node, "CONFIG SET", name, wrong)
        fault = "append" if name == "appendonly" else name
        with pytest.raises(ConfigError, match=f"PLM_REDIS_URL: 127.0.0.1:{node.port}: .*{fault}"):
            doctor.check_store(store)
        ask(node, "CONFIG SET", name, right)
    for node in cluster.masters():  # whoever has one replica stops when that has taken over
        ask(node, "CONFIG SET", "min-replicas-to-write", 0)


@pytest.mark.slow
@pytest.mark.alone
def test_a_master_dies_and_only_its_users_wait_for_a_moment(cluster: ClusterServer, store: Store) -> None:
    """What was acknowledged before is there after, and the others' messages never fail: not even those whose
    entry in the list would lie on the dead one."""
    victim = cluster.masters()[0]
    (theirs,) = served_by(cluster, victim)
    others = [
        one
        for node in cluster.masters()
        if node is not victim
        for one in served_by(cluster, node, 50)
        if cluster.owner(slot(index_of(one))) is victim
    ]
    assert others
    converse(store, theirs, "先")
    for one in others:
        converse(store, one, "先")
    victim.kill()
    died, slowest, busy = time.monotonic(), 0.0, 0
    texts, acknowledged = 0, ["先"]
    while time.monotonic() < died + LONGEST_OUTAGE:
        for one in others[:3]:
            began = time.monotonic()
            converse(store, one, f"间{texts}")
            slowest = max(slowest, time.monotonic() - began)
        texts += 1
        try:
            store.enqueue(theirs, f"m{texts}", "n", f"间{texts}")
            acknowledged.append(f"间{texts}")
        except StoreDownError:
            busy += 1
        time.sleep(0.05)
    assert busy
    assert len(acknowledged) > 1  # within LONGEST_OUTAGE it is served again
    assert slowest < 2.0
    questions = [turn["content"] for turn in store.turns(theirs, 0) if turn["role"] == "user"]
    assert questions == acknowledged
    victim.start()
    wait_until(cluster.whole, 20, "it has come back as a replica")


def test_what_is_not_there_is_reported_at_once() -> None:
    nowhere = Store(f"redis+cluster://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(StoreDownError, match="Redis does not answer"):
        nowhere.ping()
    assert time.monotonic() - began < 3
    nowhere.close()


def test_the_lists_lie_in_as_many_slots() -> None:
    assert len({slot(key) for key in INDEXES}) == len(INDEXES)
