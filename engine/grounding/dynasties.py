"""About when a book was written, by its author, else by the dynasty in its title line."""

from __future__ import annotations

from engine.grounding.shelf import Shelf

# About when a dynasty was; the longest name that stands in a book's date counts.
_YEARS = {
    "西汉": -100, "东汉": 200, "汉": 200, "魏": 250, "晋": 300, "东晋": 350, "南齐": 490, "隋": 600,
    "唐": 700, "宋": 1080, "北宋": 1050, "南宋": 1200, "宋·元丰": 1078, "宋·嘉熙": 1237, "宋·宝元": 1250,
    "金": 1180, "金元": 1240, "元": 1300, "天历": 1330, "元末明初": 1360, "明": 1500, "清": 1700,
}  # fmt: skip
# About when those wrote who share a dynasty with many, by the prefaces of their main books.
_AUTHORS = {
    "朱肱": 1108, "钱乙": 1119, "许叔微": 1143, "成无己": 1156, "陈言": 1174, "宋慈": 1247,
    "徐凤": 1439, "王纶": 1502, "虞传": 1515, "韩懋": 1522, "薛己": 1545, "万全": 1549,
    "徐春甫": 1556, "李橚": 1575, "李时珍": 1578, "吴昆": 1584, "龚廷贤": 1587, "方有执": 1592,
    "王肯堂": 1602, "陈实功": 1617, "赵献可": 1617, "武之望": 1620, "张介宾": 1624, "李中梓": 1642,
    "李士材": 1642, "吴又可": 1642, "傅仁宇": 1644, "喻昌": 1658, "柯琴": 1674, "罗美。": 1675,
    "傅山": 1680, "张志聪": 1683, "萧埙": 1684, "李用粹": 1687, "汪昂": 1690, "陈士铎": 1694,
    "张璐": 1695, "尤怡": 1732, "程国彭": 1732, "王子接": 1732, "王洪绪": 1740, "吴谦": 1742,
    "叶桂": 1746, "陈复正": 1750, "何梦瑶": 1751, "徐大椿": 1757, "徐灵胎": 1757, "吴仪洛": 1761,
    "赵学敏": 1765, "黄宫绣": 1769, "沈又彭": 1774, "余霖": 1794, "吴鞠通": 1798, "陈修园": 1804,
    "陈念祖": 1804, "高秉钧": 1805, "钱潢": 1808, "江涵暾": 1824, "王清任": 1830, "王士雄": 1852,
    "吴师机": 1864, "费伯雄": 1865, "雷丰": 1882, "唐容川": 1884, "唐宗海": 1892, "叶霖": 1895,
    "张锡纯": 1918,
}  # fmt: skip
LAST = 3000


def year(dynasty: str) -> int:
    """About when a book of this dynasty was written; LAST where it is not known."""
    known = max((name for name in _YEARS if name in dynasty), key=len, default="")
    return _YEARS[known] if known else LAST


def years(shelf: Shelf) -> dict[str, int]:
    """About when each source of the library was written, by title."""
    return {
        source.title: _AUTHORS.get(source.author) or year(source.dynasty)
        for source in shelf.library.sources()
    }
