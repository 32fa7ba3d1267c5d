"""An engine that says what a test wants, when it wants: for slow, failing and dying engines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from bot.inference.messages import Finished, Prompt


class ScriptedEngine:
    """Answers each prompt with answer(prompt), one character at a time, and remembers the prompts.

    `gate`, while cleared, holds it before the next character; `faults` are raised first, one per stream,
    after half of the answer. `stop` is how its answers end. Its state is everything it has read and said, so
    that a test can see both.
    """

    def __init__(self, answer: Callable[[Prompt], str] = lambda prompt: "好。") -> None:
        self.answer = answer
        self.prompts: list[Prompt] = []
        self.before: list[bytes] = []  # what was read before each question
        self.faults: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: str | None = None
        self.stop = "end"

    model_name = ""

    def load(self, name: str) -> None:
        self.model_name = name

    def about(self, name: str = "") -> dict[str, object]:
        return {}

    def ready(self) -> str | None:
        return self.fault

    def stream(self, prompt: Prompt, cancel: Callable[[], bool]) -> Iterator[str | Finished]:
        self.prompts.append(prompt)
        before = prompt.state if prompt.state else prompt.history()
        self.before.append(before)
        read = before + prompt.tail
        text = self.answer(prompt)
        fault = self.faults.pop(0) if self.faults else None
        for place, character in enumerate(text):
            if fault and place >= len(text) // 2:
                raise fault
            while not self.gate.wait(0.01):
                if cancel():
                    yield Finished(b"", "cancelled")
                    return
            yield character
        yield Finished(read + text.encode() + b"\xff", self.stop)


def question_of(prompt: Prompt) -> str:
    return prompt.tail[1:-1].decode()
