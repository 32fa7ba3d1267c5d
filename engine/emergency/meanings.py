"""Words of one meaning (meanings.tsv): 脸是斜的 is 嘴巴歪了; few messages of either are enough."""

from __future__ import annotations

from functools import cache

from engine.emergency.normalize import lines_of, normalize


def meanings(text: str) -> list[int]:
    """Of a normalized text the meanings in their order, numbered from 1; one is not given twice in a row."""
    found: list[int] = []
    table, place = _words(), 0
    while place < len(text):
        for word, number, whole in table.get(text[place], ()):
            if text.startswith(word, place) and (not word.isascii() or _alone(text, place, word, whole)):
                if found[-1:] != [number]:
                    found.append(number)
                place += len(word)
                break
        else:
            place += 1
    return found


def _alone(text: str, place: int, word: str, whole: bool) -> bool:
    """Whether a Latin word does not begin, or end, inside of another."""
    before, after = text[place - 1 : place], text[place + len(word) : place + len(word) + 1]
    return not _is_letter(before) and not (whole and _is_letter(after))


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


@cache
def _words() -> dict[str, list[tuple[str, int, bool]]]:
    """Of a first character the words, their meanings and whether they are whole; the longest first."""
    table: dict[str, list[tuple[str, int, bool]]] = {}
    for number, line in enumerate(lines_of("meanings.tsv"), 1):
        for entry in line.split("\t")[1].split(","):
            word = normalize(entry.removesuffix("*")) or entry
            table.setdefault(word[0], []).append((word, number, not entry.endswith("*")))
    for words in table.values():
        words.sort(key=lambda row: (-len(row[0]), row[1]))
    return table
