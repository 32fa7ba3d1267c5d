"""Redis compiles every script, and their heads say what they take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.store.conversations import Store
from bot.store.scripts import SCRIPTS

LUA = Path(__file__).resolve().parents[3] / "bot/store/lua"
FILES = sorted(LUA.glob("*.lua"))
ARGUMENT = re.compile(r"ARGV\[(\d+)\]")


@pytest.mark.parametrize("name", SCRIPTS)
def test_redis_compiles_it(name: str, store: Store) -> None:
    assert "@include" not in SCRIPTS[name]
    assert store.client.script_load(SCRIPTS[name])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_head_lists_every_argument_in_order(file: Path) -> None:
    head, _, body = file.read_text().partition("]]\n")
    listed = [int(number) for number in ARGUMENT.findall(head)]
    assert listed == list(range(1, len(listed) + 1))
    assert {int(number) for number in ARGUMENT.findall(body)} <= set(listed)
    assert "KEYS[1]" in head
    assert "Returns " in head


def test_every_shared_part_is_included_somewhere() -> None:
    parts = {file.stem for file in (LUA / "includes").glob("*.lua")}
    included = {
        part for file in FILES for part in re.findall(r'^--- @include "(\w+)"$', file.read_text(), re.M)
    }
    assert included == parts
