"""The engine's commands, as they are typed: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from engine import Model, TopK, _core, _ops
from engine.cli import main
from engine.emergency import Detector, caution, reply
from engine.inference import benchmark
from tests.tiny_model import write_tiny_model

TEXT = "陰陽者，天地之道也。"


def plm(*args: str | Path, stdin: bytes | str | None = None) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)


def refuse(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
    if code == 1:
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


def test_generate_prints_what_the_session_writes(model_path: Path) -> None:
    options = [
        "--prompt",
        TEXT,
        "--sampler",
        "top-k",
        "--temperature",
        "0.5",
        "--seed",
        "3",
        "--max-bytes",
        "40",
    ]
    result = plm("generate", model_path, *options)
    session = Model.load(model_path).session()
    session.feed(TEXT)
    assert result.stdout == "".join(session.generate(40, TopK(temperature=0.5), seed=3)) + "\n"
    assert (result.exit_code, result.stderr) == (0, "")


def test_score_reads_a_file_and_standard_input(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    result = plm("score", model_path, tmp_path / "text", "--json")
    figures = json.loads(result.stdout)
    assert set(figures) == {"bytes", "bits_per_byte", "seconds", "bytes_per_second"}
    assert figures["bytes"] == len(TEXT.encode())
    assert figures["bits_per_byte"] == Model.load(model_path).score(TEXT).bits_per_byte
    piped = json.loads(plm("score", model_path, "-", "--json", stdin=TEXT).stdout)
    assert piped["bits_per_byte"] == figures["bits_per_byte"]
    assert (
        f"{figures['bits_per_byte']:.4f} bits per byte over 30 bytes"
        in plm("score", model_path, "-", stdin=TEXT).stdout
    )


def test_score_counts_answers_alone(model_path: Path, tmp_path: Path) -> None:
    turns = [
        ("user", "何谓阴阳？"),
        ("assistant", "天地之道。"),
        ("user", "何谓？"),
        ("assistant", "万物纲纪。"),
    ]
    line = json.dumps({"turns": [{"role": role, "content": text} for role, text in turns]})
    (tmp_path / "d.jsonl").write_text(line, encoding="utf-8")
    session, bits, count = Model.load(model_path).session(), 0.0, 0
    for role, text in turns:
        data = (b"\xff" if count and role == "user" else b"") + (b"\xfd" if role == "user" else b"\xfe")
        session.feed(data if role == "assistant" else data + text.encode())
        if role == "assistant":
            bits, count = bits + session.score(text), count + len(text.encode()) + 1
            bits += session.fork().score(b"\xff")
    figures = json.loads(plm("score", model_path, tmp_path / "d.jsonl", "--answers", "--json").stdout)
    assert figures["bytes"] == count
    assert figures["bits_per_byte"] == pytest.approx(bits / count, abs=1e-6)
    whole = json.loads(plm("score", model_path, tmp_path / "d.jsonl", "--json").stdout)
    assert whole["bytes"] > count
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    refuse(plm("score", model_path, tmp_path / "a.txt", "--answers"), 1, "a.txt: has no answers")
    write_tiny_model(tmp_path / "bf16", dtype="bf16")
    plm("quantize", tmp_path / "bf16", tmp_path / "int8", "--valid", tmp_path / "d.jsonl")
    card = Model.load(tmp_path / "int8").info()["card"]["int8_bits_per_byte"]
    assert set(card) == {"d.jsonl", "d.jsonl (answers)"}


def test_score_takes_a_text_that_was_cut_within_a_character(model_path: Path) -> None:
    cut = ("黃帝問曰" * 3).encode()[:-1]
    result = plm("score", model_path, "-", "--json", stdin=cut)
    assert (json.loads(result.stdout)["bytes"], result.stderr) == (len(cut), "")


def test_score_refuses_bytes_that_are_no_text(model_path: Path) -> None:
    refuse(plm("score", model_path, "-", stdin=b"\xfd\xfe\xc0"), 1, "standard input: no text in UTF-8")


def test_info_shows_the_card(model_path: Path) -> None:
    shown = plm("info", model_path).stdout
    for fact in ("name", "tiny", "parameters", "config.width", "random weights, for tests"):
        assert fact in shown
    facts = json.loads(plm("info", model_path, "--json").stdout)
    assert facts["card"] == {"note": "random weights, for tests"}


def test_quantize_writes_a_model_that_works(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "bf16", dtype="bf16")
    result = plm("quantize", tmp_path / "bf16", tmp_path / "int8")
    assert result.exit_code == 0
    assert Model.load(tmp_path / "int8").dtype == "int8"
    refuse(plm("quantize", tmp_path / "int8", tmp_path / "again"), 1, "is int8 already")
    (tmp_path / "held.txt").write_text("阴阳者，天地之道也。", encoding="utf-8")
    plm("quantize", tmp_path / "bf16", tmp_path / "measured", "--valid", tmp_path / "held.txt")
    figures = Model.load(tmp_path / "measured").info()["card"]["int8_bits_per_byte"]
    bits = Model.load(tmp_path / "measured").score((tmp_path / "held.txt").read_bytes()).bits_per_byte
    assert figures == {"held.txt": pytest.approx(bits, abs=1e-4)}
    refuse(plm("quantize", tmp_path / "bf16", tmp_path / "no" / "int8"), 1, "there is no folder")


def test_quantize_and_convert_write_over_nothing(tmp_path: Path) -> None:
    model, text = write_tiny_model(tmp_path / "m.safetensors", dtype="bf16"), tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    (tmp_path / "link").symlink_to(model)
    before = model.read_bytes()
    for out in (model, tmp_path / "link"):
        refuse(plm("quantize", model, out), 1, "is read by this command")
    refuse(plm("quantize", model, text, "--valid", text), 1, "is read by this command")
    refuse(plm("quantize", model, text), 1, "exists and is no model")
    refuse(plm("convert", "wygpt", text, text), 1, "is read by this command")
    refuse(plm("convert", "wygpt", model, text), 1, "exists and is no model")
    assert (model.read_bytes(), text.read_text(encoding="utf-8")) == (before, TEXT)


def test_bench_prints_the_promised_figures(model_path: Path) -> None:
    figures = json.loads(plm("bench", "--model", model_path, "--json", "--seconds", "0.02").stdout)
    rate = {"bytes_per_second", "floor_share"}
    assert set(figures) == {
        "device", "isa", "peak", "one_stream", "streams", "two_cores", "prefill", "first_byte_ms",
        "load_seconds", "snapshot_bytes", "snapshot_us", "restore_us", "rss_mb",
    }  # fmt: skip
    assert set(figures["one_stream"]) == rate
    assert list(figures["streams"]) == ["1", "8", "32", "64", "256"]
    for figure in (figures["one_stream"], *figures["streams"].values()):
        assert set(figure) == rate
        assert figure["bytes_per_second"] > 0
        assert 0 < figure["floor_share"] < 1
    assert figures["two_cores"] is None or figures["two_cores"]["times_one"] > 0
    for took in figures["first_byte_ms"].values():
        assert 0 < took["median"] <= took["p99"]
    assert 1 < figures["rss_mb"] < 200
    assert figures["snapshot_bytes"] == len(Model.load(model_path).session().snapshot())
    shown = plm("bench", "--model", model_path, "--seconds", "0.02").stdout
    assert "batch of 64" in shown
    assert "first byte, beside 32" in shown


def test_the_floor_counts_what_steps_read_and_multiply(model_path: Path) -> None:
    """By hand: two Chinese characters and a letter beside a letter, a comma and a Chinese one."""
    model = Model.load(model_path)
    trunk, head = model.config.step_weights
    work = benchmark._work(model, [["陰".encode(), b"a", "陽".encode()], [b"b", b",", "陽".encode()]])
    assert (work.trunk_passes, work.patches) == (3, 6)
    assert (work.head_passes, work.bytes) == (3 + 1 + 3, 7 + 5)
    slow_read, slow_sums = benchmark.Peak(1e30, 1.0), benchmark.Peak(1.0, 1e30)
    assert work.floor_seconds(model, slow_read) == 3 * trunk + 7 * head
    assert work.floor_seconds(model, slow_sums) == 6 * trunk + 12 * head
    assert benchmark._work(model, [[b"x"]] * 65).trunk_passes == 2


@pytest.mark.parametrize("isa", _ops.kernels_supported())
def test_the_kernels_stay_below_the_measured_peak(isa: str) -> None:
    multiply_adds, read = _core.measure_peak(isa, 1 << 20, 0.05)
    a, b = np.ones((64, 256), np.int8), np.ones((256, 256), np.int8)
    kernel = a.size * 256 / min(_ops.matmul_i8_seconds(isa, a, b, 1, 20) for _ in range(20))
    assert 0 < kernel < 1.1 * multiply_adds
    assert 1e9 < read < 1e12


def test_the_peak_of_a_foreign_instruction_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such instruction set"):
        _core.measure_peak("abacus", 100, 0.01)


def test_chat_answers_each_line_and_remembers(model_path: Path) -> None:
    options = ["--seed", "5", "--max-bytes", "30"]
    once = plm("chat", model_path, *options, stdin="何謂陰陽\n").stdout
    twice = plm("chat", model_path, *options, stdin="何謂陰陽\n\n何謂陰陽\n").stdout
    again = plm("chat", model_path, *options, stdin="何謂陰陽\n/new\n何謂陰陽\n").stdout
    assert twice.startswith(once)
    assert twice != once + once
    assert again == f"{once}A new conversation.\n{once}"
    assert "Ctrl-D ends" in plm("chat", model_path, stdin="/help").stdout


def test_chat_goes_on_with_a_long_answer_and_ends_when_told(model_path: Path) -> None:
    options = "--seed", "5", "--sampler", "greedy"
    whole, first = (
        plm("chat", model_path, *options, "--max-bytes", size, stdin="何謂陰陽\n").stdout.replace("\n", "")
        for size in ("60", "30")
    )
    parts = plm("chat", model_path, *options, "--max-bytes", "30", stdin="何謂陰陽\n/more\n")
    both = parts.stdout.replace("\n", "")
    assert whole.startswith(both)
    assert len(both) > len(first)
    assert "/more goes on" in parts.stderr
    none = plm("chat", model_path, stdin="/more\n").stdout
    assert none == "The answer was at its end.\n"
    for word in ("/exit", "/quit", "exit", "QUIT"):
        assert plm("chat", model_path, stdin=f"{word}\n何謂陰陽\n").stdout == ""


def test_chat_hears_an_emergency_and_warns_of_poison(model_path: Path) -> None:
    urgent, toxic = "我爸爸突然胸痛，出冷汗，喘不上气", "砒霜怎么吃"
    detector = Detector.load()
    said = plm("chat", model_path, "--seed", "5", "--max-bytes", "30", stdin=f"{urgent}\n{toxic}\n").stdout
    help_now = reply(detector.assess(urgent), urgent) + "\n"
    warning = caution(detector.assess(toxic), toxic) + "\n"
    assert len(help_now) > 20
    assert said.startswith(help_now + warning)
    assert len(said) > len(help_now + warning)


def test_the_default_model_is_PLM_MODEL(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_MODEL", str(model_path))
    assert plm("chat", "--seed", "5", stdin="x\n").exit_code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["info", "nowhere"], ["no model 'nowhere'"]),
        (["score", "{model}", "nowhere.txt"], ["nowhere.txt: No such file"]),
        (["score", "{model}", "."], [".: Is a directory"]),
        (["info", "{foreign}"], ["foreign", "not a safetensors file"]),
        (["generate", "{foreign}", "--prompt", "x"], ["foreign", "not a safetensors file"]),
    ],
)
def test_failures_are_one_line_and_code_1(
    model_path: Path, tmp_path: Path, args: list[str], words: list[str]
) -> None:
    (tmp_path / "foreign").write_bytes(b"PK" * 99)
    names = {"{model}": str(model_path), "{foreign}": str(tmp_path / "foreign")}
    refuse(plm(*(names.get(arg, arg) for arg in args)), 1, *words)


def test_every_PLM_ISA_writes_the_same(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = set()
    for isa in _ops.kernels_supported():
        monkeypatch.setenv("PLM_ISA", isa)
        assert isa in plm("info", model_path).stdout
        written.add(plm("generate", model_path, "--prompt", "何", "--seed", "1").stdout)
    assert len(written) == 1
    for isa in set(_ops.kernels_compiled()) - set(_ops.kernels_supported()):
        monkeypatch.setenv("PLM_ISA", isa)
        refuse(plm("generate", model_path, "--prompt", "何"), 1, "PLM_ISA: this CPU lacks the", isa)


def test_a_wrong_PLM_ISA_is_named(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_ISA", "mmx")
    refuse(plm("info", model_path), 1, "PLM_ISA: ", "mmx")


@pytest.mark.parametrize(
    "args",
    [
        ["generate"],
        ["generate", "{model}"],
        ["generate", "{model}", "--prompt", "x", "--sampler", "best"],
        ["generate", "{model}", "--prompt", "x", "--temperature", "-1"],
        ["generate", "{model}", "--prompt", "x", "--max-bytes", "-1"],
        ["score", "{model}"],
        ["quantize", "{model}"],
        ["sing"],
    ],
)
def test_wrong_usage_is_code_2(model_path: Path, args: list[str]) -> None:
    refuse(plm(*(str(model_path) if arg == "{model}" else arg for arg in args)), 2, "Usage: ")


def test_a_reader_that_leaves_is_no_traceback(model_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "engine.cli",
        "generate",
        model_path,
        "--prompt",
        "x",
        "--max-bytes",
        "100000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 1
