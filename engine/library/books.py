"""Books as the corpus writes them: `《title》 dynasty author`, headings after empty lines, paragraphs.

Two empty lines part the books of one file. The corpus marks no levels of headings; they are told by their
words: 卷 is the highest, then 篇 部 门 类 章, then the rest, such as a formula or a herb.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.library.splitting import Heading

_TITLE = re.compile(r"《([^《》\n]+)》(?:[ 　]+(\S+))?(?:[ 　]+(.+))?")
_NUMBER = "[一二三四五六七八九十百]+"
_VOLUME = re.compile(
    rf"(?:\S*\s)?\S*卷(?:之|第)?(?:{_NUMBER}|[上中下首末终])(?:[上中下]|之[上中下])?(?!\w{{3}})"
    rf"|(?:\S*\s)?第?(?:{_NUMBER}|[首上中下])卷"
)
_CHAPTER = re.compile(
    rf"第{_NUMBER}[篇章节]|.*(?:[篇部类章]|..门|[上中下]品|之剂)$|.*第{_NUMBER}(?:[上中下])?$|.*篇第{_NUMBER}"
)
_NAME = re.compile(r"[^。，；：！？、（）]{2,14}[汤散丸丹饮膏煎圆酒方子]$")
_SENTENCE = tuple("。！？；）”」")


@dataclass(frozen=True)
class Book:
    """A book of a file of books; `text` begins with its title line."""

    title: str
    dynasty: str
    author: str
    text: str


def title_line(line: str) -> tuple[str, str, str] | None:
    """Title, dynasty and author of a book's first line; None where it is none."""
    match = _TITLE.fullmatch(line.strip())
    return (match[1].strip(), match[2] or "", (match[3] or "").strip()) if match else None


def is_corpus(text: str) -> bool:
    """Whether a text begins as a book of the corpus does."""
    first, _, rest = text.partition("\n")
    return title_line(first) is not None and rest.startswith("\n")


def read_books(lines: Iterable[str]) -> Iterator[Book]:
    """The books of a file, one at a time; `lines` with or without their ends."""
    current: list[str] = []
    empty = 0
    for raw in lines:
        line = raw.rstrip("\r\n")
        if empty >= 2 and current and title_line(line):
            yield _book(current)
            current = []
        empty = 0 if line else empty + 1
        current.append(line)
    if any(current):
        yield _book(current)


def _book(lines: list[str]) -> Book:
    text = "\n".join(lines).strip("\n") + "\n"
    title, dynasty, author = title_line(text.partition("\n")[0]) or ("", "", "")
    return Book(title, dynasty, author, text)


def headings(text: str) -> Iterator[Heading]:
    """The headings of a book: lines after an empty line, and names of formulas on lines of their own."""
    at = text.find("\n") + 1 if title_line(text.partition("\n")[0]) else 0
    previous = "" if at else "x"
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].strip()
        if line and _is_heading(text, previous, line, end):
            yield Heading(at, end, heading_level(line), line)
        previous = line
        at = end + 1


def _is_heading(text: str, previous: str, line: str, end: int) -> bool:
    if not previous:
        return len(line) <= 60 and not line.endswith(("。", "；", "！"))
    if not _NAME.fullmatch(line) or not previous.endswith(_SENTENCE):
        return False
    return end + 1 < len(text) and text[end + 1] != "\n"


def heading_level(name: str) -> int:
    """1 for a volume, 2 for a chapter or group, 3 for the rest."""
    if _VOLUME.match(name):
        return 1
    return 2 if _CHAPTER.match(name) else 3
