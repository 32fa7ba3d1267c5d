"""A command never writes over what it reads, nor over a file of another kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.checkpoint import is_model
from engine.model.outputs import OutputError, check_output, check_picture
from tests.tiny_model import write_tiny_model

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.safetensors")


def refusal(out: Path, *inputs: Path) -> str:
    with pytest.raises(OutputError) as caught:
        check_output(out, inputs, what="model", is_one=is_model)
    return str(caught.value)


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_input_is_refused_also_by_a_link(
    model: Path, tmp_path: Path, link: Callable[[Path, Path], None] | None
) -> None:
    out = tmp_path / "out.safetensors" if link else model
    if link:
        link(model, out)
    assert "is read by this command" in refusal(out, tmp_path / "missing", model)
    (tmp_path / "folder").symlink_to(tmp_path)
    assert "is read by this command" in refusal(tmp_path / "folder" / out.name, model)


def test_another_model_and_an_empty_file_may_be_replaced(model: Path, tmp_path: Path) -> None:
    check_output(model, [tmp_path / "text.txt"], what="model", is_one=is_model)
    check_output(tmp_path / "new.safetensors", [model], what="model", is_one=is_model)
    (tmp_path / "empty").touch()
    check_output(tmp_path / "empty", [model], what="model", is_one=is_model)


@pytest.mark.parametrize("content", [b"notes", b"\x00" * 20, b"\x02" + b"\x00" * 7 + b"{}", b"\xff" * 30])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    assert refusal(tmp_path / "notes.txt").endswith(
        "exists and is no model; write to another file, or remove it first"
    )


def test_folders_and_devices_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)
    assert "is no plain file" in refusal(Path("/dev/null"))
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "x")


def test_a_picture_replaces_pictures_alone(tmp_path: Path) -> None:
    picture = tmp_path / "loss.png"
    picture.write_bytes(PNG)
    check_picture(picture)
    picture.write_bytes(b"notes")
    with pytest.raises(OutputError, match="is no picture"):
        check_picture(picture)
    with pytest.raises(OutputError, match=r"ends in \.png, \.svg, \.pdf"):
        check_picture(tmp_path / "loss.txt")
