"""A question's words in the library's: one script, no empty phrases, the classics' words for the people's.

Readable tables in `terms/` carry the knowledge: `symptoms.tsv` and `concepts.tsv` (what people say and what
the books say), `herbs.tsv`, `formulas.tsv` and `books.tsv` (names and nicknames), `stop.txt` (phrases
without content), `modern.txt` and `elsewhere.txt` (what the classics cannot know). An owner extends them
by a line. Nothing here knows the index.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TERMS = Path(__file__).with_name("terms")
GAP = "…"  # in a table: up to six characters that do not matter
MARKS = re.compile(r"[\s，。、；：？！“”‘’「」『』《》〈〉（）()\[\]【】…—·,.;:?!\"'~～-]+")


@dataclass(frozen=True)
class Group:
    """One thing that a question names: the people's word and every word the books may use for it."""

    word: str
    alternatives: tuple[str, ...]


def _lines(name: str) -> list[str]:
    text = (TERMS / name).read_text("utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _words(cell: str) -> list[str]:
    return [word for word in re.split("[、,]", cell.strip()) if word]


def rows(file: str) -> list[list[str]]:
    """The lines of a table of `terms/`, cut at the tabs."""
    return [line.split("\t") for line in _lines(file)]


def table(file: str) -> dict[str, tuple[str, ...]]:
    """A table of `terms/` whose lines are a name, a tab, and words parted by 、"""
    return {name: tuple(_words(cell)) for name, cell in rows(file)}


@cache
def lost_headings() -> dict[tuple[str, str], str]:
    """The name meant by (book, heading) where the source's heading has lost a rare character."""
    return {(book, head): name for head, name, books in rows("lost_headings.tsv") for book in _words(books)}


@cache
def _not_people() -> re.Pattern[str]:
    words = sorted(
        (word for line in _lines("not_people.txt") for word in _words(line)), key=len, reverse=True
    )
    return re.compile(f"(?:我家?的?|我们?家的?|家里的?|养的)?(?:{'|'.join(words)})(?!.?[咬抓蜇叮舔蹭])")


def of_no_person(question: str) -> str:
    """The animal, plant or thing that a question begins with; empty where it begins with none."""
    match = _not_people().match(question)
    return match.group() if match else ""


@cache
def _characters() -> dict[int, str]:
    """variants to the standard character, and full-width letters and digits to half"""
    table = {code: chr(code - 0xFEE0) for code in range(0xFF10, 0xFF5B) if chr(code - 0xFEE0).isalnum()}
    for line in _lines("characters.txt"):
        standard, *variants = line.partition("#")[0].split()
        table.update({ord(variant): standard for variant in variants})
    return table


def simplify(text: str) -> str:
    """Standard characters, character for character: offsets hold. Punctuation and capitals stay."""
    return text.translate(_characters())


def tidy(question: str) -> str:
    """A question as one line: composed, simplified, without control characters."""
    text = unicodedata.normalize("NFC", question)
    return simplify(" ".join("".join(c if c.isprintable() else " " for c in text).split()))


def bare(text: str) -> str:
    """Letters, digits and Chinese characters alone."""
    return MARKS.sub("", text)


@cache
def _stop() -> re.Pattern[str]:
    words = sorted(set(_lines("stop.txt")), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words)))


def strip(question: str) -> str:
    """The question without the phrases that carry no content, in pieces parted by spaces."""
    return " ".join(MARKS.sub(" ", _stop().sub(" ", question)).split())


def _pattern(word: str) -> str:
    return ".{0,6}?".join(map(re.escape, word.split(GAP)))


@cache
def _people(
    file: str,
) -> tuple[re.Pattern[str], dict[str, tuple[str, ...]], list[tuple[re.Pattern[str], str]]]:
    """(longest plain words first, their classical words, the words with a gap)"""
    table: dict[str, tuple[str, ...]] = {}
    for line in _lines(file):
        people, books = line.split("\t")
        for word in _words(people):
            table[word] = tuple(dict.fromkeys((*table.get(word, ()), *_words(books))))
    for line in _lines(file):
        for word in _words(line.split("\t")[1]):  # a classical word names itself
            if len(word) > 1 and GAP not in word:  # such as a term that the asker knows
                table.setdefault(word, (word,))
    plain = sorted((w for w in table if GAP not in w), key=len, reverse=True)
    gapped = sorted((w for w in table if GAP in w), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, plain))), table, [(re.compile(_pattern(w)), w) for w in gapped]


@cache
def _first_words() -> dict[str, str]:
    out: dict[str, str] = {}
    for line in _lines("symptoms.tsv"):
        people = _words(line.split("\t")[0])
        out |= {word: people[0] for word in people if word not in out}
    return out


def usual_word(word: str) -> str:
    """The first word of the line of `symptoms.tsv` that has a complaint's word; the word itself for none."""
    known = _first_words()
    gapped = (first for other, first in known.items() if GAP in other and re.fullmatch(_pattern(other), word))
    return known.get(word) or next(gapped, word)


def groups(question: str, file: str = "symptoms.tsv") -> list[Group]:
    """What a complaint names, in the order of the question; longest words first, none inside another.

    With `concepts.tsv` the ideas that a question on theory names.
    """
    pattern, table, gapped = _people(file)
    found: list[tuple[int, Group]] = []
    taken = [False] * len(question)
    for expression, word in gapped:
        for match in expression.finditer(question):
            found.append((match.start(), Group(match.group(), table[word])))
            break
    for match in pattern.finditer(question):
        word = match.group()
        if not any(taken[match.start() : match.end()]):
            taken[match.start() : match.end()] = [True] * len(word)
            own = (word,) if file == "symptoms.tsv" else ()
            found.append((match.start(), Group(word, tuple(dict.fromkeys((*own, *table[word]))))))
    return [group for _, group in sorted(found, key=lambda item: item[0])]


@cache
def _names(file: str) -> dict[str, tuple[str, ...]]:
    """every name of a table and all names of the same thing, the name asked for first"""
    table: dict[str, list[str]] = {}
    for line in _lines(file):
        head, others = line.split("\t")
        names = [head, *_words(others)]
        for name in names:
            table.setdefault(name, [name])
            table[name] += [other for other in names if other not in table[name]]
    return {name: tuple(names) for name, names in table.items()}


def herb_names(name: str) -> tuple[str, ...]:
    return _names("herbs.tsv").get(name, (name,))


def formula_names(name: str) -> tuple[str, ...]:
    return _names("formulas.tsv").get(name, (name,))


@cache
def known_herbs() -> frozenset[str]:
    return frozenset(_names("herbs.tsv"))


@cache
def known_formulas() -> frozenset[str]:
    return frozenset(_names("formulas.tsv"))


@cache
def _books() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in _lines("books.tsv"):
        people, titles = line.split("\t")
        for word in _words(people):
            table[word] = tuple(_words(titles))
    return re.compile("|".join(sorted(map(re.escape, table), key=len, reverse=True))), table


def book_names() -> frozenset[str]:
    """What people call books and authors."""
    return frozenset(_books()[1])


def books(question: str) -> list[tuple[str, tuple[str, ...]]]:
    """Books and authors that a question names: (its word, the titles meant)."""
    pattern, table = _books()
    return [(match.group(), table[match.group()]) for match in pattern.finditer(question)]


@cache
def _foreign(name: str) -> re.Pattern[str]:
    words = [word for line in _lines(name) for word in _words(line)]
    latin = [rf"(?<![A-Za-z]){re.escape(w)}(?![A-Za-z])" for w in words if w.isascii()]
    others = sorted((re.escape(w) for w in words if not w.isascii()), key=len, reverse=True)
    return re.compile("|".join(latin + others), re.IGNORECASE)


def modern_words(question: str) -> list[str]:
    """Words of modern medicine in a question."""
    return _foreign("modern.txt").findall(question)


def foreign_words(question: str) -> list[str]:
    """Words of other fields in a question."""
    return _foreign("elsewhere.txt").findall(question)
