"""`plm admin` by itself: the key and the address it is given, and the file that an export is written to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from werkzeug import Request, Response

from bot.cli import main
from tests.bot.admin_client import KEY
from tests.stand_in import StandIn

LINES = "".join(json.dumps({"id": f"page:{name}", "turns": []}) + "\n" for name in "ab")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Answers an export, the second time only half of one."""
    asked: list[Request] = []

    def answer(request: Request) -> Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        asked.append(request)
        whole = len(asked) == 1
        return Response(iter([LINES if whole else LINES[:20]]), headers={"Content-Length": str(len(LINES))})

    service = StandIn(answer)
    monkeypatch.setenv("PLM_ADMIN_KEY", KEY)
    monkeypatch.setenv("PLM_ADMIN_URL", service.url_for(""))
    yield service
    service.stop()


def admin(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["admin", *map(str, arguments)])


def test_an_export_is_whole_private_and_over_nothing_else(service: StandIn, tmp_path: Path) -> None:
    notes, out = tmp_path / "notes.txt", tmp_path / "export.jsonl"
    notes.write_text("notes", encoding="utf-8")
    refused = admin("export", "--out", notes)
    assert (refused.exit_code, "is no export of conversations" in refused.output) == (1, True)
    assert (notes.read_text(encoding="utf-8"), len(service.log)) == ("notes", 0)
    assert admin("export", "--out", out).exit_code == 0
    assert (out.read_text(encoding="utf-8"), out.stat().st_mode & 0o777) == (LINES, 0o600)
    broken = admin("export", "--out", out)  # what came before stays
    assert (broken.exit_code, "the export broke off" in broken.output) == (1, True)
    assert out.read_text(encoding="utf-8") == LINES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.jsonl", "notes.txt"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PLM_ADMIN_KEY", KEY + "\r", "PLM_ADMIN_KEY: has a carriage return"),
        ("PLM_ADMIN_KEY", f'"{KEY}"', "PLM_ADMIN_KEY: has quotation marks around it"),
        ("PLM_ADMIN_KEY", "密钥" * 6, "PLM_ADMIN_KEY: has a letter or digit that is not ASCII"),
        ("PLM_ADMIN_URL", "bot.example", "PLM_ADMIN_URL: must be a URL that starts with http:// or https://"),
        ("PLM_ADMIN_URL", "https://u:hunter2#b@bot.example", "PLM_ADMIN_URL: has a #"),
    ],
)
def test_a_key_or_address_that_cannot_be_one_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("PLM_ADMIN_KEY", KEY)
    monkeypatch.setenv("PLM_ADMIN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    result = admin("stats")
    assert (result.exit_code, said in result.output, result.output.count("\n")) == (1, True, 1), result.output
    assert "hunter2" not in result.output


def test_a_key_file_of_windows_is_read(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLM_ADMIN_KEY")
    file = tmp_path / "key.txt"
    file.write_bytes(f"{KEY}\r\n".encode("utf-8-sig"))
    assert admin("--key-file", file, "export").stdout == LINES
    file.write_bytes(KEY.encode("utf-16"))
    assert "is not UTF-8" in admin("--key-file", file, "export").output
