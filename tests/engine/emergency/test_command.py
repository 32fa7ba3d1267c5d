"""Making the classifier anew from messages, measuring it, asking it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.emergency import HERE, emergency
from engine.emergency import Detector, Level
from engine.emergency.detector import WEIGHTS
from engine.emergency.evaluation import area, roc, wilson
from engine.emergency.lookalikes import is_ordinary
from engine.emergency.messages import Message, bundled_files, digest, read_messages
from engine.emergency.training import train


def _some() -> list[Message]:
    """Every twelfth message of each label, in order."""
    messages = read_messages(bundled_files())
    return [
        m
        for label in ("emergency", "none", "toxic_dose")
        for m in [x for x in messages if x.label == label][::12]
    ]


def test_the_card_names_the_bundled_messages_and_weights() -> None:
    card = json.loads((HERE / WEIGHTS).with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256 of the messages"] == digest(read_messages(bundled_files()))
    assert card["sha256 of the weights"] == hashlib.sha256((HERE / WEIGHTS).read_bytes()).hexdigest()
    assert (HERE / WEIGHTS).stat().st_size <= 1_000_000


def test_every_bundled_message_has_a_kind() -> None:
    assert [message.text for message in read_messages(bundled_files()) if not message.kind] == []


def test_the_same_messages_give_the_same_weights(tmp_path: Path) -> None:
    messages = _some()
    train(messages, tmp_path / "one", folds=2)
    train(messages, tmp_path / "two", folds=2)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    detector = Detector.load(path=tmp_path / "one")
    heard = [detector.assess(m.text).level is Level.EMERGENCY for m in messages if m.label == "emergency"]
    alarms = [detector.assess(m.text).level is Level.EMERGENCY for m in messages if m.label == "none"]
    assert sum(heard) / len(heard) > 0.95
    assert sum(alarms) / len(alarms) < 0.05


def test_too_few_messages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        train(_some()[:40], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_train_writes_over_nothing(tmp_path: Path) -> None:
    data, notes = tmp_path / "more.jsonl", tmp_path / "notes.txt"
    for path in (data, notes):
        path.write_text('{"text": "x", "label": "none"}\n', encoding="utf-8")
    out = ["--out", tmp_path / "new"]
    for more, message in (
        (["--out", data], "is read by this command"),
        (["--out", notes], "is no emergency classifier"),
        (["--out", tmp_path / "w.json"], "is where the card goes"),
        ([*out, "--plot", data], "a picture's name ends in"),
        ([*out, "--plot", tmp_path / "nowhere" / "roc.png"], "there is no folder"),
    ):
        refused = CliRunner().invoke(emergency, ["train", "--data", str(data), *map(str, more)])
        assert (refused.exit_code, refused.output.count("\n")) == (1, 1)
        assert message in refused.output
    assert data.read_text(encoding="utf-8") == notes.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more.jsonl", "notes.txt"]


def test_test_counts_by_kind(tmp_path: Path) -> None:
    rows = [
        {"text": "我妈喝了百草枯", "emergency": True, "kind": "poisoning"},
        {"text": "四君子汤由什么组成", "label": "none", "kind": "study"},
        {"text": "砒霜一次吃多少", "label": "toxic_dose", "kind": "toxic_dose"},
    ]
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    result = CliRunner().invoke(emergency, ["test", str(file), "--json"])
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)["table"]
    assert table["emergency"]["poisoning"] == {"of": 1, "emergency": 1}
    assert table["none"]["study"] == {"of": 1, "none": 1}
    assert table["toxic_dose"]["all"] == {"of": 1, "toxic_dose": 1}
    printed = CliRunner().invoke(emergency, ["test", str(file), "--wrong"])
    assert "100.0%" in printed.output


@pytest.mark.parametrize(
    "line", ["{", '{"text": "x"}', '{"text": "x", "label": "urgent"}', '{"text": " ", "label": "none"}']
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.jsonl").write_text(line, encoding="utf-8")
    result = CliRunner().invoke(emergency, ["test", str(tmp_path / "bad.jsonl")])
    assert result.exit_code == 1
    assert "bad.jsonl:1" in result.output


def test_ask_prints_the_level_and_the_answer() -> None:
    result = CliRunner().invoke(emergency, ["ask", "我爸突然倒地没有呼吸了"])
    assert result.output.startswith("emergency ")
    assert "120" in result.output


def test_lookalikes_are_ordinary_questions_of_three_forms(tmp_path: Path) -> None:
    ordinary = ["吃完饭胃里胀，爱打嗝", "夜里盗汗怎么办", "秋天皮肤发痒"]
    severe = ["突然吐血怎么办", "吃附子一次多少克"]
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"questions": [ordinary[0], *severe]}), encoding="utf-8")
    turns = {"turns": [{"role": "user", "content": ordinary[1]}, {"role": "assistant", "content": "答"}]}
    lines = [json.dumps(turns), json.dumps({"question": ordinary[2]}), json.dumps({"question": "长" * 91})]
    (tmp_path / "talk.jsonl").write_text("\n".join(lines), encoding="utf-8")
    files = [str(tmp_path / "pairs.jsonl"), str(tmp_path / "talk.jsonl")]
    result = CliRunner().invoke(emergency, ["lookalikes", *files])
    assert result.exit_code == 0, result.output
    (tmp_path / "out.jsonl").write_text(result.stdout, encoding="utf-8")
    assert [m.text for m in read_messages([tmp_path / "out.jsonl"])] == ordinary
    assert {m.label for m in read_messages([tmp_path / "out.jsonl"])} == {"none"}
    fewer = CliRunner().invoke(emergency, ["lookalikes", *files, "--at-most", "2"])
    assert len(fewer.stdout.splitlines()) == 2


def test_a_severe_picture_is_ordinary_only_where_a_book_is_asked() -> None:
    assert is_ordinary("喘不得卧，金匮用哪个方")
    assert not is_ordinary("喘不得卧，金匮用哪个方", studies=False)
    assert not is_ordinary("喘得躺不下，怎么办")


@pytest.mark.parametrize("line", ["{", "[1]", '{"answer": "x"}'])
def test_lookalikes_of_a_wrong_file_name_it(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.jsonl").write_text(line, encoding="utf-8")
    result = CliRunner().invoke(emergency, ["lookalikes", str(tmp_path / "bad.jsonl")])
    assert result.exit_code == 1
    assert "bad.jsonl" in result.output


def test_figures() -> None:
    assert wilson(95, 100) == pytest.approx((0.8882, 0.9785), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)
    assert area(roc([0.9, 0.8, 0.3, 0.1], [True, True, False, False])) == 1.0
    assert area(roc([0.9, 0.8, 0.3, 0.1], [False, True, False, True])) == 0.25
