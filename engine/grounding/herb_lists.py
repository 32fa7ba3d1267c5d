"""Lists of herbs in running text: `桂枝（去皮，三两） 芍药（三两） …`."""

from __future__ import annotations

import re

from engine.library import words

Herbs = tuple[int, int, tuple[str, ...]]  # first and last character, and the herbs' commonest names
_DOSE = re.compile("[一二三四五六七八九十半百两钱分升斤枚个片合各等字匕粒把条握寸铢毫]")
_NOT_HERB = re.compile(
    "^(或|上|右|以上|共|为末|水|每服|治|主|煎|组成|方|又|加|去|本方|煮|各等|蜜丸|用|名|者|也)|主之$|^[一二三四五六七八九十两钱分半各枚]+$"
)


def _split(text: str) -> list[tuple[int, int]]:
    """items parted by white space outside brackets: (first, last)"""
    out, first, depth = [], -1, 0
    for place, character in enumerate(text):
        if character in "（(":
            depth += 1
        elif character in "）)":
            depth = max(0, depth - 1)
        if first >= 0 and depth == 0 and text[place - 1] in "）)" and "㐀" <= character <= "鿿":
            out.append((first, place))
            first = place
        elif character.isspace() and depth == 0:
            if first >= 0:
                out.append((first, place))
            first = -1
        elif first < 0:
            first = place
    if first >= 0:
        out.append((first, len(text)))
    return out


def herb_name(item: str) -> str:
    """The herb of an item, `桂枝（三两，去皮）` → 桂枝, under its commonest name; empty for what is none."""
    if "。" in item.rstrip("。") and len(item) > 30:
        return ""
    name = re.sub(r"[（(].*", "", item)
    name = re.sub(
        "(各?[一二三四五六七八九十半百两钱分升斤枚个片合]{2,}.*|各等分?.*|少许|等分|适量)$", "", name
    ).strip("。，、；：.")
    if not 1 <= len(name) <= 7 or _NOT_HERB.search(name) or not re.fullmatch(r"[㐀-鿿]+", name):
        return ""
    return words.herb_names(name)[0] if name not in words.known_herbs() else _canonical(name)


def _canonical(name: str) -> str:
    names = words.herb_names(name)
    return min(
        (n for n in names if name in words.herb_names(n)), key=lambda n: (-len(words.herb_names(n)), n)
    )


def herb_lists(text: str) -> list[Herbs]:
    """The stretches of a text that are lists of herbs: (first, last, herbs)."""
    found = []
    place = 0
    for line in _unbroken(text).split("\n"):
        for start, end in _stretches(line):
            items = _split(line[start:end])
            good: list[tuple[int, int, str]] = []
            for first, last in items:
                name = herb_name(line[start + first : start + last])
                if not name:
                    if len(good) >= 2:
                        break
                    good = []
                    continue
                good.append((start + first, start + last, name))
            if _is_list(line, good, len(items)):
                found.append((place + good[0][0], place + good[-1][1], tuple(n for _, _, n in good)))
        place += len(line) + 1
    return _joined(text, found)


def _unbroken(text: str) -> str:
    """line ends within brackets, which the corpus has by mistake, made commas: places stay the same"""
    if text.count("（") <= text.count("\n"):
        out, depth = list(text), 0
        for place, character in enumerate(text):
            depth += (character in "（(") - (character in "）)")
            depth = max(0, depth)
            if character == "\n" and depth == 1 and text.rfind("（", max(0, place - 30), place) >= 0:
                out[place] = "，"
                continue
            if character == "\n":
                depth = 0
        return "".join(out)
    return re.sub(r"（[^（）\n]{0,30}\n[^（）\n]{0,30}）", lambda m: m.group().replace("\n", "，"), text)


def _is_list(line: str, good: list[tuple[int, int, str]], items: int) -> bool:
    """whether items are herbs and no prose: doses or names that are known"""
    known = sum(name in words.known_herbs() for _, _, name in good)
    dosed = sum("（" in line[a:b] or bool(_DOSE.search(line[a:b])) for a, b, _ in good)
    if len(good) == 1:
        return bool(dosed) and items <= 2 and "（" in line[good[0][0] : good[0][1]] and bool(known)
    return len(good) >= 2 and known + dosed >= 0.5 * len(good) and (known > 0 or dosed >= 2)


def _joined(text: str, lists: list[Herbs]) -> list[Herbs]:
    """lists on lines that follow each other as one"""
    out: list[Herbs] = []
    for first, last, herbs in lists:
        between = text[out[-1][1] : first] if out else "x"
        if "\n" in between and not between.strip(" 。；、\n"):
            before = out[-1][2]
            whole = _canonical(before[-1] + herbs[0])  # a name that the line's end has cut in two
            cut = len(before[-1]) <= 2 and before[-1] + herbs[0] in words.known_herbs()
            herbs = (*before[:-1], whole, *herbs[1:]) if cut else before + herbs
            out[-1] = (out[-1][0], last, herbs)
        else:
            out.append((first, last, herbs))
    return out


def _stretches(line: str) -> list[tuple[int, int]]:
    """pieces of a line between full stops and colons outside brackets, and before 上…味"""
    out, first, depth = [], 0, 0
    for place, character in enumerate(line):
        if character in "（(":
            depth += 1
        elif character in "）)":
            depth = max(0, depth - 1)
        elif depth == 0 and (
            character in "。；：，" or re.match("[上右][一二三四五六七八九十两为㕮锉件]", line[place:])
        ):
            out.append((first, place))
            first = place + (character in "。；：，")
    out.append((first, len(line)))
    return [(a, b) for a, b in out if b - a > 1]
