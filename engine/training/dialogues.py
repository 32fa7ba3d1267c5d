"""Entries of files of dialogues and texts, in the forms that people have them, each as documents to be read:

    {"messages": [{"role": "user" | "assistant" | "system", "content": …}, …]}        OpenAI; also "turns"
    {"conversations": [{"from": "human" | "gpt" | "system", "value": …}, …]}          ShareGPT
    {"instruction": …, "input"?: …, "output": …, "system"?: …, "history"?: [[…, …]]}  Alpaca
    {"prompt": …, "completion": …}        each a text, or a list of messages
    {"question" or "questions": …, "answer": …}   as the library has pairs: a dialogue for each wording
    {"text": …}                           no dialogue

The text of a system message is put before the next question, as the bot's API does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from engine.model.special_bytes import ASSISTANT_MARK, END_MARK, USER_MARK

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
_ROLES = {
    "user": USER, "human": USER, "assistant": ASSISTANT, "gpt": ASSISTANT, "chatgpt": ASSISTANT,
    "model": ASSISTANT, "bot": ASSISTANT, "system": SYSTEM, "developer": SYSTEM,
}  # fmt: skip
_TALKS = ("messages", "turns", "conversations", "conversation")
_ROLE, _CONTENT = ("role", "from"), ("content", "value")
_QUESTION = ("question", "questions", "q", "query", "input", "问", "问题")
_ANSWER = ("answer", "a", "response", "output", "答", "答案", "回答")
_OUTPUT = ("output", "response")
_COMPLETION = ("completion", "response")
FORMS = (
    '"text", "messages", "conversations", "turns", "instruction" with "output", "prompt" with "completion", '
    '"question" with "answer"'
)


class EntryError(ValueError):
    """What is wrong with an entry; the message names field and role."""


class Turn(NamedTuple):
    role: str  # user, assistant or system
    text: str


Document = str | tuple[Turn, ...]  # a text, or a dialogue


def documents(entry: object) -> tuple[Document, ...]:
    """What an entry holds: one document, or a dialogue for each wording of its question. EntryError."""
    if isinstance(entry, list):  # a dialogue without a name around it
        return (tuple(_turns("", entry)),)
    if not isinstance(entry, Mapping):
        raise EntryError(f"is no object of JSON: it needs one of {FORMS}")
    talk = _first(entry, _TALKS)
    if talk is not None:
        return (tuple(_turns(talk, entry[talk])),)
    if "instruction" in entry and (output := _first(entry, _OUTPUT)):
        return (_alpaca(entry, output),)
    if "prompt" in entry and (completion := _first(entry, _COMPLETION)):
        return ((*_side("prompt", entry["prompt"], USER), *_side(completion, entry[completion], ASSISTANT)),)
    question, answer = _first(entry, _QUESTION), _first(entry, _ANSWER)
    if question and answer:
        said = Turn(ASSISTANT, _text(answer, entry[answer], ASSISTANT))
        wordings = entry[question] if isinstance(entry[question], list) else [entry[question]]
        if not wordings:
            raise EntryError(f"{question} is empty: it needs a question")
        return tuple((Turn(USER, _text(question, wording, USER)), said) for wording in wordings)
    if "text" in entry:
        return (_text("text", entry["text"], ""),)
    raise EntryError(f"has no text and no dialogue in a known form: {FORMS}")


def frame(document: Document) -> bytes:
    """A text as it is; a dialogue as FD question FE answer, the answers parted by FF."""
    if isinstance(document, str):
        return document.encode()
    parts: list[bytes] = []
    for user, text in sides(document):
        if user and parts:
            parts.append(END_MARK)
        parts += [USER_MARK if user else ASSISTANT_MARK, text.encode()]
    return b"".join(parts)


def sides(dialogue: Sequence[Turn]) -> Iterator[tuple[bool, str]]:
    """Whether the user speaks, and the text: turns of one side that follow each other are one."""
    user, texts = True, list[str]()
    for role, text in dialogue:
        if texts and user == (role == ASSISTANT):
            yield user, "\n".join(texts)
            texts = []
        user = role != ASSISTANT
        texts.append(text)
    yield user, "\n".join(texts)


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in entry), None)


def _alpaca(entry: Mapping[str, Any], output: str) -> tuple[Turn, ...]:
    turns = []
    if entry.get("system"):
        turns.append(Turn(SYSTEM, _text("system", entry["system"], SYSTEM)))
    for place, pair in enumerate(entry.get("history") or ()):
        if not isinstance(pair, list) or len(pair) != 2:
            raise EntryError(f"history[{place}] is no pair of question and answer")
        turns += [
            Turn(role, _text(f"history[{place}]", text, role))
            for role, text in zip((USER, ASSISTANT), pair, strict=True)
        ]
    asked = [_text("instruction", entry["instruction"], USER)]
    if entry.get("input"):
        asked.append(_text("input", entry["input"], USER))
    return *turns, Turn(USER, "\n".join(asked)), Turn(ASSISTANT, _text(output, entry[output], ASSISTANT))


def _side(name: str, value: object, role: str) -> Iterator[Turn]:
    """The turns of a prompt or its completion: a text, or messages."""
    if isinstance(value, list):
        yield from _turns(name, value)
    else:
        yield Turn(role, _text(name, value, role))


def _turns(name: str, value: object) -> Iterator[Turn]:
    if not isinstance(value, list) or not value:
        raise EntryError(f'{name} is no list of turns: [{{"role": …, "content": …}}, …]')
    for place, turn in enumerate(value):
        where = f"{name}[{place}]" if name else f"turn {place + 1}"
        role, content = (
            (_first(turn, _ROLE), _first(turn, _CONTENT)) if isinstance(turn, Mapping) else (None, None)
        )
        if role is None:
            raise EntryError(f'{where} is no turn: {{"role": …, "content": …}}, or "from" and "value"')
        known = _ROLES.get(str(turn[role]).lower())
        if known is None:
            raise EntryError(
                f"{where}.{role} is {turn[role]!r}, a role that is not known: there are user (human), "
                "assistant (gpt) and system"
            )
        if content is None:
            raise EntryError(f"{where} ({turn[role]}) has no content")
        yield Turn(known, _text(f"{where}.{content}", turn[content], str(turn[role])))


def _text(where: str, value: object, role: str) -> str:
    """The text of a field, of which EntryError says what else it is; `role`: whose text it is."""
    said = f"{where} ({role})" if role else where
    if isinstance(value, list):  # parts of a message, as OpenAI has them
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
            raise EntryError(f"{said} is a list that holds more than parts of text")
        value = "\n".join(_text(where, part.get("text"), role) for part in value)
    if value is None:
        raise EntryError(f"{said} is null: it needs a text")
    if not isinstance(value, str):
        raise EntryError(f"{said} is {value!r:.40}: it needs a text")
    if not value and role:
        raise EntryError(f"{said} is empty: it needs a text")
    if half := next((character for character in value if "\ud800" <= character <= "\udfff"), ""):
        raise EntryError(f"{said} holds half a character (\\u{ord(half):04x}), as a cut emoji leaves")
    if "\0" in value:
        raise EntryError(f"{said} holds a zero byte, as no text does")
    return value
