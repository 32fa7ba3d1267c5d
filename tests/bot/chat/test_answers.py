"""Answers: one answer per message whoever asks, in order, over dying processes, engines and stores."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.chat import answers as answers_module
from bot.chat.answers import Answers
from bot.inference.interface import EngineDownError
from bot.server.embedded_store import EmbeddedStore
from bot.store import conversations as store_module
from bot.store.conversations import Store
from bot.store.days import DayStore
from bot.store.index import index_of
from bot.text import dialogue
from bot.text.records import Conversation, Message
from tests.bot.scripted_engine import ScriptedEngine, question_of
from tests.service import wait_until

TALKER = Conversation("wechat", "oUser1")
Starter = Callable[..., Answers]


@pytest.fixture
def start(server: EmbeddedStore, store: Store) -> Iterator[Starter]:
    """Makes Answers as separate processes have them: each with its own connections."""
    made: list[Answers] = []

    def start(engine: ScriptedEngine) -> Answers:
        made.append(Answers(Store(server.url), engine))
        return made[-1]

    yield start
    for one in made:
        one.engine.gate.set()  # type: ignore[attr-defined]
        one.close(2)
        one.store.close()


def wait(some: Answers, message_id: str, seconds: float = 10.0) -> Message:
    return some.wait(TALKER, message_id, time.monotonic() + seconds)


def answers(store: Store) -> list[str]:
    return [turn["content"] for turn in store.turns(TALKER) if turn["role"] == "assistant"]


def echo(prompt: object) -> str:
    return f"答{question_of(prompt)}。"  # type: ignore[arg-type]


def test_an_answer_comes_and_is_in_the_transcript(start: Starter, store: Store) -> None:
    some = start(ScriptedEngine(echo))
    some.enqueue(TALKER, "m1", "一")
    message = wait(some, "m1")
    assert (message.status, message.text) == ("done", "答一。")
    assert answers(store) == ["答一。"]


def test_an_answer_costs_three_round_trips_and_is_read_again_by_the_next_who_asks(
    start: Starter, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = start(ScriptedEngine(echo))
    some.enqueue(TALKER, "m1", "一")
    first = wait(some, "m1")
    assert (first.notice, first.question, first.kind, first.reply) == (True, "一", "ask", None)
    assert store.reply(TALKER, "m1", "m1", 0, 3, "答", True) == "答"
    again = wait(some, "m1")
    assert (again.reply, again.delivered, again.notice) == ("答", 3, True)
    wait_until(lambda: not some._workers)
    monkeypatch.setattr(answers_module, "POLL", 5.0)
    # The figures by day are counted behind each answer, in a slot of their own.
    monkeypatch.setattr(DayStore, "count", lambda *_args, **_more: None)
    pool, trips = some.store.client.connection_pool, []
    connect = pool.get_connection
    monkeypatch.setattr(pool, "get_connection", lambda *args: trips.append(args) or connect(*args))
    some.enqueue(TALKER, "m2", "二")
    assert wait(some, "m2").text == "答二。"
    assert len(trips) == 3  # ask, take, finish; with the state, no history is read
    assert store.client.zscore(index_of(TALKER), TALKER.id) == pytest.approx(time.time(), abs=20)


def test_processes_with_the_same_message_share_one_answer(start: Starter, store: Store) -> None:
    engine = ScriptedEngine(echo)
    engine.gate.clear()
    three = [start(engine) for _ in range(3)]
    for some in three:
        some.enqueue(TALKER, "m1", "一")
    assert wait(three[1], "m1", 0.2).status == "running"
    engine.gate.set()
    assert {wait(some, "m1").text for some in three} == {"答一。"}
    assert len(engine.prompts) == 1
    assert answers(store) == ["答一。"]


def test_one_conversation_is_answered_in_order_and_two_at_once(start: Starter, store: Store) -> None:
    engine = ScriptedEngine(echo)
    engine.gate.clear()
    two = [start(engine), start(engine)]
    for place, question in enumerate("甲乙丙丁"):
        two[place % 2].enqueue(TALKER, f"m{place}", question)
    other = Conversation("wechat", "oUser2")
    two[0].enqueue(other, "m0", "戊")
    wait_until(lambda: len(engine.prompts) == 2, what="both conversations are being answered")
    engine.gate.set()
    wait(two[0], "m3")
    assert answers(store) == ["答甲。", "答乙。", "答丙。", "答丁。"]
    assert two[0].wait(other, "m0", time.monotonic() + 5).text == "答戊。"


def test_the_model_reads_the_turns_before_by_state_or_by_transcript(start: Starter, store: Store) -> None:
    engine = ScriptedEngine(lambda prompt: "答。 " if question_of(prompt) == "二" else "答。")
    some = start(engine)
    for message_id, question in (("m1", "一"), ("m2", "二"), ("m3", "三")):
        some.enqueue(TALKER, message_id, question)
        wait(some, message_id)
    one, two = dialogue.turn_bytes("一", "答。"), dialogue.turn_bytes("二", "答。")
    assert engine.before == [b"", one, one + two]
    # The second answer was tidied, so that its state does not fit the transcript: it is read anew.
    assert [prompt.state for prompt in engine.prompts] == [None, one, None]
    assert [prompt.tail for prompt in engine.prompts] == [dialogue.question_bytes(q) for q in "一二三"]


@pytest.mark.parametrize("written", ["", " \n"])
def test_nothing_to_say_is_said_honestly(start: Starter, store: Store, written: str) -> None:
    """And the next question is read after what was said, not after the model's silence."""
    engine = ScriptedEngine(lambda prompt: written)
    some = start(engine)
    for message_id, question in (("m1", "一"), ("m2", "二")):
        some.enqueue(TALKER, message_id, question)
        assert wait(some, message_id).text == dialogue.EMPTY_ANSWER
    assert engine.before == [b"", dialogue.turn_bytes("一", dialogue.EMPTY_ANSWER)]


def test_following_shows_the_answer_as_it_grows(start: Starter) -> None:
    engine = ScriptedEngine(lambda prompt: " 桂枝汤\x00治太阳中风。 ")
    writer, reader = start(engine), start(engine)
    writer.enqueue(TALKER, "m1", "一")
    updates = list(reader.stream(TALKER, "m1"))
    assert "".join(update.text for update in updates if not update.restart) == "桂枝汤治太阳中风。"
    assert [update.done for update in updates][-1]


def test_a_dead_process_is_replaced_and_its_late_answer_refused(
    start: Starter, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEASE_MS", 150)
    stuck = ScriptedEngine(lambda prompt: "旧。")
    stuck.gate.clear()
    dead, alive = start(stuck), start(ScriptedEngine(lambda prompt: "新。"))
    dead._closed.set()  # its heart stops, as with kill -9
    dead.enqueue(TALKER, "m1", "一")
    wait_until(lambda: stuck.prompts, what="the first process is at it")
    alive.enqueue(TALKER, "m1", "一")
    assert wait(alive, "m1", 5).text == "新。"
    stuck.gate.set()
    wait_until(lambda: not dead._workers, what="the first process has given up")
    assert answers(store) == ["新。"]


def test_a_silent_engine_does_not_lose_the_lease(
    start: Starter, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "LEASE_MS", 200)
    monkeypatch.setattr(store_module, "LEASE_MS", 200)
    engine = ScriptedEngine(echo)
    engine.gate.clear()
    first, second = start(engine), start(engine)
    first.enqueue(TALKER, "m1", "一")
    wait_until(lambda: engine.prompts)
    assert wait(second, "m1", 1.0).status == "running"
    assert len(engine.prompts) == 1
    engine.gate.set()
    assert wait(second, "m1").text == "答一。"


def test_an_engine_that_breaks_off_is_asked_again_and_the_words_before_are_taken_back(
    start: Starter, store: Store
) -> None:
    engine = ScriptedEngine(lambda prompt: "桂枝汤治太阳中风。")
    engine.faults = [EngineDownError("gone"), EngineDownError("still gone")]
    some = start(engine)
    some.enqueue(TALKER, "m1", "一")
    assert wait(some, "m1").text == "桂枝汤治太阳中风。"
    assert len({prompt.seed for prompt in engine.prompts}) == 1
    assert answers(store) == ["桂枝汤治太阳中风。"]


def test_a_message_that_fails_does_not_block_the_next_and_may_be_sent_again(
    start: Starter, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine(echo)
    engine.faults = [RuntimeError("broken")]
    some = start(engine)
    some.enqueue(TALKER, "m1", "一")
    some.enqueue(TALKER, "m2", "二")
    assert wait(some, "m1").status == "failed"
    assert wait(some, "m2").text == "答二。"
    some.enqueue(TALKER, "m1", "一")
    assert wait(some, "m1").text == "答一。"
    assert [turn["content"] for turn in store.turns(TALKER) if turn["role"] == "user"] == ["一", "二"]
    assert "broken" in caplog.text


def test_stopping_finishes_the_answer_and_leaves_the_rest_to_others(start: Starter, store: Store) -> None:
    engine = ScriptedEngine(echo)
    engine.gate.clear()
    some = start(engine)
    some.enqueue(TALKER, "m1", "一")
    some.enqueue(TALKER, "m2", "二")
    wait_until(lambda: engine.prompts)
    threading.Timer(0.3, engine.gate.set).start()
    some.close(5)
    assert (store.message(TALKER, "m1").status, store.message(TALKER, "m2").status) == ("done", "queued")
    began = time.monotonic()
    assert wait(start(ScriptedEngine(echo)), "m2", 5).text == "答二。"
    assert time.monotonic() - began < 2  # the lease was given back


def test_an_answer_that_does_not_end_in_time_is_handed_over_at_once(start: Starter, store: Store) -> None:
    engine = ScriptedEngine(echo)
    engine.gate.clear()
    some = start(engine)
    some.enqueue(TALKER, "m1", "一")
    wait_until(lambda: engine.prompts)
    some.close(0.1)
    began = time.monotonic()
    assert wait(start(ScriptedEngine(echo)), "m1").text == "答一。"
    assert time.monotonic() - began < 2  # and so here


def test_a_store_that_dies_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    server = EmbeddedStore(tmp_path)
    server.start()
    engine = ScriptedEngine(lambda prompt: "桂枝汤治太阳中风。" * 5)
    engine.gate.clear()
    some = Answers(Store(server.url), engine)
    some.enqueue(TALKER, "m1", "一")
    wait_until(lambda: engine.prompts)
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    engine.gate.set()
    assert wait(some, "m1").text == engine.answer(engine.prompts[0])
    assert len(some.store.turns(TALKER)) == 2
    some.close(1)
    some.store.close()
    server.stop()
