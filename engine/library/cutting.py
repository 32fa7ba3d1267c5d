"""Cut a text into what the index knows: single characters, pairs of neighbours, and Latin words.

Chinese has no spaces between its words, and the classics' words stand in no word list. Pairs of neighbouring
characters find words of two characters and more; single characters find the names of one.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from operator import add

_IDEOGRAPHS = (
    "々〇㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff"  # of all planes, with the marks of repetition and zero
)
_BETWEEN = re.compile(f"[^{_IDEOGRAPHS}]+")
_WORD = re.compile(rf"[^\W_{_IDEOGRAPHS}]+")  # Latin, Greek, numbers
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}

MAX_HEADING_KEY = 24  # characters; longer headings are sentences, not names


@cache
def _characters() -> dict[int, int]:
    """Full width to half, capitals to small, variants (terms/characters.txt) to the standard character.

    A line of the file holds the standard character, then its variants, parted by spaces.
    """
    table = dict(_FULL_WIDTH)
    path = files("engine.library").joinpath("terms", "characters.txt")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            standard, *variants = line.partition("#")[0].split() or [""]
            table.update({ord(variant): ord(standard) for variant in variants})
    for small in range(ord("a"), ord("z") + 1):
        table[small - 32] = table[small - 32 + 0xFEE0] = small
    return table


def normalise(text: str) -> str:
    """The text as the index spells it, character for character, so that places stay the same."""
    return text.translate(_characters())


def tokens(text: str) -> list[str]:
    """Words of other scripts, then each ideograph, then each pair of neighbouring ideographs."""
    text = normalise(text)
    ideographs = _BETWEEN.sub(" ", text)
    pairs = [pair for pair in map(add, ideographs, ideographs[1:]) if " " not in pair]
    return [*_WORD.findall(text), *ideographs.replace(" ", ""), *pairs]


def token_text(text: str) -> str:
    """The tokens of a text parted by spaces, as the index takes them."""
    return " ".join(tokens(text))


_NUMBERING = re.compile(
    r"^(?:[（(]?第?[一二三四五六七八九十百零〇\d]+[）)]?[、．.\s]|[（(][一二三四五六七八九十百\d]+[）)]|[◎○●·\s]+)\s*"
)
_BRACKETS = re.compile(r"[（(〔\[【][^（()）〔〕\[\]【】]*[）)〕\]】]")
_NOT_WORD = re.compile(r"[\W_]+")


def heading_key(name: str) -> str:
    """A heading as names are compared: without numbering, brackets, punctuation, 方 after a formula's name.

    Empty for what is no name.
    """
    name = normalise(name.strip())
    name = _NUMBERING.sub("", name)
    bare = _NOT_WORD.sub("", _BRACKETS.sub("", name)) or _NOT_WORD.sub("", name)
    if len(bare) > 3 and bare.endswith("方") and bare[-2] in "汤散丸丹饮膏煎圆酒":
        bare = bare[:-1]
    return bare if len(bare) <= MAX_HEADING_KEY else ""


_KIND_OF_FORMULA = re.compile(r"[^剂]{1,4}剂(.{2,}[汤散丸丹饮煎膏])")  # 辛凉平剂银翘散
_REST_OF_NAME = re.compile(r"[（(](汤|散|丸|丹|饮|饮子|煎|膏|圆|酒)[，,。）)]")


def heading_keys(name: str, text: str = "") -> list[str]:
    """The keys of a heading: its own, those of its parts where it names several, of a name that goes on.

    Verse books write a formula's name as `回阳救急（汤，…）`, the bracket being the beginning of the text.
    """
    keys = [heading_key(name)]
    parts = name.split()
    if 1 < len(parts) <= 4:
        keys += [heading_key(part) for part in parts if len(part) > 1]
    kind = _KIND_OF_FORMULA.fullmatch(keys[0])
    if kind:
        keys.append(kind[1])
    rest = _REST_OF_NAME.match(text)
    if rest and keys[0]:
        keys.append(keys[0] + rest[1])
    return [key for key in dict.fromkeys(keys) if key]
