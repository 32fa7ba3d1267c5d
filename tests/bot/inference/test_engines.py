"""Engines with a real (tiny) model: in process and over HTTP they say the same."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

import engine
from bot.inference.interface import EngineDownError
from bot.inference.local import LOADED, LocalEngine
from bot.inference.messages import Event, Finished, Prompt
from bot.inference.remote import RemoteEngine
from bot.inference.server import create_engine_app
from bot.settings.config import ConfigError, Settings
from bot.text import dialogue
from engine.model.checkpoint import write_model
from engine.model.wygpt import read_published
from tests.bot.scripted_engine import ScriptedEngine
from tests.service import run_in_background
from tests.tiny_model import write_tiny_model

PUBLISHED = Path(__file__).parents[2] / "engine/wygpt/tiny.model"
MAX_BYTES = 90
QUESTION = dialogue.question_bytes("桂枝汤？")
HISTORY = dialogue.turn_bytes("您好", "您好！")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    model = engine.Model.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors"))
    return LocalEngine(model, engine.TopE(), MAX_BYTES)


Serve = Callable[[Flask], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        run_in_background(server)
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def prompt(state: bytes | None = None, history: bytes = HISTORY, seed: int = 7) -> Prompt:
    return Prompt(state, QUESTION, lambda: history, seed)


def test_a_caller_of_a_host_that_hangs_up_ends_the_writing(serve: Serve) -> None:
    engine, ended = ScriptedEngine(), threading.Event()
    engine.gate.clear()

    class Watched:
        ready = engine.ready

        def stream(self, asked: Prompt, cancel: Callable[[], bool]) -> Iterator[Event]:
            try:
                yield from engine.stream(asked, cancel)
            finally:
                ended.set()

    url = serve(create_engine_app(Settings(), Watched()))
    with pytest.raises(requests.Timeout):
        requests.post(url + "/stream", json={"state": None, "feed": "", "seed": 1}, timeout=0.3)
    assert ended.wait(5)


def run(some: LocalEngine | RemoteEngine | ScriptedEngine, asked: Prompt) -> tuple[str, Finished]:
    events = list(some.stream(asked, lambda: False))
    assert isinstance(events[-1], Finished)
    return "".join(event for event in events[:-1] if isinstance(event, str)), events[-1]


def test_a_state_says_the_same_as_the_transcript_it_has_read(local: LocalEngine) -> None:
    session = local.model.session()
    session.feed(HISTORY)
    from_state = run(local, prompt(session.snapshot(), b"not needed"))
    assert from_state == run(local, prompt())
    assert from_state[0] != run(local, prompt(history=b""))[0]


def test_after_an_answer_the_state_has_read_it_and_the_end_mark(local: LocalEngine) -> None:
    text, finished = run(local, prompt())
    session = local.model.session()
    session.feed(HISTORY + QUESTION + text.encode() + engine.END_MARK)
    assert finished.state == session.snapshot()
    assert len(text.encode()) <= MAX_BYTES


def test_a_state_of_another_model_is_not_used(local: LocalEngine, tmp_path: Path) -> None:
    other = engine.Model.load(write_tiny_model(tmp_path / "other.safetensors", seed=1))
    assert run(local, prompt(other.session().snapshot())) == run(local, prompt())
    assert run(local, prompt(b"rubbish")) == run(local, prompt())


def test_a_cancelled_answer_ends_with_what_there_is(local: LocalEngine) -> None:
    slow, said = LocalEngine(local.model, local.sampler, MAX_BYTES, delay=0.05), []
    *pieces, finished = slow.stream(prompt(), lambda: len(said) >= 3 or said.append("asked") is not None)
    assert isinstance(finished, Finished)
    assert finished.finish_reason == "cancelled"
    text = "".join(str(piece) for piece in pieces)
    assert len(text.encode()) < MAX_BYTES / 2
    session = local.model.session()
    session.feed(HISTORY + QUESTION + text.encode() + engine.END_MARK)
    assert finished.state == session.snapshot()


def test_many_answers_at_once_are_those_written_one_by_one(local: LocalEngine) -> None:
    asked = [prompt(seed=seed, history=HISTORY * (seed % 5)) for seed in range(40)]
    with ThreadPoolExecutor(40) as pool:
        together = list(pool.map(lambda one: run(local, one), asked))
    assert together == [run(local, one) for one in asked]


def test_an_engine_without_a_place_says_so(local: LocalEngine) -> None:
    full = LocalEngine(local.model, local.sampler, MAX_BYTES)
    full._batchers[""] = batcher = engine.Batcher(local.model, 1, max_waiting=0, step_seconds=0.1)
    writing = batcher.submit("", 10**6)
    host = create_engine_app(Settings(), full)
    with pytest.raises(EngineDownError, match="busy"):
        run(full, prompt())
    body = {"state": None, "feed": "", "seed": 1}
    assert host.test_client().post("/stream", json=body).status_code == 503
    writing.cancel()


def test_a_host_says_what_the_model_in_this_process_says(local: LocalEngine, serve: Serve) -> None:
    remote = RemoteEngine(serve(create_engine_app(Settings(), local)))
    assert remote.ready() is None
    first = run(remote, prompt())
    assert first == run(local, prompt())
    state = first[1].state
    assert run(remote, prompt(state, seed=8)) == run(local, prompt(state, seed=8))
    remote.close()


def test_a_host_with_another_model_is_sent_the_transcript(
    local: LocalEngine, serve: Serve, tmp_path: Path
) -> None:
    other = engine.Model.load(write_tiny_model(tmp_path / "other.safetensors", seed=1))
    remote = RemoteEngine(serve(create_engine_app(Settings(), local)))
    assert run(remote, prompt(other.session().snapshot())) == run(local, prompt())
    remote.close()


def test_a_host_answers_by_the_model_that_a_request_names(serve: Serve, tmp_path: Path) -> None:
    files = {name: write_tiny_model(tmp_path / f"{name}.safetensors", seed=n) for n, name in enumerate("abc")}
    said = {}
    for name, file in files.items():
        one = LocalEngine(engine.Model.load(file), engine.chat_sampler("top-e", 0.7), MAX_BYTES)
        said[name] = run(one, prompt())
    assert len(set(said.values())) == 3
    settings = Settings(model=str(files["a"]), model_dir=tmp_path, max_bytes=MAX_BYTES, sampler="top-e")
    host = LocalEngine.from_settings(settings)
    url = serve(create_engine_app(settings, host))
    remotes = {name: RemoteEngine(url, name) for name in files}
    for name in "abcab":
        assert run(remotes[name], prompt()) == said[name]
        assert remotes[name].about()["name"] == name
        assert len(host._batchers) <= LOADED
    # A state of another model than the one that is named now is not used.
    remotes["a"].load("b")
    assert run(remotes["a"], prompt(said["a"][1].state)) == said["b"]
    assert remotes["b"].likelihood("score", {"text": "桂枝"}) != remotes["c"].likelihood(
        "score", {"text": "桂枝"}
    )
    with pytest.raises(ConfigError, match="'d'"):
        remotes["a"].load("d")
    assert remotes["a"].model_name == "b"
    stray = RemoteEngine(url, "d")
    assert "'d'" in (stray.ready() or "")
    with pytest.raises(EngineDownError, match="'d'"):
        run(stray, prompt())
    with pytest.raises(EngineDownError, match="'d'"):
        stray.likelihood("score", {"text": "桂枝"})
    assert run(RemoteEngine(url), prompt()) == said["a"]


def test_a_host_that_breaks_off_is_an_absent_engine(serve: Serve) -> None:
    broken = ScriptedEngine(lambda _: "桂枝汤")
    broken.faults = [RuntimeError("out of order")]
    remote = RemoteEngine(serve(create_engine_app(Settings(), broken)))
    with pytest.raises(EngineDownError):
        run(remote, prompt())
    assert run(remote, prompt())[0] == "桂枝汤"
    remote.close()


def test_no_host_at_all_is_an_absent_engine() -> None:
    remote = RemoteEngine("http://127.0.0.1:1")
    assert "127.0.0.1:1" in (remote.ready() or "")
    with pytest.raises(EngineDownError):
        run(remote, prompt())
    remote.close()


@pytest.mark.parametrize(
    "body", [{}, {"state": None, "feed": "!", "seed": 1}, {"state": None, "feed": "", "seed": "x"}, []]
)
def test_a_host_refuses_what_it_cannot_read(local: LocalEngine, body: object) -> None:
    assert create_engine_app(Settings(), local).test_client().post("/stream", json=body).status_code == 400


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16be"])
def test_an_imported_model_without_marks_answers(tmp_path: Path, encoding: str) -> None:
    """In this process and on a host; questions and answers are lines to it, and no answer ends by itself."""
    config, tensors, card = read_published(PUBLISHED, encoding)
    write_model(tmp_path / "his.safetensors", tensors, config, card, "his", "bf16")
    local = LocalEngine(engine.Model.load(tmp_path / "his.safetensors"), engine.Wygpt(), 60)
    client = create_engine_app(Settings(_env_file=None), local).test_client()
    turn = dialogue.question_bytes("何谓阴阳？")
    history = dialogue.turn_bytes("问" * 3000, "答")  # read in pieces, not cut inside a character
    events = list(local.stream(Prompt(None, turn, lambda: history, 1), lambda: False))
    last = events.pop()
    assert isinstance(last, Finished)
    assert last.finish_reason == "length"
    answer = "".join(str(event) for event in events)
    assert 1 < len(answer.encode(encoding)) <= 60
    session = local.model.session()
    session.feed("问" * 3000 + "\n答\n何谓阴阳？\n" + answer + "\n")
    assert last.state == session.snapshot()
    body = {"state": None, "feed": base64.b64encode(history + turn).decode(), "seed": 1}
    lines = [json.loads(line) for line in client.post("/stream", json=body).text.splitlines()]
    assert "".join(line.get("text", "") for line in lines) == answer


def test_a_host_tells_the_card_and_the_likelihood_of_an_answer(local: LocalEngine, serve: Serve) -> None:
    remote = RemoteEngine(serve(create_engine_app(Settings(), local)))
    assert remote.about() == local.about()
    assert remote.about()["parameters"] == local.model.parameters
    *pieces, end = remote.stream(prompt(), lambda: False)
    session = local.model.session()
    session.feed(HISTORY + QUESTION)
    written = "".join(piece for piece in pieces if isinstance(piece, str))
    assert isinstance(end, Finished)
    assert end.bits == pytest.approx(session.bits(written).mean(), rel=1e-6)
    remote.close()
    with pytest.raises(EngineDownError):
        RemoteEngine("http://127.0.0.1:9").about()
