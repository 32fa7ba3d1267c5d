"""Ten turns with one user: the model has heard the earlier ones, and what Redis keeps stays small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from tests.bot.expected_answer import expected_answer, message_answered_in
from tests.service import Service
from tests.wechat_platform import Platform

QUESTIONS = [
    "什么是气虚？", "那血虚呢？", "两者如何分辨？", "四君子汤治哪一种？", "四物汤由哪些药组成？",
    "八珍汤是什么？", "脾虚的人饮食要注意什么？", "失眠多梦怎样看？", "归脾汤适合谁？", "请总结一下。",
]  # fmt: skip
TALKER = Conversation("wechat", "o-memory")


@pytest.fixture(scope="module")
def after_ten_turns(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, Store]]:
    settings = {"PLM_MODEL": "tcm", "PLM_WECHAT_TOKEN": "AAAAA", "PLM_CONTEXT_BYTES": 1_000_000}
    with Service(tmp_path_factory.mktemp("web"), "web", PLM_REDIS_URL=redis_url, **settings) as service:
        platform, store = Platform(service.url + "/wechat", "AAAAA"), Store(redis_url)
        for question in QUESTIONS[:-1]:
            platform.ask(TALKER.user, question)
        # The last answer ends by itself: one that had to be cut leaves no state.
        earlier = dialogue.history(store.turns(TALKER), before="", limit=1_000_000)
        last, _ = message_answered_in(
            range(1, 300), platform, Model.load("tcm"), TALKER.user, QUESTIONS[-1], earlier
        )
        assert platform.deliver(last).reply
        yield platform, store
        store.close()


def test_the_next_answer_comes_from_all_earlier_turns(after_ten_turns: tuple[Platform, Store]) -> None:
    platform, store = after_ten_turns
    earlier = dialogue.history(store.turns(TALKER), before="", limit=1_000_000)
    assert earlier.count(b"\xfd") == 10
    message = platform.text(TALKER.user, "还有别的方子吗？")
    assert platform.deliver(message).reply
    answer = store.turns(TALKER)[-1]["content"]

    # Read from the transcript, with the same dice, the model says the same: the kept state is those turns.
    model, question = Model.load("tcm"), "还有别的方子吗？"
    assert expected_answer(model, TALKER, str(message.fields["MsgId"]), question, earlier) == answer

    # And they matter: the answer is another one without them, and its likelihood differs.
    with_history, without = model.session(), model.session()
    with_history.feed(earlier + dialogue.question_bytes(question))
    without.feed(dialogue.question_bytes(question))
    assert abs(with_history.score(answer) - without.score(answer)) > 1e-4


def test_the_conversation_in_redis_is_small_after_ten_turns(after_ten_turns: tuple[Platform, Store]) -> None:
    _, store = after_ten_turns
    redis = store.client
    keys = list(redis.scan_iter(match=TALKER.base.replace("[", "\\[") + "*"))
    sizes = {key.decode().removeprefix(TALKER.base): redis.memory_usage(key, samples=0) for key in keys}
    print(sum(sizes.values()), sizes)
    # The state itself: what a server adds to it differs between Redis and Valkey.
    assert 0 < redis.hstrlen(TALKER.base + "state", "packed") < 16 * 1024  # a full window hardly packs
    assert sum(sizes.values()) < 64_000  # with the records of ten messages, which expire after eight hours
    assert all(redis.pttl(key) > 0 for key in keys)  # nothing stays for ever


def test_a_new_talk_begins_without_them(after_ten_turns: tuple[Platform, Store]) -> None:
    platform, store = after_ten_turns
    platform.ask(TALKER.user, "新对话")
    message = platform.text(TALKER.user, "什么是气虚？")
    platform.deliver(message)
    fresh = expected_answer(Model.load("tcm"), TALKER, str(message.fields["MsgId"]), "什么是气虚？")
    assert store.turns(TALKER)[-1]["content"] == fresh


def test_a_lost_state_is_read_again_from_the_transcript(redis_url: str, tmp_path: Path) -> None:
    """The state is a cache: with it dropped between turns, every answer is the same."""
    talkers = [Conversation("wechat", name) for name in ("o-kept", "o-dropped")]
    settings = {"PLM_MODEL": "tcm", "PLM_WECHAT_TOKEN": "AAAAA", "PLM_SAMPLER": "greedy"}
    with Service(tmp_path, "web", PLM_REDIS_URL=redis_url, **settings) as service:
        platform, store = Platform(service.url + "/wechat", "AAAAA"), Store(redis_url)
        for question in QUESTIONS[:4]:
            for talker in talkers:
                platform.ask(talker.user, question)
            store.client.delete(talkers[1].base + "state")
        kept, dropped = ([turn["content"] for turn in store.turns(talker)] for talker in talkers)
        assert kept == dropped
        store.close()
