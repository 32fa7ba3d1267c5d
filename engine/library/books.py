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
    rf"卷(?:之|第)?{_NUMBER}|(?:\S*\s)?\S*卷(?:之|第)?(?:{_NUMBER}|[上中下首末终])(?:[上中下]|之[上中下])?(?!\w{{3}})"
    rf"|(?:\S*\s)?第?(?:{_NUMBER}|[首上中下])卷|\S{{2,6}}[上中下]卷(?:\s|$)"
)
_CHAPTER = re.compile(
    rf"第{_NUMBER}[篇章节]|(?!百部$|.{{9}}).*(?:[篇部类章]|..门|[上中下]品|之剂)$|.*第{_NUMBER}(?:[上中下])?$|.*篇第{_NUMBER}"
)
_NAME = re.compile(r"[^。，；：！？、（）]{2,14}[汤散丸丹饮膏煎圆酒方子]$")
_PLAIN = re.compile(r"(?![（(【\[])[^。，；：！？,;:!?]{1,30}")
_CLAUSE = re.compile(
    r"\d{1,3}[．.]|[一二三四五六七八九十百]{2,}、"
)  # a numbered clause, which ends a formula
_UNMARKED_CHARACTERS = 8000  # a book with fewer than one empty line for so many has lost them
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
    """The headings of a book: lines after an empty line, and what stands on a line of its own like a name.

    That is a formula's name, a chapter's below its volume, and, in books that have lost their empty lines,
    any short line without punctuation. A numbered clause after a formula belongs to the chapter again.
    """
    lines = list(_lines(text))
    marked = sum(1 for i, (_, _, line) in enumerate(lines) if line and i and not lines[i - 1][2])
    unmarked = marked * _UNMARKED_CHARACTERS < len(text)
    above = 3
    formula = False
    for i, (start, end, line) in enumerate(lines):
        before = lines[i - 1][2] if i else "x"
        after = lines[i + 1][2] if i + 1 < len(lines) else ""
        if not line or (i == 0 and title_line(line)):
            continue
        if (
            _after_empty_line(before, line)
            or (after and _PLAIN.fullmatch(line) and (above < 3 or unmarked) and len(after) > len(line))
            or (after and _NAME.fullmatch(line) and before.endswith(_SENTENCE))
        ):
            above = heading_level(line)
            yield Heading(start, end, above, line)
            formula = bool(_NAME.fullmatch(line))
        else:
            above = 3
            if formula and _CLAUSE.match(line):
                formula = False
                yield Heading(start, start, 3, "")


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, start + len(line), line.strip()
        start += len(line) + 1


def _after_empty_line(before: str, line: str) -> bool:
    return not before and len(line) <= 60 and not line.endswith(("。", "；", "！"))


def plain_headings(text: str) -> Iterator[Heading]:
    """The headings of a text without marks: short lines between an empty line and a line that is none."""
    lines = list(_lines(text))
    for i, (start, end, line) in enumerate(lines[:-1]):
        if (i == 0 or not lines[i - 1][2]) and lines[i + 1][2] and _PLAIN.fullmatch(line):
            yield Heading(start, end, 1, line)


def heading_level(name: str) -> int:
    """1 for a volume, 2 for a chapter or group, 3 for the rest."""
    if _VOLUME.match(name):
        return 1
    return 2 if _CHAPTER.match(name) else 3


_NAMED = re.compile(r"[汤散丸丹饮煎](?=方?[亦悉皆]?(?:主之|。?方)[^\n]{0,60}\n[^\n。]{0,20}（)")
_BEFORE_NAME = re.compile(r".*[，。；：、！？（）()\s“”「」\d]")
_LEAD = re.compile(r"(?:.*[宜与属服用作以者])?(?:又|此|次|故名|一名)?(?:疗.*)?")


def formulas_within(text: str) -> list[str]:
    """Names of formulas whose herbs stand in the line below the clause that names them, as in 《伤寒论》."""
    names = []
    for match in _NAMED.finditer(text):
        before = text[max(0, match.start() - 12) : match.end()]
        names.append(_LEAD.sub("", _BEFORE_NAME.sub("", before, count=1), count=1))
    return [name for name in dict.fromkeys(names) if len(name) > 2]
