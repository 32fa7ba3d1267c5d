"""What the classifier sees of a normalized message: its hashed pieces, and patterns of who, when and how bad.

Pieces are characters, pairs, triples, pairs with a gap, syllables (so that a wrong character of the right
sound still counts), Latin words, pairs of words and fours of letters, and meanings with what follows them.
Each is a number below 2**BITS. Of a message in pinyin they are its syllables alone.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations, pairwise

from engine.emergency.meanings import meanings
from engine.emergency.normalize import lines_of, syllables
from engine.emergency.pinyin import spelled

BITS = 22
_SHIFT = 64 - BITS
_WRAP = 2**64 - 1
# Numbers without a pattern (fractions of the square roots of 2, 3, 5, 7, 11) for multiplicative hashing.
_A, _B, _C, _D, _MIX = 0x6A09E667, 0xBB67AE85, 0x3C6EF373, 0xA54FF53B, 0x510E527FADE682D1
_PINYIN = (13 * _MIX & _WRAP) >> _SHIFT  # the message is pinyin
_WORD = re.compile(r"[a-z]+")

PATTERNS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern) for name, pattern in (line.split("\t") for line in lines_of("patterns.tsv"))
}
_PATTERN_NAMES = list(PATTERNS)
_PATTERN_PAIRS = {
    pair: number
    for number, pair in enumerate(combinations(range(len(_PATTERN_NAMES)), 2), len(_PATTERN_NAMES))
}


def features(text: str) -> set[int]:
    """Of a normalized text the numbers of all it holds, in no order; how often does not matter."""
    sounds = spelled(text)
    if sounds:
        return _by_sound([_sound_numbers()[sound] for sound in sounds])
    c = [ord(character) for character in text]
    c1, c2 = c[1:], c[2:]
    found = {((a * _A + 1) * _MIX & _WRAP) >> _SHIFT for a in c}
    found.update([((a * _A + b * _B + 2) * _MIX & _WRAP) >> _SHIFT for a, b in pairwise(c)])
    found.update(
        [
            ((a * _A + b * _B + d * _C + 3) * _MIX & _WRAP) >> _SHIFT
            for a, b, d in zip(c, c1, c2, strict=False)
        ]
    )
    found.update([((a * _A + d * _C + 5) * _MIX & _WRAP) >> _SHIFT for a, d in zip(c, c2, strict=False)])
    found.update(_sounds(_syllable_numbers(text)))
    found.update(_words(text))
    found.update(_meanings(meanings(text)))
    return found | patterns(text)


def patterns(text: str) -> set[int]:
    """Which of PATTERNS are in a text, and which pairs of them."""
    held = [number for number, name in enumerate(_PATTERN_NAMES) if PATTERNS[name].search(text)]
    numbers = held + [_PATTERN_PAIRS[pair] for pair in combinations(held, 2)]
    return {((number * _A + 7) * _MIX & _WRAP) >> _SHIFT for number in numbers}


def _meanings(m: list[int]) -> list[int]:
    """Meanings, and what follows what."""
    numbers = [((a * _A + 16) * _MIX & _WRAP) >> _SHIFT for a in set(m)]
    numbers += [((a * _A + b * _B + 17) * _MIX & _WRAP) >> _SHIFT for a, b in pairwise(m)]
    numbers += [((a * _A + d * _C + 18) * _MIX & _WRAP) >> _SHIFT for a, d in zip(m, m[2:], strict=False)]
    return numbers + [
        ((a * _A + b * _B + d * _C + 19) * _MIX & _WRAP) >> _SHIFT
        for a, b, d in zip(m, m[1:], m[2:], strict=False)
    ]


def by_sound(text: str) -> set[int]:
    """What `features` would find if a normalized text were typed in pinyin."""
    return _by_sound(_syllable_numbers(text))


def _by_sound(numbers: list[int]) -> set[int]:
    return {_PINYIN, *_sounds(numbers, 14)}


def _sounds(s: list[int], kind: int = 8) -> list[int]:
    """Pairs and triples of syllables; 0 is none."""
    s1, s2 = s[1:], s[2:]
    pairs = [((a * _A + b * _B + kind) * _MIX & _WRAP) >> _SHIFT for a, b in pairwise(s) if a and b]
    return pairs + [
        ((a * _A + b * _B + d * _C + kind + 1) * _MIX & _WRAP) >> _SHIFT
        for a, b, d in zip(s, s1, s2, strict=False)
        if a and b and d
    ]


def _words(text: str) -> list[int]:
    words = _WORD.findall(text)
    if not words:
        return []
    numbers = [int.from_bytes(word.encode()[:12], "little") for word in words]
    run = [ord(letter) for letter in "".join(words)]
    found = [((a * _A + 10) * _MIX & _WRAP) >> _SHIFT for a in numbers]
    found += [((a * _A + b * _B + 11) * _MIX & _WRAP) >> _SHIFT for a, b in pairwise(numbers)]
    return found + [
        ((a * _A + b * _B + d * _C + e * _D + 12) * _MIX & _WRAP) >> _SHIFT
        for a, b, d, e in zip(run, run[1:], run[2:], run[3:], strict=False)
    ]


def _syllable_numbers(text: str) -> list[int]:
    """Of each character the number of its sound, 0 where it has none."""
    table, numbers = syllables(), _sound_numbers()
    return [numbers[table[character]] if character in table else 0 for character in text]


@cache
def _sound_numbers() -> dict[str, int]:
    return {sound: number for number, sound in enumerate(sorted(set(syllables().values())), 1)}
