"""The platform's five seconds, with an engine that takes a quarter of a second a character.

The platform here waits as long as the real one does. All conversations run at once, so that they take the
time of the longest: about half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import DISCLAIMER
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from tests.bot.expected_answer import message_answered_in
from tests.service import Service
from tests.tiny_model import write_talkative_model
from tests.wechat_platform import Delivery, Message, Platform

PACE = 0.25  # seconds a character
SHORT, MIDDLE, LONG = range(4, 15), range(24, 34), range(74, 100)
QUESTION = "什么是气虚？"
FIRST, SECOND = "什么是]]>气虚？", "那血虚呢？"
UNFINISHED = (dialogue.MORE_HINT, dialogue.STILL_THINKING)


@dataclass
class Asked:
    """A message, the answer that it will get, what the platform saw, and every further word."""

    message: Message
    answer: str
    delivery: Delivery
    rest: list[str]

    @property
    def conversation(self) -> Conversation:
        return Conversation("wechat", self.message.user)


class Scenes:
    """The conversations, each begun when this is made; the tests look at how they ended."""

    def __init__(self, service: Service, redis_url: str, model: Model) -> None:
        self.service, self.store, self.model = service, Store(redis_url), model
        self.platform = Platform(service.url + "/wechat", "AAAAA")
        with ThreadPoolExecutor(8) as pool:
            found: dict[str, Future[Asked]] = {
                "short": pool.submit(self.ask, "o-short", SHORT),
                "middle": pool.submit(self.ask, "o-middle", MIDDLE),
                "long": pool.submit(self.ask, "o-long", LONG),
                "hurried": pool.submit(self.ask_again_meanwhile, "o-hurried"),
            }
        self.asked = {name: future.result() for name, future in found.items()}

    def ask(self, user: str, length: range) -> Asked:
        message, answer = message_answered_in(length, self.platform, self.model, user, QUESTION)
        delivery = self.platform.deliver(message)
        rest = []
        while delivery.reply and (rest[-1] if rest else delivery.reply).endswith(UNFINISHED):
            rest.append(self.say(user, "继续"))
        return Asked(message, answer, delivery, rest)

    def ask_again_meanwhile(self, user: str) -> Asked:
        """A second question two seconds after the first: both owe their answers."""
        message, answer = message_answered_in(LONG, self.platform, self.model, user, FIRST)
        history = dialogue.turn_bytes(FIRST, answer)
        second, _ = message_answered_in(SHORT, self.platform, self.model, user, SECOND, history)
        with ThreadPoolExecutor(2) as pool:
            deliveries = [pool.submit(self.platform.deliver, message)]
            time.sleep(2.0)
            deliveries.append(pool.submit(self.platform.deliver, second))
        asked = Asked(message, answer, deliveries[0].result(), [str(deliveries[1].result().reply)])
        while asked.rest[-1] != dialogue.NOTHING_MORE and len(asked.rest) < 20:
            asked.rest.append(self.say(user, "继续"))
        return asked

    def say(self, user: str, text: str) -> str:
        """A message that must be answered in time, whatever the platform does."""
        attempt = self.platform.request(self.platform.text(user, text))
        assert attempt.reply, attempt
        assert attempt.seconds < 5.0
        return attempt.reply


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    directory = tmp_path_factory.mktemp("slow")
    model_file = str(write_talkative_model(directory / "talkative.safetensors"))
    redis = EmbeddedStore(directory)
    redis.start()
    settings = {
        "PLM_REDIS_URL": redis.url,
        "PLM_MODEL": model_file,
        "PLM_WECHAT_TOKEN": "AAAAA",
        "PLM_ENGINE_DELAY_MS": int(PACE * 1000),
    }
    with Service(directory, "web", **settings) as service:
        scenes = Scenes(service, redis.url, Model.load(model_file))
        yield scenes
        scenes.store.close()
    redis.stop()


AROUND = (
    DISCLAIMER,
    dialogue.MORE_HINT,
    dialogue.STILL_THINKING,
    dialogue.NOTHING_MORE,
    dialogue.ALREADY_TOLD,
    dialogue.label(FIRST),
)


def shown(*replies: str) -> str:
    """The answers' text in a series of replies, without what is said around it and without white space."""
    text = "".join(replies)
    for words in AROUND:
        text = text.replace(words.strip(), "")
    return squeezed(text)


def squeezed(text: str) -> str:
    """Pieces are trimmed where they are cut."""
    return "".join(text.split())


def kept_once(scenes: Scenes, asked: Asked, turns: int = 2) -> None:
    kept = scenes.store.turns(asked.conversation)
    assert len(kept) == turns
    message_id = str(asked.message.fields["MsgId"])
    of_message = [(turn["role"], turn["content"]) for turn in kept if turn["message_id"] == message_id]
    assert of_message == [("user", QUESTION), ("assistant", asked.answer)]
    assert scenes.store.message(asked.conversation, message_id).starts == 1


def test_what_is_done_in_time_is_answered_at_the_first_request(scenes: Scenes) -> None:
    asked = scenes.asked["short"]
    assert len(asked.delivery.attempts) == 1
    assert shown(asked.delivery.reply or "") == squeezed(asked.answer)
    kept_once(scenes, asked)


def test_a_retry_attaches_to_the_running_answer(scenes: Scenes) -> None:
    asked = scenes.asked["middle"]
    assert len(asked.delivery.attempts) == 2
    assert [attempt.status for attempt in asked.delivery.attempts] == [None, 200]
    assert shown(asked.delivery.reply or "") == squeezed(asked.answer)
    assert asked.rest == []
    kept_once(scenes, asked)


def test_the_third_request_gets_what_there_is_and_continue_the_rest(scenes: Scenes) -> None:
    asked = scenes.asked["long"]
    first, second, third = asked.delivery.attempts
    assert (first.status, second.status) == (None, None)
    assert third.reply
    assert third.seconds < 5.0
    assert third.reply.endswith(dialogue.MORE_HINT)
    assert 0 < len(shown(third.reply)) < len(asked.answer)
    assert asked.rest
    assert shown(third.reply, *asked.rest) == squeezed(asked.answer)
    kept_once(scenes, asked)


def test_a_new_question_meanwhile_is_not_swallowed(scenes: Scenes) -> None:
    asked = scenes.asked["hurried"]
    kept = scenes.store.turns(asked.conversation)
    assert [turn["role"] for turn in kept] == ["user", "user", "assistant", "assistant"]
    assert [turn["message_id"] for turn in kept[:2]] == [turn["message_id"] for turn in kept[2:]]
    assert asked.rest[-1] == dialogue.NOTHING_MORE
    # The rest of the first answer says whose it is, though the name holds what would end the reply's CDATA.
    assert any(reply.startswith(dialogue.label(FIRST)) for reply in asked.rest)
    assert shown(asked.delivery.reply or "", *asked.rest) == squeezed("".join(t["content"] for t in kept[2:]))
