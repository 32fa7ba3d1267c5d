"""Labelled messages: JSON lines {"text", "label", "kind"}, in messages/ and in files of the owner's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from engine.emergency.normalize import normalize

LABELS = ("emergency", "none", "toxic_dose")


@dataclass(frozen=True)
class Message:
    text: str
    label: str
    kind: str


def bundled_files() -> list[Path]:
    """The files of messages/, by name."""
    return sorted(Path(str(files(__package__) / "messages")).glob("*.jsonl"))


def read_messages(paths: Iterable[Path]) -> list[Message]:
    """All messages; of those that say the same, the first. Raises ValueError with file and line."""
    found: dict[str, Message] = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                message = _message(line, f"{path}:{number}")
                found.setdefault(normalize(message.text), message)
    return list(found.values())


def digest(messages: Iterable[Message]) -> str:
    """sha256 over the labels and texts, in order."""
    lines = (f"{message.label}\t{message.kind}\t{message.text}\n" for message in messages)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _message(line: str, place: str) -> Message:
    """Also reads {"text", "emergency": true or false, "kind"}."""
    try:
        row = json.loads(line)
        kind = str(row.get("kind", ""))
        label = row.get("label") or _label(bool(row["emergency"]), kind)
        message = Message(str(row["text"]), label, kind)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(f'{place}: no message {{"text", "label", "kind"}}') from None
    if message.label not in LABELS or not message.text.strip():
        raise ValueError(f"{place}: the label is one of {', '.join(LABELS)}, the text not empty")
    return message


def _label(emergency: bool, kind: str) -> str:
    return "emergency" if emergency else "toxic_dose" if kind == "toxic_dose" else "none"
