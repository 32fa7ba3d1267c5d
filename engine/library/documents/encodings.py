"""Find a text's encoding: UTF-8, UTF-16, GB18030 or Big5, with or without a byte order mark.

Only these four come up in Chinese files, so trying them beats a general detector, which takes short GBK texts
for anything. Where two decode without error, the text with more of the commonest characters is right.
"""

from __future__ import annotations

import codecs

from engine.library.documents.parsed import DocumentError

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


def decode(data: bytes) -> str:
    """The text of a file's bytes; DocumentError if they are no text in these encodings."""
    encoding = detect(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(f"byte {error.start} is not {encoding}; save the file as UTF-8") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def detect(data: bytes) -> str:
    """The name of the encoding of a file, judged by its beginning."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:_SAMPLE]
    if b"\x00" not in sample and _decodes(sample, "utf-8"):
        return "utf-8"
    candidates = ["gb18030", "big5hkscs"] if b"\x00" not in sample else []
    if len(data) % 2 == 0:
        candidates += ["utf-16-le", "utf-16-be"]
    scores = {encoding: _score(sample, encoding) for encoding in candidates}
    best = max(scores, key=lambda encoding: scores[encoding], default="")
    if not best or scores[best] < 0.05:
        raise DocumentError("no text in UTF-8, GB18030, Big5 or UTF-16; save it as UTF-8")
    return best


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _score(sample: bytes, encoding: str) -> float:
    """Share of the commonest characters, and of plain letters; below zero for what does not decode."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return -1.0
    if not text or any(character < " " and character not in "\t\n\r\f" for character in text):
        return -1.0
    letters = sum(character.isascii() for character in text) * (0.5 if encoding.startswith("utf-16") else 0.1)
    return (sum(character in _COMMON for character in text) + letters) / len(text)
