"""Model files: what is written is read back, and every kind of damage is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from engine.inference.model import Model
from engine.model.catalog import ModelFileError
from engine.model.checkpoint import DTYPES, LARGE_TABLE, quantize_model, read_model, write_model
from tests.tiny_model import TINY, random_tensors, write_tiny_model

Header = dict[str, Any]


@pytest.fixture(params=DTYPES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.safetensors", dtype=request.param)


def rewrite(path: Path, change: Callable[[Header], None]) -> None:
    """Change the header of a model file in place and leave its data alone."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content[8 + size :])


def refuse(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_back(path: Path) -> None:
    model = read_model(path)
    assert (model.name, model.config) == ("tiny", TINY)
    assert model.card == {"note": "random weights, for tests"}
    steps = {"f32": 0.0, "bf16": 2.0**-8, "int8": 1 / 254}
    for name, written in random_tensors(TINY, 0).items():
        read = model.float32(name)
        assert read.shape == written.shape
        bound = steps[model.dtype] * np.abs(written).max() * 1.001
        assert np.abs(read - written).max() <= (bound if written.ndim == 2 else 0), name


def test_large_tables_are_int8_in_bf16_files_too(tmp_path: Path) -> None:
    config = replace(TINY, bigrams=LARGE_TABLE + 1, trigrams=LARGE_TABLE)
    written = random_tensors(config, 0)
    write_model(tmp_path / "bf16", written, config, {}, "large", "bf16")
    model = read_model(tmp_path / "bf16")
    kept = {name: model.tensors[name].dtype for name in ("bigram_embedding", "trigram_embedding", "head.out")}
    assert kept == {"bigram_embedding": np.int8, "trigram_embedding": np.uint16, "head.out": np.uint16}
    off = np.abs(model.float32("bigram_embedding") - written["bigram_embedding"])
    assert off.max() <= np.abs(written["bigram_embedding"]).max() / 253

    quantize_model(tmp_path / "bf16", tmp_path / "int8")
    integers = Model(read_model(tmp_path / "int8"))
    assert (
        Model(model).score("何謂陰陽？".encode()).bits_per_byte
        == integers.score("何謂陰陽？".encode()).bits_per_byte
    )


def test_the_safetensors_library_reads_the_same(path: Path) -> None:
    model = read_model(path)
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(model.tensors)
        assert file.metadata()["format"] == "personal-lm/1"
        for name in model.tensors:
            if file.get_slice(name).get_dtype() != "BF16":  # numpy cannot hold it
                assert np.array_equal(file.get_tensor(name), model.tensors[name])


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    first = read_model(write_tiny_model(tmp_path / "a", seed=1)).hash
    assert first == read_model(write_tiny_model(tmp_path / "b", seed=1)).hash
    assert first != read_model(write_tiny_model(tmp_path / "c", seed=2)).hash
    assert len(first) == 16


def test_quantize_model_equals_writing_int8_at_once(tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "f32", dtype="f32")
    quantize_model(source, tmp_path / "int8")
    assert (tmp_path / "int8").read_bytes() == write_tiny_model(tmp_path / "direct").read_bytes()
    with pytest.raises(ModelFileError, match="int8 already"):
        quantize_model(tmp_path / "int8", tmp_path / "again")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file_names_the_tensor(path: Path, share: float) -> None:
    content = path.read_bytes()
    data = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(content[: data + int((len(content) - data) * share)])
    refuse(path, "cut short", "embedding" if share == 0.0 else "")
    path.write_bytes(content[:-1])
    refuse(path, "cut short")
    path.write_bytes(content[: data - 10])
    refuse(path, "cut short inside the header")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 7, b"\x00" * 64, b"PK\x03\x04" * 100, b"\xff" * 64, (2).to_bytes(8, "little") + b"[]"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "foreign").write_bytes(content)
    refuse(tmp_path / "foreign")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing", "no such model file")
    refuse(tmp_path, "cannot be read")


def test_bytes_after_the_last_tensor_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    refuse(path, "file not fully covered")


def _set(*keys: str, value: object) -> Callable[[Header], None]:
    def change(header: Header) -> None:
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = value

    return change


def _swap_offsets(header: Header) -> None:
    header["lead_embedding"]["data_offsets"] = header["char_embedding"]["data_offsets"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.pop("__metadata__"), ["not a personal-lm model"]),
        (_set("__metadata__", "format", value="personal-lm/2"), ["personal-lm/2"]),
        (_set("__metadata__", "config", value="{"), ["config", "not JSON"]),
        (_set("__metadata__", "config", value="[]"), ["config", "not an object"]),
        (_set("__metadata__", "config", value='{"arch": "gpt"}'), ["arch", "gpt"]),
        (_set("__metadata__", "card", value=3), ["card"]),
        (_set("__metadata__", "dtype", value="f16"), ["dtype", "f16"]),
        (lambda h: h.pop("head.base"), ["head.base", "missing"]),
        (lambda h: h.update(extra=h["norm"]), ["extra", "does not belong"]),
        (_set("norm", "dtype", value="F64"), ["norm", "F64"]),
        (_set("norm", "shape", value=[16]), ["norm", "shape", "[32]"]),
        (_set("norm", "data_offsets", value=[0, 4]), ["norm", "data_offsets"]),
        (_set("norm", "data_offsets", value=[-128, 0]), ["norm", "data_offsets"]),
        (_set("norm", "data_offsets", value="x"), ["norm", "data_offsets"]),
        (_set("norm", value=7), ["norm", "7"]),
        (_swap_offsets, ["embedding"]),
    ],
)
def test_a_wrong_header_names_what_is_wrong(
    path: Path, change: Callable[[Header], None], words: list[str]
) -> None:
    rewrite(path, change)
    refuse(path, *words)


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_header_damaged_anywhere_is_refused_in_one_line_or_read(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for place, byte in data.draw(st.dictionaries(st.integers(0, header - 1), st.integers(0, 255))).items():
        content[place] = byte
    path.write_bytes(content)
    message = ""
    try:
        read_model(path)
    except ModelFileError as error:
        message = str(error)
    assert message == "" or message.startswith(f"{path}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("tensor", "raw", "word"),
    [
        ("head.out.scale", np.float32("nan").tobytes(), "finite"),
        ("head.out.scale", np.float32(-1).tobytes(), "above zero"),
        ("norm", np.float32("inf").tobytes(), "finite"),
        ("head.out", b"\x80", "-128"),
    ],
)
def test_damaged_values_name_the_tensor(tmp_path: Path, tensor: str, raw: bytes, word: str) -> None:
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[:8], "little")
    begin = 8 + size + json.loads(content[8 : 8 + size])[tensor]["data_offsets"][0]
    content[begin : begin + len(raw)] = raw
    path.write_bytes(content)
    refuse(path, f"{tensor}: ", word)


def test_writing_refuses_wrong_tensors(tmp_path: Path) -> None:
    def write(**changes: Any) -> None:
        tensors = random_tensors(TINY, 0) | changes
        write_model(tmp_path / "m", tensors, TINY, {}, "m", "int8")

    with pytest.raises(ModelFileError, match="extra"):
        write(extra=np.zeros(3))
    with pytest.raises(ModelFileError, match=r"norm: shape is \(3,\)"):
        write(norm=np.zeros(3))
    with pytest.raises(ModelFileError, match="char_embedding: holds a value that is not finite"):
        write(char_embedding=np.full((4096, 32), np.nan))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "m")
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_tiny_model(path, seed=1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
