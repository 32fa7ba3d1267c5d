"""`plm admin library` against a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.store.conversations import Store
from tests import small_library
from tests.bot.admin_client import KEY, AdminClient
from tests.engine.library.documents_fixtures import TEXT
from tests.service import served


@pytest.fixture
def url(store: Store, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "library"
    small_library.write(folder)
    host = AdminClient(store, "http://127.0.0.1:9/", library=folder)
    assert host.bot.library
    assert host.bot.library.wait(20)
    with served(host.app) as url:
        yield url


def run(url: str, *arguments: str) -> Result:
    environment = {"PLM_ADMIN_KEY": KEY, "PLM_ADMIN_URL": url}
    return CliRunner().invoke(main, ["admin", "library", *arguments], env=environment)


def test_files_go_in_and_out(url: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "门诊.txt", tmp_path / "bad.pdf"
    good.write_text(TEXT, "utf-8")
    bad.write_bytes(b"PK")
    added = run(url, "add", str(good), str(bad))
    assert added.exit_code == 1  # one of them failed
    assert "bad.pdf: no pdf; it is a zip archive" in added.stderr
    state, title, source_id = added.stdout.split()
    assert (state, title) == ("added", "门诊")
    assert f"{source_id}  uploaded  门诊\n" in run(url, "list").stdout
    assert run(url, "add", str(good)).stdout.strip() == "unchanged 门诊"
    assert run(url, "disable", source_id).exit_code == 0
    assert f"{source_id}  uploaded  门诊  disabled" in run(url, "list").stdout
    assert run(url, "enable", source_id).exit_code == 0
    assert run(url, "remove", source_id).stdout == f"removed {source_id}\n"
    assert "门诊" not in run(url, "list").stdout
    gone = run(url, "remove", source_id)
    assert (gone.exit_code, gone.stderr) == (1, "Error: there is no such source\n")
