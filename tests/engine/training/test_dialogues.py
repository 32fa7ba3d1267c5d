"""Dialogue files as people have them: each form becomes the same dialogue, and what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.training.dataset import DataError, prepare

ONE = b"\xff\xfd%b\xfe%b\xff" % ("问".encode(), "答".encode())
ASKED, SAID = {"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}
FROM = [{"from": "human", "value": "问"}, {"from": "gpt", "value": "答"}]


def as_lines(*entries: Any) -> bytes:
    return "\n".join(json.dumps(entry) for entry in entries).encode()


@pytest.mark.parametrize(
    "entry",
    [
        {"turns": [ASKED, SAID]},
        {"messages": [ASKED, SAID]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "问"}]}, SAID]},
        {"conversations": FROM},
        {"conversations": [{"from": "user", "value": "问"}, {"from": "assistant", "value": "答"}]},
        {"conversation": FROM},
        FROM,
        {"instruction": "问", "input": "", "output": "答"},
        {"instruction": "问", "output": "答", "text": "Below is an instruction … 问 … 答"},
        {"prompt": "问", "completion": "答"},
        {"prompt": [ASKED], "completion": [SAID]},
        {"prompt": "问", "response": "答"},
        {"question": "问", "answer": "答"},
        {"questions": ["问"], "answer": "答"},
        {"q": "问", "a": "答"},
        {"input": "问", "output": "答"},
    ],
)
def test_each_form_is_the_same_dialogue(entry: Any) -> None:
    assert prepare("a.jsonl", as_lines(entry)) == ONE
    assert prepare("a.json", json.dumps([entry], indent=1).encode()) == ONE  # an array
    assert prepare("A.JSON", json.dumps(entry, indent=1).encode()) == ONE  # one entry over many lines
    assert prepare("a.jsonl", b"\xef\xbb\xbf" + as_lines(entry, entry).replace(b"\n", b"\r\n")) == ONE + ONE


def test_the_rest_of_a_form_is_read_too() -> None:
    alpaca = {
        "system": "甲",
        "instruction": "乙",
        "input": "丙",
        "output": "丁",
        "history": [["问", "答"]],
    }
    want = "\udcff\udcfd甲\n问\udcfe答\udcff\udcfd乙\n丙\udcfe丁\udcff".encode("utf-8", "surrogateescape")
    assert prepare("a.json", as_lines(alpaca)) == want
    talk = [
        {"role": "system", "content": "甲"},
        ASKED,
        SAID,
        {"role": "user", "content": "乙"},
        {"role": "developer", "content": "丙"},
        {"role": "assistant", "content": "丁"},
    ]
    assert prepare("a.jsonl", as_lines({"messages": talk})) == want.replace("\n丙".encode(), "\n丙".encode())
    wordings = prepare("a.jsonl", as_lines({"questions": ["问", "问"], "answer": "答"}))
    assert wordings == ONE + ONE


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"messages": [ASKED, {"role": "assistant", "content": None}]},
            "messages[1].content (assistant) is null",
        ),
        ({"messages": [ASKED, {"role": "assistant"}]}, "messages[1] (assistant) has no content"),
        (
            {"messages": [{"role": "tool", "content": "晴"}]},
            "messages[0].role is 'tool', a role that is not known: there are user (human), assistant (gpt)",
        ),
        (
            {"conversations": [{"from": "观众", "value": "问"}]},
            "conversations[0].from is '观众', a role that is",
        ),
        (
            {"conversations": [{"from": "gpt", "value": 3}]},
            "conversations[0].value (gpt) is 3: it needs a text",
        ),
        ({"turns": ["问", "答"]}, 'turns[0] is no turn: {"role": …, "content": …}'),
        ({"messages": []}, "messages is no list of turns"),
        ({"instruction": "问", "output": "\ud83d"}, "output (assistant) holds half a character (\\ud83d)"),
        ({"prompt": "问", "completion": ""}, "completion (assistant) is empty: it needs a text"),
        ({"question": None, "answer": "答"}, "question (user) is null"),
        ({"questions": [], "answer": "答"}, "questions is empty: it needs a question"),
        ({"text": "a\0b"}, "text holds a zero byte, as no text does"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "holds more than parts of text",
        ),
        (
            {"history": [["问"]], "instruction": "问", "output": "答"},
            "history[0] is no pair of question and answer",
        ),
        ({"title": "题"}, 'has no text and no dialogue in a known form: "text", "messages"'),
    ],
)
def test_what_is_wrong_is_named_by_file_line_field_and_role(entry: Any, message: str) -> None:
    for name, raw in (
        ("a.jsonl", as_lines({"text": "好"}, entry)),
        ("a.json", b"[" + as_lines({"text": "好"}, entry).replace(b"\n", b",\n") + b"]"),
    ):
        with pytest.raises(DataError) as caught:
            prepare(name, raw)
        assert str(caught.value).startswith(f"{name}: line 2: ")
        assert message in str(caught.value)
