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
DANGER, WORRY = "ⓥ", "ⓦ"  # a sign of life far outside of what is normal, and outside
_KEPT = FEVER + DANGER + WORRY
_VALUE = r"[^0-9,，。;；]{0,6}?"  # between the name and its number: 降到, 测出来只有
_NOT_TIME = r"(?![0-9年天岁个月])"
_SIGNS = re.compile(
    rf"(?P<glucose>(?:血糖|glucose|sugar){_VALUE}[0-9]+(?:\.[0-9]+)?{_NOT_TIME})"
    rf"|(?P<oxygen>(?:血氧|氧饱和|spo2|oxygen){_VALUE}[0-9][0-9]{_NOT_TIME})"
    rf"|(?P<pressure>(?:血压|高压|收缩压|\bbp\b|blood pressure){_VALUE}[0-9]{{2,3}}{_NOT_TIME})"
    rf"|(?P<pulse>(?:心率|心跳|脉搏|脉率|heart rate|pulse){_VALUE}[0-9]{{2,3}}{_NOT_TIME})"
)
# What is no danger by itself, and what is no worry: from, below (glucose in mmol/l; from 70 on it is mg/dl).
_BEARABLE = {"glucose": (3.0, 22.0), "oxygen": (91, 101), "pressure": (80, 200), "pulse": (41, 150)}
_USUAL = {"glucose": (3.9, 14.0), "oxygen": (94, 101), "pressure": (85, 160), "pulse": (46, 125)}
_MG_DL = 70, 18  # from where on it is that, and how many of them are one mmol/l


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
    text = _SIGNS.sub(_value, _FEVER.sub(FEVER, text))
    text = "".join(map(_kept, text.replace("'", "").replace("’", "")))
    text = " ".join(text.split())
    text = _LETTERS_APART.sub(lambda found: found[0].replace(" ", ""), text)
    text = _NUMBER.sub(lambda found: _size(found[0]), text)
    return _REPEATED.sub(r"\1", _SPACE_BESIDE_CHINESE.sub("", text))


@cache
def _kept(character: str) -> str:
    """Letters and digits stay, what has no width goes, all else is a space."""
    if character.isalnum() or character in _KEPT:
        return character
    return "" if unicodedata.category(character) in ("Mn", "Cf", "Me") else " "


def _value(found: re.Match[str]) -> str:
    """A sign of life with its number; DANGER or WORRY in the number's place where it is one."""
    said, name = found[0], found.lastgroup or ""
    digits = said[len(said.rstrip("0123456789.")) :].lstrip(".")
    number = float(digits)
    if name == "glucose" and number >= _MG_DL[0]:
        number /= _MG_DL[1]
    for mark, (low, high) in ((DANGER, _BEARABLE[name]), (WORRY, _USUAL[name])):
        if not low <= number < high:
            return said.removesuffix(digits) + mark
    return said


def _size(number: str) -> str:
    digits = len(number.split(".")[0])
    return SMALL if digits == 1 else MIDDLE if digits == 2 else LARGE


def lines_of(name: str) -> list[str]:
    """Of a file of this folder, without the remarks."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
