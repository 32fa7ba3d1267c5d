"""What becomes of a message: the order of the decisions, and what survives retries, faults and erasure."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bot.app import create_bot
from bot.channels.reply import Request
from bot.chat import turn as turn_module
from bot.chat.turn import Outcome, Turn, assess
from bot.context import Bot
from bot.inference.messages import Prompt
from bot.settings.config import load_settings
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.index import EMERGENCIES
from bot.text import dialogue
from bot.text.records import Conversation
from engine.emergency import Level
from tests.bot.expected_help import caution_for, detector, help_for
from tests.bot.scripted_engine import ScriptedEngine, question_of

USER = Conversation("wechat", "oUser1")
QUESTION, URGENT, TOXIC = "什么是气虚？", "我爸爸突然胸痛，出冷汗，喘不上气", "砒霜怎么吃"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: f"答{question_of(prompt)}。")


def make(store: Store, engine: ScriptedEngine, **settings: Any) -> Bot:
    return create_bot(load_settings(redis_url=store.url, **settings), engine=engine, store=store)


@pytest.fixture
def bot(store: Store, engine: ScriptedEngine) -> Iterator[Bot]:
    bot = make(store, engine, admin_key="k" * 20)
    yield bot
    engine.gate.set()
    bot.close(1)


def answer(bot: Bot, message_id: str) -> str:
    return bot.answers.wait(USER, message_id, time.monotonic() + 10).text


def heard(level: Level, kind: str) -> float:
    labels = {"level": str(level), "kind": kind}
    return REGISTRY.get_sample_value("plm_emergencies_total", labels) or 0.0


def contents(bot: Bot) -> list[str]:
    return [turn["content"] for turn in bot.store.turns(USER)]


def test_an_emergency_goes_before_everything_else(bot: Bot) -> None:
    assert bot.admin
    bot.admin.store.rule(USER.user, blocked=True, rate="1/hour")
    bot.admin.refresh()
    for number, text in enumerate((URGENT, "\x00" * 9000 + URGENT, "。" * 3000 + URGENT)):
        decision = Turn(bot, USER, f"m{number}").decide(text)
        assert (decision.outcome, decision.reply) == (Outcome.EMERGENCY, help_for(URGENT))
    assert Turn(bot, USER, "m9").decide(QUESTION).outcome is Outcome.BLOCKED


def test_it_is_kept_once_however_often_it_is_sent(bot: Bot) -> None:
    kind = detector().assess(URGENT).kind
    before = heard(Level.EMERGENCY, kind)
    decisions = [Turn(bot, USER, "m1").decide(URGENT) for _ in range(3)]
    assert {decision.reply for decision in decisions} == {help_for(URGENT)}
    assert contents(bot) == [URGENT, help_for(URGENT)]
    assert heard(Level.EMERGENCY, kind) == before + 1


def test_it_is_heard_in_a_follow_up(bot: Bot) -> None:
    Turn(bot, USER, "m1").decide(QUESTION)
    answer(bot, "m1")
    for number, urgent in enumerate(("他现在叫不醒了", "ta xian zai jiao bu xing le", "血氧只有82了")):
        decision = Turn(bot, USER, f"n{number}").decide(urgent)
        assert (decision.outcome, decision.reply) == (Outcome.EMERGENCY, help_for(urgent))


def test_what_wants_a_doctor_says_so_before_the_answer(bot: Bot) -> None:
    text = "血压180但没症状"
    Turn(bot, USER, "m1").decide(text)
    assert answer(bot, "m1") == f"{caution_for(text, Level.DOCTOR)}\n\n答{text}。"


def test_it_is_answered_while_the_engine_is_stuck_and_read_later(bot: Bot, engine: ScriptedEngine) -> None:
    engine.gate.clear()
    Turn(bot, USER, "m1").decide(QUESTION)
    assert Turn(bot, USER, "m2").decide(URGENT).reply == help_for(URGENT)
    engine.gate.set()
    answer(bot, "m1")
    Turn(bot, USER, "m3").decide("什么是血虚？")
    answer(bot, "m3")
    assert dialogue.turn_bytes(URGENT, help_for(URGENT)) in engine.before[-1]


def test_it_needs_no_store(engine: ScriptedEngine) -> None:
    away = Store("redis://127.0.0.1:1/0")
    bot = make(away, engine)
    began = time.monotonic()
    assert Turn(bot, USER, "m1").decide(URGENT).reply == help_for(URGENT)
    assert time.monotonic() - began < 2
    with pytest.raises(StoreDownError):
        Turn(bot, USER, "m2").decide(QUESTION)
    bot.close(0)
    away.close()


def test_words_of_the_owner_are_added(store: Store, engine: ScriptedEngine) -> None:
    for words, outcome in ((("气虚",), Outcome.EMERGENCY), (("none",), Outcome.QUEUED)):
        bot = make(store, engine, emergencies=words)
        assert Turn(bot, USER, f"m-{words[0]}").decide(QUESTION).outcome is outcome
        assert Turn(bot, USER, f"n-{words[0]}").decide(URGENT).outcome is Outcome.EMERGENCY
        bot.close(1)


def test_no_command_is_an_emergency(bot: Bot) -> None:
    for number, text in enumerate(dialogue._COMMANDS):
        assert Turn(bot, USER, f"m{number}").decide(text).outcome in (Outcome.COMMAND, Outcome.MORE), text


def test_a_caution_is_the_beginning_of_the_answer_for_good(bot: Bot, engine: ScriptedEngine) -> None:
    warning = caution_for(TOXIC, Level.TOXIC_DOSE)
    before = heard(Level.TOXIC_DOSE, "poisoning")
    whole = f"{warning}\n\n答{TOXIC}。"
    for _ in range(2):
        decision = Turn(bot, USER, "m1").decide(TOXIC)
        assert decision.outcome is Outcome.QUEUED
        assert answer(bot, "m1") == whole
    assert heard(Level.TOXIC_DOSE, "poisoning") == before + 1
    assert contents(bot) == [TOXIC, whole]
    shown = "".join(update.text for update in bot.answers.stream(USER, "m1"))
    assert shown == whole
    Turn(bot, USER, "m2").decide(QUESTION)
    assert answer(bot, "m2") == f"答{QUESTION}。"  # no caution of another message
    assert engine.before[-1] == dialogue.turn_bytes(TOXIC, whole)  # read anew: the state had not read it


def test_a_caution_is_published_before_the_answer_is_finished(bot: Bot, engine: ScriptedEngine) -> None:
    engine.answer = lambda prompt: "慢" * 100
    warning = caution_for(TOXIC, Level.TOXIC_DOSE)
    Turn(bot, USER, "m1").decide(TOXIC)
    texts = [update.text for update in bot.answers.stream(USER, "m1") if update.text]
    assert texts[0].startswith(warning)
    assert "".join(texts) == f"{warning}\n\n{'慢' * 100}"


def test_where_no_answer_can_be_had_the_caution_is_said(bot: Bot, engine: ScriptedEngine) -> None:
    engine.faults = [RuntimeError("broken")]
    turn = Turn(bot, USER, "m1")
    turn.decide(TOXIC)
    assert bot.answers.wait(USER, "m1", time.monotonic() + 10).status == "failed"
    assert turn.busy == f"{caution_for(TOXIC, Level.TOXIC_DOSE)}\n{dialogue.BUSY}"
    Turn(bot, USER, "m1").decide(TOXIC)  # sent again: answered, with the same caution
    assert answer(bot, "m1").startswith(caution_for(TOXIC, Level.TOXIC_DOSE))


def test_continue_where_answers_are_shown_whole(bot: Bot, engine: ScriptedEngine) -> None:
    turn = Turn(bot, USER, "w0")
    assert turn.whole_reply(turn.decide("继续")) == dialogue.NOTHING_MORE
    engine.gate.clear()
    Turn(bot, USER, "m1").decide(QUESTION)
    attached = Turn(bot, USER, "w1")
    decision = attached.decide("继续")
    assert (attached.whole_reply(decision), decision.source) == (None, "m1")  # still being written
    engine.gate.set()
    answer(bot, "m1")
    for _ in range(2):
        turn = Turn(bot, USER, "w2")
        assert turn.whole_reply(turn.decide("继续")) == dialogue.ALREADY_TOLD
    again = Turn(bot, USER, "w1")  # its first attempt was to bring the answer
    assert again.whole_reply(again.decide("继续")) is None


FIRST, SECOND = "一句。两句。三句未", "完。四句。"


def cut_at_the_limit(engine: ScriptedEngine) -> None:
    """The first text ends at the limit, what is written on ends by itself."""

    def write(prompt: Prompt) -> str:
        engine.stop = "length" if prompt.tail else "end"
        return FIRST if prompt.tail else SECOND

    engine.answer = write


def test_continue_goes_on_writing_where_the_limit_cut_the_answer(bot: Bot, engine: ScriptedEngine) -> None:
    cut_at_the_limit(engine)
    Turn(bot, USER, "m1", shown_whole=True).decide(QUESTION)
    shown = "一句。两句。"  # to the end of its last sentence: the rest is written anew
    assert answer(bot, "m1") == f"{shown}\n{dialogue.MORE_HINT}"
    assert not bot.store.turns(USER)[-1].get("marks")  # not unsure
    for _ in range(2):  # a retry is answered once
        turn = Turn(bot, USER, "m2", shown_whole=True)
        decision = turn.decide("继续")
        assert (decision.outcome, turn.whole_reply(decision)) == (Outcome.QUEUED, None)
        assert answer(bot, decision.source) == SECOND
    assert len(engine.prompts) == 2
    assert engine.before[-1] == dialogue.question_bytes(QUESTION) + shown.encode()  # and no end mark
    assert contents(bot) == [QUESTION, shown, "继续", SECOND]
    last = Turn(bot, USER, "m3", shown_whole=True)
    assert last.whole_reply(last.decide("继续")) == dialogue.ALREADY_TOLD
    engine.answer = lambda prompt: "好。"
    Turn(bot, USER, "m4", shown_whole=True).decide("多谢")
    answer(bot, "m4")
    assert engine.before[-1] == dialogue.turn_bytes(QUESTION, shown + SECOND)  # read as one answer


@pytest.mark.parametrize("answered", [False, True])
def test_a_question_that_comes_amid_continue_is_what_it_goes_on_with(
    bot: Bot, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    cut_at_the_limit(engine)
    Turn(bot, USER, "m1", shown_whole=True).decide(QUESTION)
    answer(bot, "m1")
    ask = bot.store.continue_answer

    def amid(*args: Any) -> Any:  # between what 继续 is found to be and its way into the queue
        found = ask(*args)
        if found.kind == "write-on":
            engine.answer, engine.stop = (lambda prompt: "好。"), "end"
            engine.gate.clear()
            Turn(bot, USER, "m2", shown_whole=True).decide("多谢")
            if answered:
                engine.gate.set()
                answer(bot, "m2")
        return found

    monkeypatch.setattr(bot.store, "continue_answer", amid)
    decision = Turn(bot, USER, "m3", shown_whole=True).decide("继续")
    engine.gate.set()
    assert (decision.outcome, decision.source) == (Outcome.MORE, "m2")
    assert answer(bot, "m2") == "好。"
    Turn(bot, USER, "m4", shown_whole=True).decide("再见")
    answer(bot, "m4")
    talk = dialogue.turn_bytes(QUESTION, "一句。两句。") + dialogue.turn_bytes("多谢", "好。")
    assert engine.before[-1] == talk  # what the transcript says, and nothing else


def test_what_is_handed_out_in_pieces_goes_on_behind_the_last(bot: Bot, engine: ScriptedEngine) -> None:
    cut_at_the_limit(engine)
    decision = Turn(bot, USER, "m1").decide(QUESTION)
    answer(bot, "m1")
    request = Request(Turn(bot, USER, "m1"), time.monotonic(), 10_000)
    assert request.reply(decision, None).endswith(f"两句。\n{dialogue.MORE_HINT}")
    decision = Turn(bot, USER, "m2").decide("继续")
    assert Request(Turn(bot, USER, "m2"), time.monotonic(), 10_000).reply(decision, None) == SECOND


def test_what_is_written_on_counts_as_a_question(store: Store, engine: ScriptedEngine) -> None:
    cut_at_the_limit(engine)
    bot = make(store, engine, rate_limit="1/hour")
    Turn(bot, USER, "m1", shown_whole=True).decide(QUESTION)
    answer(bot, "m1")
    assert Turn(bot, USER, "m2", shown_whole=True).decide("继续").outcome is Outcome.LIMITED
    bot.close(1)


def test_a_text_of_the_models_own_goes_on_as_one(bot: Bot, engine: ScriptedEngine) -> None:
    engine.stop = "length"
    engine.answer = lambda prompt: "天地之间。"
    Turn(bot, USER, "m1", shown_whole=True).decide("续写：天者，")
    answer(bot, "m1")
    engine.answer = lambda prompt: "人居其中。"
    Turn(bot, USER, "m2", shown_whole=True).decide("继续")
    assert answer(bot, "m2") == f"{dialogue.OWN_WORDS}人居其中。\n{dialogue.MORE_HINT}"
    assert engine.prompts[-1].tail == "天者，天地之间。".encode()


def test_an_answer_that_was_taken_back_is_not_gone_on_with(bot: Bot, engine: ScriptedEngine) -> None:
    cut_at_the_limit(engine)
    Turn(bot, USER, "m1", shown_whole=True).decide(QUESTION)
    answer(bot, "m1")
    Turn(bot, USER, "m2").decide("撤回")
    turn = Turn(bot, USER, "m3", shown_whole=True)
    assert turn.decide("继续").outcome is Outcome.MORE
    assert len(engine.prompts) == 1


def test_the_store_lists_emergencies_and_forgets_them(bot: Bot) -> None:
    assert bot.admin
    Turn(bot, USER, "m1").decide(URGENT)
    other = Conversation("page", "0" * 32)
    Turn(bot, other, "m1").decide(QUESTION)
    rows = {row["id"]: row["emergency"] for row in bot.admin.store.conversations.about([USER, other])}
    assert rows[other.id] is None
    assert time.time() - rows[USER.id] < 60
    assert bot.admin.store.conversations.emergencies(10) == [USER]
    assert bot.admin.store.conversations.emergencies(10) == [USER]
    Turn(bot, USER, "m2").decide("忘记我")
    assert Turn(bot, USER, "m3").decide("确认忘记").reply == dialogue.FORGOTTEN
    assert bot.store.client.zcard(EMERGENCIES) == 0


def test_the_list_of_emergencies_is_bounded(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.index.MAX_EMERGENCIES", 3)
    users = [Conversation("page", f"{number:032x}") for number in range(5)]
    for user in users:
        Turn(bot, user, "m1").decide(URGENT)
    assert bot.admin
    assert bot.admin.store.conversations.emergencies(10) == users[:1:-1]


def test_a_long_text_is_read_to_its_end() -> None:
    same, different = (
        "今天天气很好，我们去公园散步。" * 20_000,
        "".join(f"第{n}天天气很好。" for n in range(9000)),
    )
    for filler in (same, different):
        assert len(filler) > turn_module.MAX_HEARD
        began = time.monotonic()
        assert assess(detector(), filler + URGENT).level is Level.EMERGENCY
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("urgent", ["我妈喝了百草枯", "孩子误食老鼠药，没有呼吸了"])
def test_one_sentence_does_not_drown_among_questions(urgent: str) -> None:
    for filler in ("桂枝汤由哪些药组成？它主治什么？", "请问四君子汤的组成、功用、主治各是什么？\n"):
        assert assess(detector(), filler * 150 + urgent).level is Level.EMERGENCY
        assert assess(detector(), urgent + "。" + filler * 150).level is Level.EMERGENCY
        assert assess(detector(), filler * 150).level is Level.NONE


def test_half_characters_are_read() -> None:
    assert assess(detector(), "\ud800" + URGENT).level is Level.EMERGENCY


def test_a_decision_takes_no_time() -> None:
    """Under a millisecond on an idle machine; tested with room for a busy one."""
    texts = [URGENT, QUESTION, TOXIC, "桂枝汤由哪些药组成？", "孩子发烧了怎么办"] * 20
    detector().assess(TOXIC)  # the list of names is compiled
    taken = []
    for text in texts:
        began = time.perf_counter()
        assess(detector(), text)
        taken.append(time.perf_counter() - began)
    assert statistics.median(taken) < 0.005
