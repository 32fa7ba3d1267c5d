"""The command `plm`: both halves in one, and a doctor that names what is wrong."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result
from standardwebhooks.webhooks import Webhook as Signer

from bot.cli import main
from bot.cli.commands import COMMANDS
from bot.server.embedded_store import EmbeddedStore
from engine.cli.lazy import LazyCommand
from engine.emergency import caution
from tests import small_library
from tests.bot.expected_help import detector
from tests.service import Plm, Service, descendants, free_port, proportional_mb, wait_until
from tests.tiny_model import write_tiny_model


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PLM_") and name != "PLM_ISA":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PLM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PLM_LIBRARY", "none")
    monkeypatch.setenv("PLM_MODEL", str(write_tiny_model(tmp_path / "tiny.safetensors")))


def warning(question: str) -> str:
    return caution(detector().assess(question), question) or pytest.fail("no warning is due")


def plm(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_the_bots_commands_and_the_engines_are_in_one_list() -> None:
    listed = plm("--help").output.split("Commands:")[1]
    commands = re.findall(r"^  (\w+)", listed, re.MULTILINE)
    assert commands == sorted(commands)
    assert {"serve", "web", "engine", "doctor", "chat", "generate", "score", "train"} <= set(commands)


def test_wrong_usage_is_exit_code_2() -> None:
    assert plm("no-such-command").exit_code == 2
    assert plm("serve", "--no-such-option").exit_code == 2


def test_asking_and_looking_after_the_library_that_is_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_library.write(tmp_path / "library")
    file = tmp_path / "plm.toml"
    file.write_text(f'library = "{tmp_path / "library"}"\n')
    monkeypatch.delenv("PLM_LIBRARY")
    monkeypatch.setenv("PLM_CONFIG", str(file))
    assert small_library.HERBS in plm("ask", small_library.FORMULA).output
    assert "PLM_LIBRARY" not in os.environ  # nothing is left behind in this process
    lines = json.dumps({"id": "a", "question": small_library.FORMULA}) + "\n"
    answered = json.loads(CliRunner().invoke(main, ["ask", "--json"], input=lines).output)
    assert answered["sources"][0]["quote"] == small_library.HERBS
    assert json.loads(CliRunner().invoke(main, ["ask", "--json"], input="\ufeff" + lines).output)["id"] == "a"
    for question in ("尿血，不疼", "附子泡酒放几克"):  # what stands before an answer in every other way
        warned = CliRunner().invoke(main, ["ask", "--json"], input=json.dumps({"question": question}))
        assert json.loads(warned.output)["answer"].startswith(warning(question))
        assert plm("ask", question).output.startswith(warning(question))
    wrong = CliRunner().invoke(main, ["ask", "--json"], input=lines + '{"id": 2}\n')
    assert wrong.exit_code == 1
    assert wrong.stderr == 'Error: line 2 is not {"id": …, "question": "…"}\n'
    assert small_library.SHANGHAN in plm("library", "list").output
    assert "PLM_ADMIN_KEY: missing" in plm("library", "unanswered").output
    assert "4 sources" in plm("doctor").output


def test_the_list_of_commands_needs_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_LIBRARY", "/nowhere/at/all")
    assert plm("--help").exit_code == 0
    result = plm("library", "list")
    assert result.exit_code == 1
    assert result.output.startswith("Error: PLM_LIBRARY: ")


def test_doctor_finds_nothing_wrong_with_a_good_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_WECHAT_TOKEN", "AAAAA")
    result = plm("doctor")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["ok"] * 10
    assert "library: none" in result.output
    assert "API: closed" in result.output
    assert "plain mode" in result.output


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PLM_MODEL", "nothing", "WRONG model: PLM_MODEL"),
        ("PLM_REDIS_URL", "redis://127.0.0.1:1/0", "WRONG store: Redis does not answer"),
        ("PLM_ENGINE_URL", "http://127.0.0.1:1", "WRONG model: PLM_ENGINE_URL: http://127.0.0.1:1: "),
        (
            "PLM_ENGINE_URLS",
            "http://a:1",
            "WRONG settings: PLM_ENGINE_URLS: is no more; write PLM_ENGINE_URL",
        ),
        ("PLM_PORT", "x", "WRONG settings: PLM_PORT"),
        ("PLM_ADMIN_KEY", "short-key", "WRONG keys: PLM_ADMIN_KEY"),
        ("PLM_DATA_DIR", "/proc/nothing", "WRONG store: PLM_DATA_DIR"),
        ("PLM_WECHAT_MODE", "safe", "WRONG settings: PLM_WECHAT_AES_KEY"),
    ],
)
def test_doctor_names_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    result = plm("doctor")
    assert result.exit_code == 1
    wrong = [line for line in result.output.splitlines() if line.startswith("WRONG")]
    assert wrong[0].startswith(line)
    assert len(wrong) == (2 if "Redis" in line else 1)  # the clock is the store's


def test_doctor_notes_variables_that_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_WECHAT_TOKNE", "AAAAA")
    output = plm("doctor").output
    assert "PLM_WECHAT_TOKNE is not a setting" in output


def test_a_second_serve_on_one_data_directory_or_port_says_so(tmp_path: Path) -> None:
    model = os.environ["PLM_MODEL"]
    with Service(tmp_path, PLM_MODEL=model) as first:
        wait_until(lambda: f"打开 {first.url}/" in first.output(), what="it says where to open it")
        for settings, line in (
            ({"PLM_DATA_DIR": tmp_path / "data", "PLM_PORT": free_port()}, r"PLM_DATA_DIR: .* is in use by"),
            ({"PLM_DATA_DIR": tmp_path / "other", "PLM_PORT": first.port}, r"PLM_PORT: cannot listen on"),
        ):
            second = Plm(["serve"], tmp_path / "second.log", {"PLM_MODEL": model, **settings})
            assert second.wait() == 1
            assert re.search(line, second.output().splitlines()[-1])
        assert first.stop() == 0


def test_several_processes_answer_as_one_and_add_up_their_numbers(tmp_path: Path) -> None:
    secret = "whsec_" + base64.b64encode(b"s" * 24).decode()
    settings = {"PLM_MODEL": os.environ["PLM_MODEL"], "PLM_PROCESSES": 2, "PLM_WEBHOOK_FORMS_SECRET": secret}
    with Service(tmp_path, PLM_MAX_BYTES=50, **settings) as service:
        body = json.dumps({"user": "u", "text": "桂枝汤？", "id": "7"}).encode()
        when = datetime.datetime.now(datetime.UTC)
        headers = {
            "webhook-id": "m",
            "webhook-timestamp": str(int(when.timestamp())),
            "webhook-signature": Signer(secret).sign("m", when, body.decode()),
        }
        with ThreadPoolExecutor(8) as pool:
            said = [
                pool.submit(requests.post, service.url + "/webhook/forms", body, headers=headers, timeout=30)
                for _ in range(16)
            ]
        assert len({answer.result().json()["reply"] for answer in said}) == 1
        numbers = requests.get(service.url + "/metrics", timeout=5).text
        assert 'plm_messages_total{channel="webhook-forms"} 1.0' in numbers
        assert 'plm_retries_seen_total{channel="webhook-forms"} 15.0' in numbers


def test_a_worker_that_does_not_start_ends_it_and_its_store(tmp_path: Path) -> None:
    settings = {"PLM_MODEL": os.environ["PLM_MODEL"], "PLM_PORT": free_port(), "PLM_DATA_DIR": tmp_path}
    run = Plm(["serve"], tmp_path / "log", settings, patience=["bot.app.create_app=lambda _: 1 / 0"])
    assert run.wait(40) == 1
    assert "ZeroDivisionError" in run.output()
    assert "打开" not in run.output()
    again = EmbeddedStore(tmp_path)
    again.start()
    again.stop()


def test_serve_is_one_process_beside_worker_and_store_and_ends_with_its_terminal(tmp_path: Path) -> None:
    """Together they take less than 150 MB, the pages that they share counted once."""
    with Service(tmp_path, PLM_MODEL=os.environ["PLM_MODEL"]) as service:
        assert service.plm
        pid = service.plm.process.pid
        processes = [pid, *descendants(pid)]
        assert len(processes) == 3
        assert sum(proportional_mb(one) for one in processes) < 150
        os.kill(pid, signal.SIGHUP)
        assert service.plm.wait() == 0
        wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in processes), 5, "all have ended")


def test_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    service = Service(tmp_path, PLM_MODEL=os.environ["PLM_MODEL"])
    with service:
        assert service.plm
        os.killpg(service.plm.process.pid, signal.SIGINT)
        assert service.plm.wait() == 0
        assert "Traceback" not in service.output()


def test_the_web_half_is_light() -> None:
    """Commands of the engine, and what they draw and train with, are not loaded to serve."""
    script = (
        "import sys, bot.cli, bot.server.processes\n"
        "print('matplotlib' in sys.modules, 'engine.cli.train' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_is_listed_with_the_first_sentence_of_its_own_help(command: tuple[str, str, str]) -> None:
    name, place, summary = command
    lazy = LazyCommand(name, place, summary)
    own = lazy.load()
    assert own.name == name
    for width in (40, 80, 400):
        assert lazy.get_short_help_str(width) == own.get_short_help_str(width)


def loaded(script: str) -> set[str]:
    """What a fresh Python has loaded after the script."""
    run = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.rpartition("\n\n")[2].split())


def test_the_list_of_commands_loads_none_of_them() -> None:
    script = "import bot.cli\ntry: bot.cli.main(['--help'])\nexcept SystemExit: print()"
    heavy = {"numpy", "pydantic", "flask", "redis", "requests", "gunicorn", "limits"}
    assert "click" in (here := loaded(script))
    assert not heavy & here
