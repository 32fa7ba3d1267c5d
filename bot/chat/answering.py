"""How a question is answered: weighed by likelihood, quoted from the library, or written by the model.

    choices, gaps, statements   by what the library says, and by likelihood (text/questions.py)
    续写：…, 写：…               by the model, marked as its own words
    继续                         by the model, where it had to stop at the limit of an answer's bytes
    anything else               from the library, or "not found"; by the model where there is no library

What the library says depends on nothing but the question and the talk, so an answer begun again after a crash
is the same answer. The transcript is the truth for the model too: an answer that it did not write, or that
it wrote without reading the talk, leaves no state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.inference.interface import Engine, EngineDownError
from bot.inference.library import ServedLibrary
from bot.inference.messages import Finished, Prompt
from bot.telemetry import metrics
from bot.text import dialogue, questions
from bot.text.censor import Censor
from bot.text.records import Citation
from engine import END_MARK
from engine.grounding import Answer, weigh_question
from engine.library import LibraryError

log = logging.getLogger(__name__)

FLUSH = 0.05  # seconds between two publications of the text so far
REMEMBERED = 10  # answered questions of the talk that a follow-up may carry on from


@dataclass(frozen=True)
class Question:
    """A message to be answered, with what its answer may need."""

    conversation: str  # its id
    id: str
    text: str
    state: bytes | None  # the model's, after exactly the turns before
    turns: Callable[[], Sequence[Mapping[str, Any]]]  # of the talk, from the store
    publish: Callable[[str], None]  # show the text so far
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class Reply:
    """`remark` is shown behind the text, and the model does not read it."""

    text: str
    stop: str
    state: bytes = b""  # the model's, if it has read exactly the turns before and this text
    remark: str = ""
    citations: tuple[Citation, ...] = ()
    abstained: bool = False
    censored: bool = False  # a word that is never to be said was masked

    @property
    def marks(self) -> tuple[str, ...]:
        """What administrators see beside it in the transcript."""
        unsure = dialogue.UNSURE in self.remark
        found = {"abstained": self.abstained, "unsure": unsure, "censored": self.censored}
        return tuple(mark for mark, holds in found.items() if holds)

    def cut_short(self) -> Reply:
        """Of a text that ended at a limit: its whole sentences, and how one gets the rest."""
        text = dialogue.cut_short(self.text)
        remark = "\n".join(filter(None, (self.remark, dialogue.MORE_HINT)))
        return replace(
            self, text=text, stop="length", state=self.state if text == self.text else b"", remark=remark
        )


class _Asks:
    """Asks the model for likelihoods, and keeps what it said last."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.last: Mapping[str, Any] | None = None

    def __call__(self, kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The model's answer; None where it has none: no contrast to a statement, no way to fill gaps."""
        try:
            self.last = self.engine.likelihood(kind, fields)
        except ValueError as error:
            log.info("%s; answered in another way", error)
            self.last = None
        return self.last


class Answering:
    def __init__(
        self, engine: Engine, library: ServedLibrary | None = None, context_bytes: int = 6000,
        forbidden: Iterable[str] = (), unsure: float = 0.0,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.library = library
        self.context_bytes = context_bytes
        self.forbidden = tuple(forbidden)
        self.unsure = unsure

    def reply(self, question: Question) -> Reply:
        """EngineDownError when it cannot be answered for now; StoreDownError."""
        if dialogue.command(question.text) == "more":
            return self._write_on(question)
        asked = dialogue.free_writing(question.text)
        if asked is not None:
            return self._write_freely(question, asked)
        if self.library is None:
            weighed = self._weigh(question.text)
            return self._show(weighed) if weighed else self._write(question)
        pairs = dialogue.answered(question.turns(), question.id)[-REMEMBERED:]
        history = [
            {"role": role, "content": content}
            for asked, answer in pairs
            for role, content in (("user", asked), ("assistant", answer["content"]))
        ]
        return self._show(self.without_model(question.text, history))

    def without_model(self, text: str, history: Sequence[Mapping[str, str]]) -> Reply:
        """The answer where there is a library: choices and the like weighed, anything else quoted.

        Words that are never to be said stand in it: it is for programs. EngineDownError."""
        try:
            return self._weigh(text) or self._quote(text, history)
        except LibraryError as error:
            raise EngineDownError(f"the library: {error}") from None

    def _weigh(self, text: str) -> Reply | None:
        """Answer a question of choices, gaps or truth by the library and likelihood; None if it is none."""
        asked = questions.read(text)
        if asked is None:
            return None
        asks = _Asks(self.engine)
        found = self._evidence(asked, asks)
        if found:
            return found
        answer = asks.last or asks(asked.kind, asked.engine_fields())
        return Reply(asked.answer_text(answer), asked.kind) if answer else None

    def _evidence(self, asked: questions.LikelihoodQuestion, asks: _Asks) -> Reply | None:
        """What the library says of a question of choices, gaps or truth, with the passage that decides."""
        answerer = self.library.answerer if self.library else None
        if answerer is None:
            return None
        weighed = weigh_question(answerer.shelf, asked.kind, asked.fields, asks)
        if weighed is None:
            return None
        one = weighed.citation
        citation = Citation(one.book, one.heading, one.quote, one.start, one.end)
        return Reply(asked.answer_text(weighed.answer, weighed.quotation), asked.kind, citations=(citation,))

    def _quote(self, text: str, history: Sequence[Mapping[str, str]]) -> Reply:
        """The library's answer to a question."""
        answer = self.ask_library(text, history)
        if answer is None:
            return Reply(dialogue.PREPARING, "library")
        citations = tuple(
            Citation(one.book, one.heading, one.quote, one.start, one.end) for one in answer.citations
        )
        return Reply(answer.text, "library", citations=citations, abstained=answer.abstained)

    def _show(self, reply: Reply) -> Reply:
        """Without the words that are never to be said."""
        hide = Censor(self.forbidden).whole
        citations = tuple(replace(citation, quote=hide(citation.quote)) for citation in reply.citations)
        text = hide(reply.text)
        return replace(reply, text=text, citations=citations, censored=text != reply.text)

    def ask_library(self, text: str, history: Sequence[Mapping[str, str]]) -> Answer | None:
        """What it answers, for the bot and the API alike; None while it is being built. LibraryError."""
        answerer = self.library.answerer if self.library else None
        if answerer is None:
            return None
        began = time.monotonic()
        answer = answerer.answer(text, history)
        metrics.SEARCH.observe(time.monotonic() - began)
        outcome = "abstained" if answer.abstained else "quoted" if answer.citations else answer.kind
        metrics.LIBRARY_ANSWERS.labels(outcome).inc()
        return answer

    def _write(self, question: Question) -> Reply:
        """The model's answer after the talk so far."""

        def read_history() -> bytes:
            history = dialogue.history(question.turns(), question.id, self.context_bytes)
            metrics.PROMPT.inc(len(history))
            return history

        prompt = Prompt(
            state=question.state,
            tail=dialogue.question_bytes(question.text),
            history=read_history,
            seed=dialogue.seed(question.conversation, question.id),
        )
        return self._written(*self._stream(prompt, question, ""))

    def _written(self, raw: str, text: str, last: Finished) -> Reply:
        """The reply of what the model wrote as a turn of the talk."""
        answer, unsure = text.strip() or dialogue.EMPTY_ANSWER, ""
        if text.strip() and 0 < self.unsure < last.bits:
            unsure = dialogue.UNSURE
        # The state has read what the model wrote; where the transcript says otherwise, the transcript is
        # right.
        state = last.state if answer == raw else b""
        reply = Reply(answer, last.finish_reason, state, unsure, censored=self._is_censored(raw))
        return reply.cut_short() if last.finish_reason == "length" else reply

    def _write_on(self, question: Question) -> Reply:
        """What the model writes behind its last answer, which ended at the limit."""
        turns = question.turns()
        pair = dialogue.going_on(turns, question.id)
        if pair is None:  # taken back meanwhile
            return Reply(dialogue.NOTHING_MORE, "end")
        asked, answer = pair
        free = dialogue.free_writing(asked)
        if free is not None:
            written = answer["content"].replace(dialogue.OWN_WORDS, "")
            return self._write_freely(question, dialogue.FreeWriting(free.read + written))
        earlier = [turn for turn in turns if turn["message_id"] != question.id]
        read = dialogue.history(earlier, question.id, self.context_bytes).removesuffix(END_MARK)
        prompt = Prompt(
            state=None,  # it has read the end of the answer
            tail=b"",
            history=lambda: read,
            seed=dialogue.seed(question.conversation, question.id),
        )
        return self._written(*self._stream(prompt, question, ""))

    def _write_freely(self, question: Question, asked: dialogue.FreeWriting) -> Reply:
        """What the model makes of a beginning, in the manner of what it has read. It reads no talk."""
        prompt = Prompt(
            state=None,
            tail=asked.begin,
            history=bytes,
            seed=dialogue.seed(question.conversation, question.id),
        )
        raw, text, last = self._stream(prompt, question, dialogue.OWN_WORDS + asked.shown)
        said = text if raw.strip() else dialogue.EMPTY_ANSWER
        reply = Reply(said, last.finish_reason, censored=self._is_censored(raw))
        return reply.cut_short() if raw.strip() and last.finish_reason == "length" else reply

    def _is_censored(self, text: str) -> bool:
        return Censor(self.forbidden).whole(text) != text

    def _stream(self, prompt: Prompt, question: Question, before: str) -> tuple[str, str, Finished]:
        """Write once, publishing on the way: what the model wrote, what of it is shown behind `before`, and
        how it ended."""
        began = time.monotonic()
        metrics.PROMPT.inc(len(prompt.tail))
        raw = text = ""
        censor = Censor(self.forbidden)
        published, first = began, 0.0  # a short answer is published once, finished
        for event in self.engine.stream(prompt, question.cancelled):
            if isinstance(event, Finished):
                metrics.observe_writing(began, first, time.monotonic(), len(raw.encode()))
                return raw, before + text + censor.flush(), event
            if not isinstance(event, str):
                continue
            first = first or time.monotonic()
            raw += event
            text = (text + censor.push(dialogue.printable(event))).lstrip()
            if text and time.monotonic() - published >= FLUSH:
                question.publish(before + text)
                published = time.monotonic()
        raise EngineDownError("the answer broke off")
