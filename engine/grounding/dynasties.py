"""About when a book was written, by the dynasty in its title line."""

from __future__ import annotations

from engine.grounding.shelf import Shelf

# About when a dynasty was; the longest name that stands in a book's date counts.
_YEARS = {
    "西汉": -100, "东汉": 200, "汉": 200, "魏": 250, "晋": 300, "东晋": 350, "南齐": 490, "隋": 600,
    "唐": 700, "宋": 1080, "北宋": 1050, "南宋": 1200, "宋·元丰": 1078, "宋·嘉熙": 1237, "宋·宝元": 1250,
    "金": 1180, "金元": 1240, "元": 1300, "天历": 1330, "元末明初": 1360, "明": 1500, "清": 1700,
}  # fmt: skip
LAST = 3000


def year(dynasty: str) -> int:
    """About when a book of this dynasty was written; LAST where it is not known."""
    known = max((name for name in _YEARS if name in dynasty), key=len, default="")
    return _YEARS[known] if known else LAST


def years(shelf: Shelf) -> dict[str, int]:
    """About when each source of the library was written, by title."""
    return {source.title: year(source.dynasty) for source in shelf.library.sources()}
