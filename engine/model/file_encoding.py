"""Find the encoding of an owner's text: UTF-8, UTF-16, GB18030 or Big5, with or without a byte order mark.

Only these four come up in Chinese files, so trying them beats a general detector, which takes short GBK texts
for anything. Where two decode without error, the text with more of the commonest characters is right.
"""

from __future__ import annotations

import codecs

UTF_8 = ("utf-8", "utf-8-sig")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The commonest in modern and classical Chinese, simplified and traditional, and punctuation.
_COMMON = frozenset(
    "的一是不了在人有我他这这這个個上们們来來到时時大地为為子中你说說生国國年着就那和要她出也得里后自以会會家可下而过過天去能对對"
    "小多然于於心学學么之都好看起发發当當没沒成只如事把还還用第样樣道想作种種开開美总總从從无無情己面最女但现前些所同日手又行意"
    "方气氣其者曰治主服水血脉汤湯药藥病证證热熱寒阴陰阳陽虚虛实實，。、：；？！“”「」（）《》"
)
_SAMPLE = 200_000
_LEAST = 0.05  # of a text's characters that are common ones; of chance pairs of bytes hardly any are
_LEAST_UTF_16 = 0.2  # without a mark: any bytes are UTF-16


class EncodingError(ValueError):
    """Why some bytes are no text; the message says what to do."""


def decode(data: bytes, keep_damage: bool = False) -> tuple[str, str]:
    """The text of a file's bytes, with plain line ends, and the name of its encoding. EncodingError.

    `keep_damage`: single bytes that are no UTF-8, as in a text that was cut within a character, are kept: as
    half characters, which `encode("utf-8", "surrogateescape")` turns into those bytes again.
    """
    encoding = detect(data)
    errors = "surrogateescape" if keep_damage and encoding in UTF_8 else "strict"
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EncodingError(f"line {line} is not {encoding.upper()}; save the file as UTF-8") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), encoding


def detect(data: bytes) -> str:
    """The name of the encoding of a file, judged by its beginning. EncodingError."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:_SAMPLE]
    if b"\x00" not in sample and (_decodes(sample, "utf-8") or _is_damaged_utf8(sample)):
        return "utf-8"
    candidates = ["gb18030", "big5hkscs"] if b"\x00" not in sample else []
    if len(data) % 2 == 0:
        candidates += ["utf-16-le", "utf-16-be"]
    scores = {encoding: _score(sample, encoding) for encoding in candidates}
    best = max(scores, key=lambda encoding: scores[encoding], default="")
    if not best or scores[best] < _LEAST:
        raise EncodingError("no text in UTF-8, GB18030, Big5 or UTF-16; save it as UTF-8")
    return best


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_damaged_utf8(sample: bytes) -> bool:
    """Most of what is not ASCII is UTF-8: single bytes are wrong, and another encoding would make other
    characters of all of it."""
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return sum(character > "\x7f" for character in text) > 5 * wrong


def _score(sample: bytes, encoding: str) -> float:
    """Share of the commonest characters, and of plain letters; below zero for what does not decode, and for
    text whose other characters are all rare ones."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return -1.0
    if not text or any(character < " " and character not in "\t\n\r\f" for character in text):
        return -1.0
    plain, common = sum(map(str.isascii, text)), sum(character in _COMMON for character in text)
    if encoding.startswith("utf-16"):
        share = (common + 0.5 * plain) / len(text)
        return share if share >= _LEAST_UTF_16 else -1.0
    if common < _LEAST * (len(text) - plain):
        return -1.0
    return (common + 0.1 * plain) / len(text)
