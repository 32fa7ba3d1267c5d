"""`plm train` as it is typed: training, fine-tuning a model, wrong use, and runs that are cut short."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import Model
from engine.cli.train import PASSES, train
from engine.model.checkpoint import quantize_model, read_model
from engine.training.pairs import known
from engine.training.recipe import Recipe
from engine.training.rehearsal import rehearsal_text
from tests.service import ROOT
from tests.tiny_model import write_tiny_model

PHRASE = "太阳之为病，脉浮，头项强痛而恶寒。桂枝三两，芍药三两，甘草二两，生姜三两，大枣十二枚。in 12 of 30\n"
Command = Callable[..., Result]


@pytest.fixture
def plm_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`plm train` in a folder with a text `a.txt`; the program writes less for rehearsal than it would."""
    monkeypatch.setenv("PLM_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.cli.train.rehearsal_text", partial(rehearsal_text, size=4096))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(PHRASE * 30, encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(train, [str(a) for a in arguments])


def refuse(result: Result, code: int, message: str) -> None:
    assert (result.exit_code, message in result.output) == (code, True), result.output
    assert code == 2 or result.output.count("\n") == 1, result.output


NEW = ("--config", "tiny", "--data", "a.txt", "--out", "m.safetensors")


def test_it_trains_and_goes_on(plm_train: Command) -> None:
    result = plm_train(*NEW, "--steps", 3, "--valid", "a.txt")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["steps"] == 3
    assert read_model("m.safetensors").name == "m"
    assert plm_train(*NEW, "--steps", 5, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("a.txt", (), "is read by this command"),
        ("link", (), "is read by this command"),
        ("v.txt", ("--valid", "v.txt"), "is read by this command"),
        ("notes.txt", (), "exists and is no model"),
        ("m.png", (), "is where the picture of the losses goes"),
        ("n.safetensors", (), "n.png: exists and is no picture"),
        ("nowhere/m.safetensors", (), "there is no folder nowhere"),
    ],
)
def test_nothing_is_written_over(
    plm_train: Command, tmp_path: Path, out: str, options: tuple[str, ...], message: str
) -> None:
    for name in ("v.txt", "notes.txt", "n.png"):
        (tmp_path / name).write_text(PHRASE, encoding="utf-8")
    (tmp_path / "link").symlink_to("a.txt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refuse(plm_train("--config", "tiny", "--data", "a.txt", "--out", out, "--steps", 1, *options), 1, message)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_progress_shows_speed_and_roofline(plm_train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.run.REPORT_SECONDS", 0.0)
    lines = plm_train(*NEW, "--steps", 2).output.splitlines()
    progress = next(line for line in lines if line.startswith("step 1 "))
    for part in ("bits/byte", "kB/s", "% of the roofline", "ETA"):
        assert part in progress


class TestFineTuning:
    @pytest.fixture(autouse=True)
    def _models(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "models"
        folder.mkdir()
        monkeypatch.setenv("PLM_MODEL_DIR", str(folder))
        write_tiny_model(folder / "own-bf16.safetensors", dtype="bf16", name="own")
        quantize_model(folder / "own-bf16.safetensors", folder / "own.safetensors")

    def test_a_name_a_text_and_a_time_are_enough(self, plm_train: Command) -> None:
        result = plm_train("--init", "own", "--data", "a.txt", "--minutes", 0.001)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout.splitlines()[-1])["model"] == "own-a-bf16.safetensors"
        tuned = read_model("own-a-bf16.safetensors")
        assert tuned.config == Model.load("own").config
        assert tuned.card["note"] == "random weights, for tests"
        (stage,) = tuned.card["stages"]
        assert [entry["file"].partition(" (")[0] for entry in stage["data"]] == ["a.txt", "written by own"]
        assert stage["mix"] == [0.5, 0.5]
        assert stage["recipe"]["rate"] < Recipe().rate
        assert stage["recipe"]["final"] == 0.0

    def test_it_learns_more_than_it_forgets(self, plm_train: Command) -> None:
        """The random weights know nothing, but what they would write is theirs to keep."""
        before = Model.load("own").score(PHRASE).bits_per_byte
        assert plm_train("--init", "own", "--data", "a.txt", "--steps", 60).exit_code == 0
        assert Model.load("own-a-bf16.safetensors").score(PHRASE).bits_per_byte < 0.9 * before

    def test_what_would_forget_too_much_is_taken_in_part(self, plm_train: Command) -> None:
        arguments = ("--init", "own", "--data", "a.txt", "--rehearse", 0.1, "--steps", 40)
        assert "% of the change, so that own keeps" in plm_train(*arguments, "--rate", 0.05).output
        (stage,) = read_model("own-a-bf16.safetensors").card["stages"]
        assert 0 < stage["share_of_change"] < 1
        (file,) = Path("cache/texts").glob("written-*")
        kept = file.read_bytes()[: 4096 // 16]
        old, new = (Model.load(name).score(kept).bits_per_byte for name in ("own", "own-a-bf16.safetensors"))
        assert old < new < 1.05 * old

    @pytest.mark.parametrize(("option", "mix"), [((), [0.5, 0.5]), (("--rehearse", "0.2"), [0.8, 0.2])])
    def test_the_share_of_rehearsal(
        self, plm_train: Command, option: tuple[str, ...], mix: list[float]
    ) -> None:
        assert plm_train("--init", "own", "--data", "a.txt", "--steps", 1, *option).exit_code == 0
        assert read_model("own-a-bf16.safetensors").card["stages"][0]["mix"] == mix

    def test_new_text_is_not_learned_by_heart(self, plm_train: Command) -> None:
        """However fast the machine: in five minutes it could read so small a text thousands of times."""
        text = PHRASE.encode() * 300
        Path("a.txt").write_bytes(text)
        assert plm_train("--init", "own", "--data", "a.txt", "--minutes", 5).exit_code == 0
        (stage,) = read_model("own-a-bf16.safetensors").card["stages"]
        assert 1 <= stage["bytes_read"] / (2 * PASSES * len(text)) < 1.5

    def test_without_rehearsal(self, plm_train: Command) -> None:
        result = plm_train("--init", "own", "--data", "a.txt", "--steps", 1, "--rehearse", 0)
        assert result.exit_code == 0
        assert read_model("own-a-bf16.safetensors").card["stages"][0]["mix"] == [1.0]
        assert not list(Path("cache/texts").glob("written-*"))

    def test_old_text_takes_the_place_of_rehearsal(self, plm_train: Command) -> None:
        assert plm_train("--init", "own", "--data", "a.txt", "--steps", 1).exit_code == 0
        Path("b.txt").write_text(PHRASE[::-1] * 9, encoding="utf-8")
        both = ("--data", "b.txt", "--data", "a.txt", "--mix", "3,1", "--out", "both.safetensors")
        assert plm_train("--init", "own-a-bf16.safetensors", *both, "--steps", 1).exit_code == 0
        first, second = read_model("both.safetensors").card["stages"]
        assert [entry["file"] for entry in second["data"]] == ["b.txt", "a.txt"]
        assert second["mix"] == [0.75, 0.25]
        assert second["recipe"]["rate"] == first["recipe"]["rate"]  # is not lowered once more

    def test_a_tuned_run_can_be_resumed(self, plm_train: Command) -> None:
        arguments = ("--init", "own", "--data", "a.txt")
        assert plm_train(*arguments, "--steps", 2).exit_code == 0
        assert plm_train(*arguments, "--steps", 4, "--resume").exit_code == 0
        assert [stage["steps"] for stage in read_model("own-a-bf16.safetensors").card["stages"]] == [4]

    def test_a_few_pairs_are_learned_word_for_word_and_their_wordings_measured(
        self, plm_train: Command
    ) -> None:
        pairs = [
            {"questions": ["几点开门？", "何时营业", "什么时候可以来"], "answer": "八点半。"},
            {
                "messages": [
                    {"role": "user", "content": "地址？"},
                    {"role": "assistant", "content": "柳树街。"},
                ]
            },
        ]
        lines = "\n".join(json.dumps(pair) for pair in [*pairs, *pairs])  # what is repeated counts once
        Path("faq.jsonl").write_text(lines, encoding="utf-8")
        result = plm_train("--init", "own", "--data", "faq.jsonl", "--rate", 0.02)
        assert result.exit_code == 0, result.output
        assert (
            "answers to 3 questions, to be learned word for word; 1 other wordings are held out"
            in result.output
        )
        assert "answered word for word: 3 of 3; in words that were held out: " in result.output
        assert "text that the model wrote itself before: " in result.output
        assert "plm library add faq.jsonl" in result.stderr
        model = Model.load("own-faq-bf16.safetensors")
        assert known(model, [("何时营业", "八点半。"), ("地址？", "柳树街。")]) == 2
        assert known(Model.load("own"), [("何时营业", "八点半。"), ("地址？", "柳树街。")]) == 0
        told = json.loads(next(line for line in result.stdout.splitlines() if line.startswith("{")))
        assert told["known"][0] == 3

    def test_int8_alone_is_refused(self, plm_train: Command, tmp_path: Path) -> None:
        (tmp_path / "models/own-bf16.safetensors").unlink()
        result = plm_train("--init", "own", "--data", "a.txt", "--steps", 1, "--rehearse", 0)
        refuse(result, 1, "own.safetensors: is int8; fine-tune from the bf16 or f32 file")

    def test_a_config_of_other_sizes_is_refused(self, plm_train: Command) -> None:
        result = plm_train("--init", "own", "--config", "tcm", "--data", "a.txt", "--steps", 1)
        refuse(result, 1, "own-bf16.safetensors: has other sizes than the config")

    def test_a_model_that_is_not_there(self, plm_train: Command) -> None:
        refuse(plm_train("--init", "no", "--data", "a.txt", "--steps", 1), 1, "no model 'no': there is own")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--config", "tiny"), 2, "say how long"),
        (("--steps", "1"), 2, "say what to build, by --config, or what to go on from, by --init"),
        (("--config", "tiny", "--steps", "1", "--rehearse", "0.5"), 2, "--rehearse needs --init"),
        (("--config", "nosuch", "--steps", "1"), 1, "no config 'nosuch': name one of "),
        (("--config", "tiny", "--steps", "1", "--mix", "1,2"), 1, "--mix needs one share"),
        (("--config", "tiny", "--steps", "1", "--mix", "x"), 1, "--mix: 'x' is not a list of numbers"),
    ],
)
def test_wrong_use(plm_train: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    refuse(plm_train("--data", "a.txt", "--out", "m.safetensors", *arguments), code, message)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("batch_size = 10\nshards = 4", "batch_size must be a multiple of shards"),
        ("length = 1", "at least 2 characters"),
        ("blank_lines = 0", "blank_lines must be 1 or more"),
        ("speed = 9", "unexpected keyword argument 'speed'"),
    ],
)
def test_a_recipe_that_cannot_be_followed(plm_train: Command, recipe: str, message: str) -> None:
    sizes = (ROOT / "engine/configs/tiny.toml").read_text("utf-8").partition("[train]")[0]
    Path("mine.toml").write_text(f"{sizes}[train]\n{recipe}\n", encoding="utf-8")
    arguments = ("--config", "mine.toml", "--data", "a.txt", "--out", "m.safetensors", "--steps", 1)
    refuse(plm_train(*arguments), 1, message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"", "t.txt: holds no text"),
        ("t.txt", b"short", "t.txt: a text to train on needs at least 16 bytes"),
        (
            "t.txt",
            b"text\n\x89PNG\r\n\x1a\n" * 9,
            "t.txt: no text in UTF-8, GB18030, Big5 or UTF-16; save it as",
        ),
        (
            "t.docx",
            b"PK\x03\x04" * 9,
            "t.docx: is a Word, EPUB or other zip file, not text; save it as plain text",
        ),
        ("t.txt", b"one\ntwo \0 three\n" * 9, "t.txt: line 2 holds a zero byte"),
        (
            "t.jsonl",
            b'{"text": "%b"}\n[1, 2]\n' % (b"x" * 99),
            't.jsonl: line 2: turn 1 is no turn: {"role": …, "content": …}',
        ),
        ("t.txt.xz", b"not packed at all" * 9, "t.txt.xz: not a whole .xz file"),
    ],
)
def test_a_text_that_cannot_be_used(plm_train: Command, name: str, content: bytes, message: str) -> None:
    Path(name).write_bytes(content)
    refuse(plm_train("--config", "tiny", "--data", name, "--steps", 1), 1, message)


def test_documents_parted_by_one_empty_line(plm_train: Command) -> None:
    Path("b.txt").write_text("\n\n".join([PHRASE] * 9), encoding="utf-8")
    arguments = ("--config", "tiny", "--data", "b.txt", "--out", "m.safetensors", "--steps", 1)
    assert plm_train(*arguments, "--blank-lines", 1).exit_code == 0
    (stage,) = read_model("m.safetensors").card["stages"]
    assert stage["recipe"]["blank_lines"] == 1
    framed, plain = stage["data"][0]["bytes"], len((PHRASE * 9).encode())
    assert framed == plain - 9 + 9 * len(b"\xff\xff")  # the line end of each document becomes its marks


def test_a_full_disk_is_one_line_and_the_checkpoint_is_whole(plm_train: Command, tmp_path: Path) -> None:
    """A real write that fails: the file may not grow to the size of the checkpoint."""
    assert plm_train(*NEW, "--steps", 2).exit_code == 0
    state = tmp_path / "m.safetensors.ckpt" / "state.safetensors"
    saved, hard = state.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        result = plm_train(*NEW, "--steps", 4, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert result.exit_code == 1
    assert "cannot be written: File too large; the last checkpoint is whole" in result.stderr
    assert result.stderr.count("\n") == 1
    assert state.read_bytes() == saved
    assert [path.name for path in state.parent.iterdir()] == ["state.safetensors"]
    assert plm_train(*NEW, "--steps", 4, "--resume").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_checkpoint(plm_train: Command, number: int) -> None:
    command = [sys.executable, "-m", "engine.cli", "train", *NEW, "--minutes", "9"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert "parameters" in process.stdout.readline()
        time.sleep(1)
        process.send_signal(number)
        message = process.stderr.read()
    assert process.returncode == 130
    assert message.startswith("stopped after step ")
    assert message.endswith("; --resume goes on from there\n")
    assert not Path("m.safetensors").exists()
    done = int(message.split()[3].rstrip(";"))
    result = plm_train(*NEW, "--steps", done + 1, "--resume")
    assert json.loads(result.stdout.splitlines()[-1])["steps"] == done + 1
