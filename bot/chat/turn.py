"""What becomes of a message, decided once, in one order, for every channel:

    an emergency   help, whatever else holds: found in the whole text, before blocks, limits and the cut
    a block        one polite sentence, then nothing
    nothing to read, or more than is read where the channel can show that before it is sent
    a command      run once; 继续 is bound to the answer that it continues, or is a question: to write on
    a limit        when to ask again
    a question     taken into its conversation's queue

A channel says how the decision goes back: with the response, by a push, or as a stream.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from enum import StrEnum

from bot.context import Bot
from bot.store.connection import StoreDownError
from bot.telemetry import metrics
from bot.text import dialogue
from bot.text.records import Conversation, Message
from engine.emergency import Assessment, Detector, Level, caution, reply

log = logging.getLogger(__name__)

# Characters that are read for an emergency, at 50 µs each: of a longer text each sentence once, then the end.
MAX_HEARD = 20_000
SURE, MIN_SENTENCE = 0.97, 5  # of an over-long text one sentence by itself: how likely, how many characters
_SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]*")


class Outcome(StrEnum):
    EMERGENCY = "emergency"
    BLOCKED = "blocked"
    UNREADABLE = "unreadable"
    NOTICE = "notice"  # a fixed text that answers no text: a greeting, a menu
    COMMAND = "command"
    MORE = "more"
    TOO_LONG = "too long"
    LIMITED = "limited"
    QUEUED = "queued"


@dataclass(frozen=True)
class Decision:
    outcome: Outcome
    reply: str | None = None  # what is said at once, "" for nothing; None: the text of `source` is handed out
    message: Message | None = None  # as it was taken in
    source: str = ""  # the message whose text is handed out: an answer, or an export
    command: str = ""  # its name
    kind: str = ""  # of emergency
    cut: bool = False  # the end of an over-long question was left out

    @property
    def notice(self) -> bool:
        """The disclaimer goes with this answer: it is the first of its conversation."""
        return self.outcome is Outcome.QUEUED and self.message is not None and self.message.notice


class Turn:
    """One message of one user, however often it is sent. `who` is counted for rates, by default the user.
    `instead_of` is the talk's last question, which goes with its answer when this one is let in. Where
    `refuses_long`, a question that is too long is refused; elsewhere its beginning is read."""

    def __init__(
        self, bot: Bot, conversation: Conversation, message_id: str, who: str | None = None, *,
        shown_whole: bool = False, instead_of: str = "", refuses_long: bool = False,
    ) -> None:  # fmt: skip
        """`shown_whole`: the channel shows each answer whole, as soon as it is finished."""
        self.instead_of = instead_of
        self.refuses_long = refuses_long
        self.bot = bot
        self.conversation = conversation
        self.message_id = message_id
        self.who = who
        self.shown_whole = shown_whole
        self.caution = ""  # what stands before the answer, once that is decided

    @property
    def busy(self) -> str:
        """What is said where no answer can be had. The caution needs none."""
        return "\n".join(filter(None, (self.caution, dialogue.BUSY)))

    def decide(self, text: str | None) -> Decision:
        """`text` as it came, of any length; None where it is of a kind that cannot be read.

        Raises StoreDownError, except in an emergency.
        """
        if text is None:
            return self._blocked() or Decision(Outcome.UNREADABLE, dialogue.TEXT_ONLY)
        question = dialogue.clean_question(text)
        command = dialogue.command(question.text)
        # What the bot itself tells people to send is no cry for help: else 忘记我 could come to mean one.
        # What stands behind a command may be one.
        named = None if command else dialogue.slash_command(question.text)
        said = text.split(maxsplit=1)[1] if named else text
        heard = assess(self.bot.detector, said) if command in (None, "search") else None
        if heard and heard.level is Level.EMERGENCY:
            return self._help(heard, text, question.text)
        blocked = self._blocked()
        if blocked is not None:
            return blocked
        if not question.text:
            return Decision(Outcome.UNREADABLE, dialogue.NOTHING_TO_READ)
        if question.cut and self.refuses_long:
            return Decision(Outcome.TOO_LONG, dialogue.QUESTION_TOO_LONG)
        command = command or named
        if command == "more":
            return self._continue(question)
        if command:
            warning = caution(heard, text) if heard and command == "search" else ""
            done = self.bot.commands.run(self.conversation, self.message_id, command, question.text, warning)
            return Decision(Outcome.COMMAND, done.reply, done, done.id, command)
        self.caution = caution(heard, text) if heard else ""
        decision = self._enqueue(question)
        if heard and self.caution and decision.message and decision.message.attempts == 1:
            metrics.EMERGENCIES.labels(heard.level, heard.kind).inc()
        return decision

    def greet(self) -> Decision:
        """To somebody who is new: the same words every time, without the store if need be."""
        blocked = self._blocked()
        if blocked is not None:
            return blocked
        greeting = "\n\n".join(filter(None, (dialogue.WELCOME, self.bot.settings.disclaimer)))
        try:
            nonce = uuid.uuid4().hex
            self.bot.store.run_command(self.conversation, self.message_id, nonce, "greet", greeting)
        except StoreDownError as error:
            log.error("%s: %s", self.conversation.channel, error)
        return Decision(Outcome.NOTICE, greeting)

    def notify(self, text: str) -> Decision:
        """A fixed text, to what is no message: a menu, an event."""
        return self._blocked() or Decision(Outcome.NOTICE, text)

    def whole_reply(self, decision: Decision) -> str | None:
        """What is said at once in a channel that shows answers whole; None if the answer of `source` is
        still to be shown."""
        message = decision.message
        if decision.reply is not None or message is None or decision.outcome is Outcome.QUEUED:
            return decision.reply
        if decision.outcome is Outcome.COMMAND:
            return message.text  # an export
        if message.attempts > 1:  # what the first attempt was to bring may not have arrived
            return None
        if self.bot.store.message(self.conversation, decision.source).status != "done":
            return None
        settled = message.id, "", 0, 0, dialogue.ALREADY_TOLD, False
        return self.bot.store.reply(self.conversation, *settled) or dialogue.ALREADY_TOLD

    def _help(self, heard: Assessment, text: str, question: str) -> Decision:
        """Question and answer go into the transcript, if the store is there."""
        answer = reply(heard, text)
        args = self.message_id, uuid.uuid4().hex, question, answer
        first = True
        try:
            message = self.bot.store.add_answered(self.conversation, *args, emergency=True)
            first = message.attempts == 1
            if first:
                self.bot.answers.days.count(self.conversation, "questions", "emergencies")
        except StoreDownError as error:
            metrics.STORE_DOWN.inc()
            log.error("%s: an emergency: %s", self.conversation.channel, error)
        if first:
            metrics.EMERGENCIES.labels(heard.level, heard.kind).inc()
        return Decision(Outcome.EMERGENCY, answer, kind=heard.kind)

    def _take_back(self) -> None:
        """The question that this one stands for, with its answer; once, if it is the talk's last."""
        self.bot.store.undo(
            self.conversation, f"{self.message_id}-instead", uuid.uuid4().hex, dialogue.UNDONE,
            dialogue.NOTHING_TO_UNDO, self.instead_of,
        )  # fmt: skip

    def _blocked(self) -> Decision | None:
        refusal = self.bot.limits.blocked(self.conversation, self.message_id)
        return None if refusal is None else Decision(Outcome.BLOCKED, refusal)

    def _refusal(self) -> Decision | None:
        refusal = self.bot.limits.refusal(self.conversation, self.message_id, self.who)
        return None if refusal is None else Decision(Outcome.LIMITED, refusal)

    def _enqueue(self, question: dialogue.Question) -> Decision:
        refused = self._refusal()
        if refused:
            return refused
        if self.instead_of:
            self._take_back()
        message = self.bot.answers.enqueue(self.conversation, self.message_id, question.text, self.caution)
        return Decision(Outcome.QUEUED, None, message, message.id, cut=question.cut)

    def _continue(self, question: dialogue.Question) -> Decision:
        counted = False
        while True:
            nonce = uuid.uuid4().hex
            wish = self.bot.store.continue_answer(self.conversation, self.message_id, nonce, self.shown_whole)
            if wish.kind != "write-on":
                said = wish.reply if wish.source else dialogue.NOTHING_MORE
                return Decision(Outcome.MORE, said, wish, wish.source, "more")
            refused = None if counted else self._refusal()
            if refused:
                return refused
            counted = True
            message = self.bot.answers.enqueue(
                self.conversation, self.message_id, question.text, after=wish.source
            )
            if message.kind == "ask":
                return Decision(Outcome.QUEUED, None, message, message.id, cut=question.cut)
            # Another message has come in between: what is to go on is another answer now.


def assess(detector: Detector, text: str) -> Assessment:
    """Of a text as it came, which may hold half characters and be as long as a request may be."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) > MAX_HEARD:
        text = "".join(dict.fromkeys(_SENTENCE.findall(text)))
    if len(text) > MAX_HEARD:
        text = text[: MAX_HEARD // 2] + text[-MAX_HEARD // 2 :]
    heard = detector.assess(text)
    if len(text) > dialogue.MAX_QUESTION and heard.level is not Level.EMERGENCY:
        # Its end is not read by the model, and one sentence can drown among hundreds: each is heard alone.
        for sentence in _SENTENCE.findall(text):
            alone = detector.assess(sentence)
            if alone.level is Level.EMERGENCY and alone.score >= SURE and len(sentence) >= MIN_SENTENCE:
                return alone
    return heard
