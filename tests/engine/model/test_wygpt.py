"""Imported wyGPT models: equal to golden data, and a model like any other in all that sessions do."""

from __future__ import annotations

import json
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from engine import (
    ASSISTANT_MARK,
    END_MARK,
    USER_MARK,
    Batcher,
    Model,
    Session,
    SnapshotError,
    TopE,
    TopP,
    Wygpt,
    _ops,
)
from engine.cli import main
from engine.model.catalog import ModelFileError
from engine.model.checkpoint import quantize_model, read_model, write_model
from engine.model.encoding import ENCODINGS
from engine.model.number_formats import from_bf16, to_bf16
from engine.model.wygpt import WygptConfig, WygptFileError, read_published
from tests.engine import wygpt_reference as reference

FOLDER = Path(__file__).parents[1] / "wygpt"
PUBLISHED = FOLDER / "tiny.model"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "tiny-golden.json").read_text())
TEXTS = {text["name"]: text for text in GOLDEN["texts"]}
CHINESE = "阴阳者，天地之道也。𠀀 What is qi?\n"
# No multiple of anything: every loop has a tail. A context of 7 slides within the shortest text.
ODD = WygptConfig(context=7, width=21, layers=3, heads=3)


def convert(out: Path, *options: str) -> Path:
    done = CliRunner().invoke(main, ["convert", "wygpt", str(PUBLISHED), str(out), *options])
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model in each encoding, and as int8."""
    folder = tmp_path_factory.mktemp("wygpt")
    made = {name: convert(folder / f"{name}.safetensors", "--encoding", name) for name in ENCODINGS}
    made["int8"] = folder / "int8.safetensors"
    quantize_model(made["utf-8"], made["int8"])
    return made


@pytest.fixture(scope="module")
def model(paths: dict[str, Path]) -> Model:
    return Model.load(paths["utf-8"])


@pytest.fixture(params=["utf-8", "int8"])
def either(request: pytest.FixtureRequest, paths: dict[str, Path]) -> Model:
    return Model.load(paths[request.param])


def odd_model(path: Path, dtype: str, isa: str = "") -> Model:
    random = np.random.default_rng(4)
    tensors = {n: random.normal(0.1, 1, s).astype(np.float32) for n, s in ODD.tensors.items()}
    rounded = {n: from_bf16(to_bf16(tensor)) for n, tensor in tensors.items()}
    write_model(path, rounded, ODD, {}, "odd", dtype)
    return Model(read_model(path), isa)


def raw(session: Session, data: bytes) -> Any:
    """The bits of bytes as they are: a session would read marks as line ends."""
    return session._native.score(data)


# --- golden data ---


def test_the_hash_and_the_embedding() -> None:
    for row in GOLDEN["hash64"]:
        assert _ops.wygpt_hash(row["byte"], row["row"]) == int(row["hash"], 16)
        assert reference.hash64(row["byte"], row["row"]) == int(row["hash"], 16)
    for byte, bits in GOLDEN["embedding_row_bits"].items():
        assert "".join(str(_ops.wygpt_hash(int(byte), i) & 1) for i in range(48)) == bits


@pytest.mark.parametrize("name", TEXTS)
def test_float64_is_the_golden_data(name: str) -> None:
    text = TEXTS[name]
    data = bytes.fromhex(text["hex"])
    equations = reference.Reference(PUBLISHED.read_bytes())
    log_probs = np.array([equations.read(byte) for byte in data])
    targets = log_probs[np.arange(len(data) - 1), list(data[1:])]
    assert np.abs(targets - text["target_log_probs"]).max() < 1e-8
    for position, row in text["log_probs"].items():
        assert np.abs(log_probs[int(position)] - row).max() < 1e-8


@pytest.mark.parametrize("isa", _ops.kernels_supported())
@pytest.mark.parametrize("name", TEXTS)
def test_inference_matches_the_golden_data(name: str, isa: str, paths: dict[str, Path]) -> None:
    text = TEXTS[name]
    data = bytes.fromhex(text["hex"])
    model = Model(read_model(paths["utf-8"]), isa)
    bits = raw(model.session(), data)
    assert bits[0] == 8.0
    assert np.abs(-bits[1:] * math.log(2) - text["target_log_probs"]).max() < 1e-5
    session = model.session()
    for position, byte in enumerate(data):
        session._native.feed(bytes([byte]))
        if row := text["log_probs"].get(str(position)):
            logits = session.logits().astype(np.float64)
            found = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
            assert np.abs(found - row).max() < 1e-5


def test_int8_is_near_the_float_model(paths: dict[str, Path]) -> None:
    data = bytes.fromhex(TEXTS["long"]["hex"])
    exact, rounded = (Model.load(paths[name]).score(data).bits_per_byte for name in ("utf-8", "int8"))
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=0.01)
    assert Model.load(paths["utf-8"], quantize=True).score(data).bits_per_byte == rounded


@pytest.mark.parametrize("case", GOLDEN["sampler"], ids=lambda case: str(case["first_bytes"]))
def test_his_sampler_draws_from_the_golden_distribution(case: dict[str, Any], model: Model) -> None:
    text = bytes.fromhex(TEXTS[case["text"]]["hex"])[: case["first_bytes"]]
    found = {str(b): p for b, p in enumerate(reference.penalties(text)) if p}
    assert found == pytest.approx(case["penalty"], abs=1e-8)
    session = model.session()
    session._native.feed(text)
    sampler = Wygpt().start(0)
    sampler.read(text)
    # The first byte of a UTF-16 unit may be any, so there the mask leaves the distribution as it is.
    p = sampler.probabilities(session.logits(), b"", False, "utf-16le")
    assert {str(b): x for b, x in enumerate(p) if x} == pytest.approx(case["distribution"], abs=1e-5)


# --- sessions ---


@pytest.mark.parametrize("dtype", ["int8", "f32"])
def test_every_instruction_set_gives_the_same_bits(tmp_path: Path, dtype: str) -> None:
    data = bytes.fromhex(TEXTS["long"]["hex"])
    found = [raw(odd_model(tmp_path / "odd", dtype, isa).session(), data) for isa in _ops.kernels_supported()]
    assert all(np.array_equal(bits, found[0]) for bits in found)
    assert np.isfinite(found[0]).all()


def test_odd_sizes_equal_the_equations(tmp_path: Path) -> None:
    model = odd_model(tmp_path / "odd", "bf16")
    file = read_model(model.path)
    weights = b"".join(
        (tensor.view(np.uint32) >> 16).astype("<u2").tobytes() for tensor in file.float_tensors().values()
    )
    equations = reference.Reference(struct.pack("<5I", 7, 21, 3, 3, 256) + weights)
    data = CHINESE.encode() * 2
    expected = [equations.read(byte)[after] for byte, after in pairwise(data)]
    assert np.abs(-model.session().bits(data)[1:] * math.log(2) - expected).max() < 1e-4


@pytest.mark.parametrize("chunk", [1, 2, 3, 63, 64, 65])
def test_chunks_of_any_size_give_the_same_bits_and_state(either: Model, chunk: int) -> None:
    data = CHINESE.encode() * 5
    whole, pieces, silent = either.session(), either.session(), either.session()
    expected = whole.bits(data)
    found = [pieces.bits(data[i : i + chunk]) for i in range(0, len(data), chunk)]
    for i in range(0, len(data), chunk):
        silent.feed(data[i : i + chunk])
    assert np.array_equal(np.concatenate(found), expected)
    assert whole.snapshot() == pieces.snapshot() == silent.snapshot()
    each = silent.bits_each([CHINESE, "", "气"])
    assert np.array_equal(each[0], whole.bits(CHINESE))
    assert silent.snapshot() == pieces.snapshot()


@pytest.mark.parametrize("length", [0, 5, 63, 64, 65, 200])
def test_a_snapshot_continues_exactly(either: Model, length: int) -> None:
    session = either.session()
    session.feed((CHINESE.encode() * 5)[:length])
    copy = either.session(session.snapshot())
    for sampler in (TopE(), Wygpt()):
        texts = ["".join(s.generate(90, sampler, seed=3)) for s in (session, copy)]
        assert texts[0] == texts[1]
    assert session.snapshot() == copy.snapshot()


def test_broken_snapshots_are_refused(model: Model) -> None:
    native = model.session()._native
    state, _ = native.save()
    floats = np.frombuffer(state, np.float32)
    for place, value in ((0, 65), (0, 0.5), (1, 64), (1, 3), (-1, 256), (5, np.nan)):
        broken = floats.copy()
        broken[place] = value
        with pytest.raises(ValueError, match="state"):
            native.restore(broken.tobytes(), b"")
    with pytest.raises(SnapshotError, match="another model"):
        model.session(Model.load("tcm").session().snapshot())


def test_many_sessions_in_one_batch_write_what_each_writes_alone(either: Model) -> None:
    def begin(i: int) -> Session:
        session = either.session()
        session.feed(CHINESE * (i % 3) + "x" * i)
        return session

    with_company = Batcher(either, 70, threads=1)
    streams = [with_company.submit(begin(i), 30, Wygpt(), i) for i in range(70)]
    texts = ["".join(stream) for stream in streams]
    for i, (text, stream) in enumerate(zip(texts, streams, strict=True)):
        alone = begin(i)
        assert "".join(alone.generate(30, Wygpt(), i)) == text
        assert alone.snapshot() == stream.session.snapshot()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_in_every_encoding(encoding: str, paths: dict[str, Path]) -> None:
    model = Model.load(paths[encoding])
    assert model.info()["config"]["encoding"] == encoding
    bits = model.session().bits(CHINESE)
    assert len(bits) == len(CHINESE.encode())
    assert bits.sum() == pytest.approx(raw(model.session(), CHINESE.encode(encoding)).sum())
    # The cost of a stretch of characters is that of its bytes.
    begin, end = len(CHINESE[:3].encode()), len(CHINESE[:12].encode())
    coded = raw(model.session(), CHINESE.encode(encoding))
    start, stop = len(CHINESE[:3].encode(encoding)), len(CHINESE[:12].encode(encoding))
    assert bits[begin:end].sum() == pytest.approx(coded[start:stop].sum())
    assert model.score(CHINESE).bits_per_byte == pytest.approx(bits.sum() / len(CHINESE.encode()))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("room", [*range(1, 9), 300])
def test_what_is_written_is_valid_and_fits(encoding: str, room: int, paths: dict[str, Path]) -> None:
    model = Model.load(paths[encoding])
    for seed in range(20):
        session = model.session()
        session.feed("天")
        text = "".join(session.generate(room, TopP(1.0, temperature=3.0), seed))
        assert len(text.encode(encoding)) <= room
        assert not any((c < " " and c not in "\n\t") or c in "\x7f\ufffe\uffff" for c in text)
        assert session.stop_reason == "length"
        again = model.session()
        again.feed("天" + text)
        assert again.snapshot() == session.snapshot()
        assert "".join(session.generate(9, TopP(1.0), seed)) == "".join(again.generate(9, TopP(1.0), seed))


def test_utf16_reaches_beyond_the_first_plane(paths: dict[str, Path]) -> None:
    for encoding in ENCODINGS[1:]:
        session = Model.load(paths[encoding]).session()
        session._native.feed("\U00020000".encode(encoding)[:2])  # a high surrogate: the low one must follow
        assert ord(next(session.generate(300, TopP(1.0), 1))) >> 10 == 0x20000 >> 10


def test_a_stop_string_takes_the_session_back(paths: dict[str, Path]) -> None:
    for encoding in ENCODINGS:
        model = Model.load(paths[encoding])
        whole = "".join(model.session().generate(200, TopP(1.0), 5))
        stop = whole[20:22]
        session = model.session()
        text = "".join(session.generate(200, TopP(1.0), 5, stop=stop))
        assert (text, session.stop_reason) == (whole[: whole.index(stop)], "stop")
        again = model.session()
        again.feed(text)
        assert again.snapshot() == session.snapshot()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_dialogue_is_read_as_lines(encoding: str, paths: dict[str, Path]) -> None:
    framed = USER_MARK + "问".encode() + ASSISTANT_MARK + "答".encode() + END_MARK
    marked, plain = (Model.load(paths[encoding]).session() for _ in range(2))
    bits = marked.bits(framed)
    plain.feed("问\n答\n")
    assert marked.snapshot() == plain.snapshot()
    assert len(bits) == len(framed)
    assert bits[0] == 0
    assert bits.sum() == pytest.approx(Model.load(paths[encoding]).session().score("问\n答\n"))


def test_utf16_wants_whole_characters(paths: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="whole UTF-8 characters"):
        Model.load(paths["utf-16le"]).session().feed("气".encode()[:2])


def test_long_texts_are_cut_between_characters(paths: dict[str, Path]) -> None:
    model = Model.load(paths["utf-16be"])
    assert model.score("é" + "气" * 22_000).bits > 0  # a piece of 65,536 bytes would end inside a character


# --- files ---


def test_the_import_keeps_every_weight(tmp_path: Path) -> None:
    path = convert(tmp_path / "mine.safetensors", "--encoding", "utf-16le")
    file = read_model(path)
    assert (file.name, file.dtype) == ("mine", "bf16")
    assert file.config == WygptConfig(64, 48, 2, 3, "utf-16le")
    assert file.config.parameters == GOLDEN["model"]["parameters"]
    assert file.card["imported"]["sha256"] == GOLDEN["model"]["sha256"]
    kept = b"".join((t.view(np.uint32) >> 16).astype("<u2").tobytes() for t in file.float_tensors().values())
    assert kept == PUBLISHED.read_bytes()[20:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "has 126,739 bytes, its header asks for 126,740"),
        (lambda data: data + b"\0", "has 126,741 bytes"),
        (lambda data: data[: len(data) // 2], "has 63,370 bytes"),
        (lambda data: b"", "0 bytes are too few"),
        (lambda data: data[:19], "19 bytes are too few"),
        (lambda data: struct.pack("<5I", 64, 48, 2, 3, 65536) + data[20:], "has 65536 symbols"),
        (lambda data: struct.pack("<5I", 64, 48, 2, 5, 256) + data[20:], "shared out among 5 heads"),
        (
            lambda data: struct.pack("<5I", 64, 0, 2, 3, 256) + data[20:],
            "width must be a whole number from 1",
        ),
        (lambda data: struct.pack("<5I", 64, 48, 3, 3, 256) + data[20:], "its header asks for"),
        (lambda data: struct.pack("<5I", 2**32 - 1, 48, 2, 3, 256) + data[20:], "context must be"),
        (lambda data: data[:-2] + b"\x80\x7f", "out: holds a value that is not finite"),
        (lambda data: data[:24] + b"\xc0\xff" + data[26:], "first.in: holds a value that is not finite"),
    ],
)
def test_what_is_not_his_file_is_refused_in_one_line(tmp_path: Path, change: Any, message: str) -> None:
    path, out = tmp_path / "his.model", tmp_path / "out"
    path.write_bytes(change(PUBLISHED.read_bytes()))
    with pytest.raises(WygptFileError, match=message):
        read_published(path, "utf-8")
    done = CliRunner().invoke(main, ["convert", "wygpt", str(path), str(out)])
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {path}: ")
    assert done.output.count("\n") == 1
    assert not out.exists()


def test_a_model_file_of_impossible_config_is_refused(tmp_path: Path) -> None:
    for change in ({"encoding": "gbk"}, {"heads": 5}, {"context": 0}, {"depth": 2}):
        with pytest.raises(ValueError, match=next(iter(change))):
            WygptConfig.from_dict(ODD.to_dict() | change)
    with pytest.raises(ValueError, match="encoding is missing"):
        WygptConfig.from_dict({k: v for k, v in ODD.to_dict().items() if k != "encoding"})
    tensors = {n: np.ones(s, np.float32) for n, s in ODD.tensors.items()} | {"out": np.ones((256, 20))}
    with pytest.raises(ModelFileError, match=r"out: shape is \(256, 20\)"):
        write_model(tmp_path / "m", tensors, ODD, {}, "m", "f32")


# --- commands ---


@pytest.mark.parametrize("name", ["utf-8", "utf-16le", "int8"])
def test_every_command_takes_such_a_model(name: str, paths: dict[str, Path], tmp_path: Path) -> None:
    def plm(*words: str, stdin: str = "") -> str:
        done = CliRunner().invoke(main, list(words), input=stdin)
        assert done.exit_code == 0, done.output
        return done.output

    model, text = str(paths[name]), tmp_path / "text.txt"
    text.write_text(CHINESE * 3)
    assert json.loads(plm("info", model, "--json"))["parameters"] == GOLDEN["model"]["parameters"]
    score = json.loads(plm("score", model, str(text), "--json"))
    assert score["bytes"] == len(CHINESE.encode()) * 3
    options = ["--max-bytes", "40", "--sampler", "wygpt", "--seed", "1"]
    written = plm("generate", model, "--prompt", "天", *options)
    assert written == plm("generate", model, "--prompt", "天", *options)
    assert len(plm("chat", model, *options, stdin="你好\n/new\n你好\n").splitlines()) >= 3
    figures = json.loads(plm("bench", "--model", model, "--json", "--seconds", "0.01"))
    assert figures["snapshot_bytes"] == 32 + 4 * (2 + 48 + 2 * 2 * 64 * 48 + 64)
    if name != "int8":
        out = tmp_path / "int8.safetensors"
        plm("quantize", model, str(out), "--valid", str(text))
        measured = read_model(out).card["int8_bits_per_byte"]["text.txt"]
        assert measured == round(Model.load(out).score(text.read_bytes()).bits_per_byte, 4)


def test_what_fills_no_gaps_over_utf16_says_so_and_the_rest_works(paths: dict[str, Path]) -> None:
    model = Model.load(paths["utf-16le"])
    assert len(model.choose("药性", ["寒", "热"]).scores) == 2
    assert model.judge("药性寒").contrast == "药性热"  # a word turned round: it writes no ends
    with pytest.raises(ValueError, match="no contrast to the statement was found"):
        model.judge("药性甘")
    with pytest.raises(ValueError, match="gaps are filled by models over UTF-8; this one reads utf-16le"):
        model.fill("药性____")
