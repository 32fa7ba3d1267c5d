"""How written text becomes OpenAI's answers, whole and in chunks: the form of a chat, and of a completion.

A token is a byte. One that is no character by itself is named as OpenAI names such tokens: `bytes:\\xe6`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from bot.inference.messages import Event, Finished, Read, Token, Written


class Choice:
    """One text as it grows; `take` returns what has come: text, and its tokens if they are told."""

    def __init__(self, echo: str = "") -> None:
        self.text = ""
        self.tokens: list[Token] = []
        self.finish_reason: str | None = None  # once it has ended
        self.size = 0  # bytes written
        self._echo = echo

    def take(self, event: Event) -> tuple[str, tuple[Token, ...]]:
        text = self._echo
        tokens: tuple[Token, ...] = ()
        self._echo = ""
        if isinstance(event, Finished):
            self.finish_reason = "stop" if event.finish_reason in ("end", "stop") else "length"
        elif isinstance(event, Read):
            tokens = event.tokens
        else:
            written = event if isinstance(event, str) else event.text
            tokens = event.tokens if isinstance(event, Written) else ()
            self.size += len(written.encode())
            text += written
        self.text += text
        self.tokens += tokens
        return text, tokens


class Form:
    """What both kinds of answers have in common. `prompt_tokens`: bytes read; `logprobs`: they are told;
    `more`: fields beside the choices, in every chunk too."""

    KIND: ClassVar[str]
    CHUNK: ClassVar[str]
    PREFIX: ClassVar[str]

    def __init__(
        self, model: str, prompt_tokens: int, logprobs: bool, more: dict[str, Any] | None = None
    ) -> None:
        self.model, self.prompt_tokens, self.logprobs = model, prompt_tokens, logprobs
        self.choices: dict[int, Choice] = {}
        self._head: dict[str, Any] = {
            "id": self.PREFIX + uuid.uuid4().hex,
            "created": int(time.time()),
            "model": model,
        }
        self._head |= more or {}

    def whole(self, events: Iterable[tuple[int, Event]]) -> dict[str, Any]:
        for number, event in events:
            self._choice(number).take(event)
        rows = [
            {
                "index": number,
                **self._text(choice.text),
                "logprobs": self._logprobs(number, choice.tokens) if self.logprobs else None,
                "finish_reason": choice.finish_reason,
            }
            for number, choice in sorted(self.choices.items())
        ]
        return {**self._head, "object": self.KIND, "choices": rows, "usage": self._usage()}

    def chunks(self, events: Iterable[tuple[int, Event]], with_usage: bool) -> Iterator[dict[str, Any]]:
        none: dict[str, Any] = {"usage": None} if with_usage else {}
        for number, event in events:
            if number not in self.choices:
                yield from (self._chunk(number, delta) | none for delta in self._opening())
            choice = self._choice(number)
            text, tokens = choice.take(event)
            if text or tokens:
                logprobs = self._logprobs(number, tokens) if self.logprobs else None
                yield self._chunk(number, self._piece(text), logprobs) | none
            if choice.finish_reason:
                yield self._chunk(number, self._piece(None), finish_reason=choice.finish_reason) | none
        if with_usage:
            yield {**self._head, "object": self.CHUNK, "choices": [], "usage": self._usage()}

    def _chunk(
        self, number: int, piece: dict[str, Any], logprobs: Any = None, finish_reason: str | None = None
    ) -> dict[str, Any]:
        row = {"index": number, **piece, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self._head, "object": self.CHUNK, "choices": [row]}

    def _choice(self, number: int) -> Choice:
        if number not in self.choices:
            self.choices[number] = Choice(self._echo(number))
        return self.choices[number]

    def _usage(self) -> dict[str, int]:
        written = sum(choice.size for choice in self.choices.values())
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
        }

    def _echo(self, number: int) -> str:
        return ""

    def _opening(self) -> Iterable[dict[str, Any]]:
        return ()

    def _text(self, text: str) -> dict[str, Any]:
        raise NotImplementedError

    def _piece(self, text: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def _logprobs(self, number: int, tokens: Iterable[Token]) -> dict[str, Any]:
        raise NotImplementedError


class ChatForm(Form):
    """`annotations` are those of its one text, where that quotes; streamed, they come with its end."""

    KIND, CHUNK, PREFIX = "chat.completion", "chat.completion.chunk", "chatcmpl-"

    def __init__(
        self, model: str, prompt_tokens: int, logprobs: bool, more: dict[str, Any] | None = None,
        annotations: Sequence[dict[str, Any]] = (),
    ) -> None:  # fmt: skip
        super().__init__(model, prompt_tokens, logprobs, more)
        self.annotations = list(annotations)

    def _opening(self) -> Iterable[dict[str, Any]]:
        return [{"delta": {"role": "assistant", "content": "", "refusal": None}}]

    def _text(self, text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None, "annotations": self.annotations}
        return {"message": message}

    def _piece(self, text: str | None) -> dict[str, Any]:
        if text is None:
            return {"delta": {"annotations": self.annotations} if self.annotations else {}}
        return {"delta": {"content": text}}

    def _logprobs(self, number: int, tokens: Iterable[Token]) -> dict[str, Any]:
        def row(byte: int, logprob: float) -> dict[str, Any]:
            return {"token": name(byte), "logprob": logprob, "bytes": [byte]}

        content = [
            {**row(token.byte, token.logprob), "top_logprobs": [row(*other) for other in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}


class TextForm(Form):
    """`prompts` are the texts to begin with, if they are wanted, each for `n` choices."""

    KIND, CHUNK, PREFIX = "text_completion", "text_completion", "cmpl-"

    def __init__(
        self, model: str, prompt_tokens: int, logprobs: bool, prompts: list[str] | None, n: int
    ) -> None:
        super().__init__(model, prompt_tokens, logprobs)
        self._prompts, self._n = prompts, n
        self._characters: dict[int, int] = {}  # how many of each choice the tokens have begun so far

    def _echo(self, number: int) -> str:
        return self._prompts[number // self._n] if self._prompts else ""

    def _text(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _piece(self, text: str | None) -> dict[str, Any]:
        return {"text": text or ""}

    def _logprobs(self, number: int, tokens: Iterable[Token]) -> dict[str, Any]:
        names, logprobs, top, offsets = [], [], [], []
        begun = self._characters.get(number, 0)
        for token in tokens:
            begun += token.byte & 0xC0 != 0x80  # not a continuation byte of UTF-8
            names.append(name(token.byte))
            logprobs.append(token.logprob)
            others = {name(byte): logprob for byte, logprob in token.top}
            top.append(others | {name(token.byte): token.logprob} if others else None)
            offsets.append(begun - 1)
        self._characters[number] = begun
        return {
            "tokens": names,
            "token_logprobs": logprobs,
            "top_logprobs": None if None in top else top,
            "text_offset": offsets,
        }


def name(byte: int) -> str:
    return chr(byte) if byte < 0x80 else f"bytes:\\x{byte:02x}"
