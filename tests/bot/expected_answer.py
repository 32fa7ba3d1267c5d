"""What the service will answer: the model, the history and the dice are known, so its answers are too.

Tests of slow and interrupted answers choose messages whose answers are long or short enough this way.
"""

from __future__ import annotations

import itertools

from bot.settings.config import Settings
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model, chat_sampler
from tests.wechat_platform import Message, Platform

DEFAULTS: Settings = Settings.model_construct()  # whatever this process's environment says
MAX_BYTES: int = DEFAULTS.max_bytes
SAMPLER = chat_sampler(DEFAULTS.sampler, DEFAULTS.temperature)


def expected_answer(
    model: Model,
    conversation: Conversation,
    message_id: str,
    question: str,
    history: bytes = b"",
    longest: int = 10_000,
    max_bytes: int = MAX_BYTES,
) -> str:
    """The answer to a message as it will stand in the transcript, or its first `longest` characters."""
    return _answer_and_end(model, conversation, message_id, question, history, longest, max_bytes)[0]


def message_answered_in(
    characters: range,
    platform: Platform,
    model: Model,
    user: str,
    question: str,
    history: bytes = b"",
    max_bytes: int = MAX_BYTES,
) -> tuple[Message, str]:
    """A message of `user` after `history` whose answer has so many characters and ends by itself, before
    `max_bytes`, so that 继续 has nothing to write on; and that answer."""
    longest = 2 * characters.stop + 50  # more than the answer may have: what is trimmed must not deceive
    talker = Conversation("wechat", user)
    for _ in range(500):
        message = platform.text(user, question)
        message_id = str(message.fields["MsgId"])
        answer, end = _answer_and_end(model, talker, message_id, question, history, longest, max_bytes)
        if len(answer) in characters and end != "length":
            return message, answer
    raise AssertionError(f"no answer of {characters} characters in 500 tries: {question}")


def _answer_and_end(
    model: Model,
    conversation: Conversation,
    message_id: str,
    question: str,
    history: bytes,
    longest: int,
    max_bytes: int,
) -> tuple[str, str | None]:
    session = model.session()
    session.feed(history + dialogue.question_bytes(question))
    dice = dialogue.seed(conversation.id, message_id)
    characters = session.generate(max_bytes=max_bytes, sampler=SAMPLER, seed=dice, stop_at_end=True)
    written = "".join(itertools.islice(characters, longest))
    characters.close()
    answer = dialogue.printable(written).strip() or dialogue.EMPTY_ANSWER
    return dialogue.cut_short(answer) if session.stop_reason == "length" else answer, session.stop_reason
