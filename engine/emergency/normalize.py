"""What a message says, without how it is typed: the form that the classifier reads.

Full and half width, capitals, traditional characters, spaces, punctuation, emoji and repeated characters
carry no meaning here, so nothing of that kind put into a message can silence it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files

_NUMBER = re.compile(r"\d+(?:[.:/]\d+)?")
_FEVER = re.compile(r"(?:3[89]|4[0-3])(?:\.\d+)?(?:度|°|c\b)|\b(?:39|4[0-2])\.\d\b")
_LETTERS_APART = re.compile(r"\b(?:[a-z] ){3,}[a-z]\b")
_SPACE_BESIDE_CHINESE = re.compile(r"(?<![a-z0-9]) | (?![a-z0-9])")
_REPEATED = re.compile(r"([^\d ])\1+")
FEVER, SMALL, MIDDLE, LARGE = "ⓕ", "①", "②", "③"  # a fever, a number of one digit, of two, of more


@cache
def simplified() -> dict[int, int]:
    """A table for str.translate: some 2,800 traditional characters to simplified ones."""
    traditional, plain = lines_of("simplified.txt")
    return str.maketrans(traditional, plain)


@cache
def syllables() -> dict[str, str]:
    """Of 6,700 characters the syllable without its tone; sounds that typing confuses are one (zh z, ng n)."""
    rows = (line.split("\t") for line in lines_of("syllables.tsv"))
    return {character: sound for sound, characters in rows for character in characters}


def normalize(text: str) -> str:
    """Chinese characters with nothing between, Latin words with one space between, numbers as classes."""
    text = unicodedata.normalize("NFKC", text).lower().translate(simplified())
    text = _FEVER.sub(FEVER, text)
    text = "".join(map(_kept, text.replace("'", "").replace("’", "")))
    text = " ".join(text.split())
    text = _LETTERS_APART.sub(lambda found: found[0].replace(" ", ""), text)
    text = _NUMBER.sub(lambda found: _size(found[0]), text)
    return _REPEATED.sub(r"\1", _SPACE_BESIDE_CHINESE.sub("", text))


@cache
def _kept(character: str) -> str:
    """Letters and digits stay, what has no width goes, all else is a space."""
    if character.isalnum() or character == FEVER:
        return character
    return "" if unicodedata.category(character) in ("Mn", "Cf", "Me") else " "


def _size(number: str) -> str:
    digits = len(number.split(".")[0])
    return SMALL if digits == 1 else MIDDLE if digits == 2 else LARGE


def lines_of(name: str) -> list[str]:
    """Of a file of this folder, without the remarks."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
