"""The JSON between web processes and engine hosts, which may be of different versions for a while."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.inference.messages import (
    STREAM_REQUEST,
    Event,
    Failure,
    Finished,
    Read,
    Sampling,
    StreamRequest,
    Token,
    Written,
    from_line,
    to_line,
)
from bot.inference.server import create_engine_app
from bot.settings.config import Settings
from tests.bot.scripted_engine import ScriptedEngine

# As every version has written them.
LINES: list[tuple[Event | Failure, dict[str, Any]]] = [
    ("桂枝", {"text": "桂枝"}),
    (Written("a", (Token(97, -0.5, ((97, -0.5),)),)), {"text": "a", "tokens": [[97, -0.5, [[97, -0.5]]]]}),
    (Read((Token(228, -1.25),)), {"read": [[228, -1.25, []]]}),
    (Read(()), {"read": []}),
    (Finished(b"\xff\xfe>", "end", 1.5), {"state": "//4+", "stop": "end", "bits": 1.5}),
    (Failure("out of order"), {"error": "out of order"}),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_each_event_has_its_line(event: Event | Failure, line: dict[str, Any]) -> None:
    assert json.loads(to_line(event)) == line
    assert from_line(json.dumps(line | {"of_a_later_version": 1}).encode()) == event


def test_an_end_of_an_older_host_says_no_bits() -> None:
    assert from_line(b'{"state": "", "stop": "length"}') == Finished(b"", "length", 0.0)


@given(st.text(), st.floats(max_value=0, allow_nan=False))
def test_a_line_is_one_line_and_keeps_every_digit(text: str, logprob: float) -> None:
    text = text.encode("utf-8", "ignore").decode()
    for event in (text, Written(text, (Token(1, logprob, ((2, logprob),)),)), Failure(text)):
        line = to_line(event)
        assert line.splitlines() == [line[:-1]]
        assert from_line(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "{}", "[]", "3", '{"text": 1}', '{"text": "a", "tokens": [[1]]}', '{"state": "", "bits": 1}',
        '{"state": "!", "stop": "end"}',
    ],
)  # fmt: skip
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line.encode())


def test_a_request_is_as_every_version_has_written_it() -> None:
    sampling = Sampling(5, temperature=0.5, stop=("。",))
    body = STREAM_REQUEST.dump_json(StreamRequest(b"\xff\xfe>", b"", 7, sampling, "tcm"))
    assert json.loads(body) == {
        "state": "//4+", "feed": "", "seed": 7,
        "sampling": {
            "max_bytes": 5, "temperature": 0.5, "top_p": None, "stop": ["。"], "logprobs": None,
            "prompt_logprobs": False,
        },
        "model": "tcm",
    }  # fmt: skip
    assert STREAM_REQUEST.validate_json(body) == StreamRequest(b"\xff\xfe>", b"", 7, sampling, "tcm")
    del (older := json.loads(body))["model"]  # of a web process that names none
    assert STREAM_REQUEST.validate_python(older).model == ""


def test_a_host_says_what_is_wrong_and_never_draws_otherwise_than_asked() -> None:
    client = create_engine_app(Settings(_env_file=None), ScriptedEngine()).test_client()
    good = {"state": None, "feed": "", "seed": 1, "sampling": {"max_bytes": 3}}
    assert client.post("/stream", json=good | {"of_a_later_version": 1}).status_code == 200
    for field, value in (("seed", "x"), ("feed", "!"), ("sampling", {"max_bytes": 3, "top_k": 3})):
        refusal = client.post("/stream", json=good | {field: value})
        assert refusal.status_code == 400
        assert field in refusal.text
