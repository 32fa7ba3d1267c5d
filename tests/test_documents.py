"""The documents: what they link to exists, and both READMEs show the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
LANGUAGES = ("README.md", "README.zh-CN.md")


def documents() -> list[Path]:
    run = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True)
    listed = [ROOT / name for name in run.stdout.split("\0") if name]
    return listed or [path for folder in ("", "bot", "engine") for path in (ROOT / folder).glob("*.md")]


def anchors(document: Path) -> set[str]:
    """The names that GitHub gives to its headings."""
    found = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_link_leads_somewhere() -> None:
    broken = []
    for document in documents():
        for target in LINK.findall(document.read_text("utf-8")):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            place = document.parent / path if path else document
            if not place.exists() or (anchor and anchor not in anchors(place)):
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert broken == []


def test_no_output_is_left_to_be_filled_in() -> None:
    assert [name for name in LANGUAGES if "<!-- output:" in (ROOT / name).read_text("utf-8")] == []


@pytest.mark.parametrize("pattern", [r"^\$ .*$", r"\]\(([^)#\s]+\.(?:md|png))", r"^plm .*$"])
def test_both_languages_show_the_same(pattern: str) -> None:
    english, chinese = (
        re.findall(pattern, (ROOT / name).read_text("utf-8"), re.MULTILINE) for name in LANGUAGES
    )
    assert sorted(set(english) - set(LANGUAGES)) == sorted(set(chinese) - set(LANGUAGES))
