"""Names in a question: formulas, herbs and foods, books; and names that nobody knows."""

from __future__ import annotations

import re

from engine.grounding.aspects import aspects_of
from engine.grounding.shelf import Shelf
from engine.library import words

FORMULA = "汤散丸丹饮煎膏酒露锭圆"
ADDED = set(
    "杞菊知柏桂附麦味归芍参苓香砂柴芩桑翘丹栀连梅"
)  # herbs as names of formulas shorten them: 杞菊地黄丸
_NO_NAME = re.compile("哪[个种样一]|什么|怎么|(?:解|醒|伤|戒|喝|饮|下|白|黄|啤|红)酒$")  # not 枳椇子哪个解酒
_FORMULA_END = re.compile(rf"饮子|[{FORMULA}]")


def edge(text: str) -> str:
    """what of a text glued before a name is no phrase without content"""
    rest = words.strip(text).replace(" ", "")
    return re.sub(
        "^(和|与|跟|把|将|关于|对|那|就|问|书里|里|中的?|说|再|还|不对|想|看|背|加|服|吃|喝|方剂|名方|经方|方|开|宜|能|不能|不|坐月子|小孩|孕妇|产后|产妇|感冒|时候)+|(和|与|跟|的|用|服|吃|喝|说|问|方|之|能|不|叫|治|给|开|是|有|该|宜)+$",
        "",
        rest,
    )


def find_formulas(text: str, shelf: Shelf) -> tuple[list[str], str]:
    """The formulas that a text names and the library holds; and the first name that is none."""
    found: list[str] = []
    unknown = ""
    last = 0
    known = words.known_formulas()
    for match in _FORMULA_END.finditer(text):
        end = match.end()
        if end < len(text) and match.group() in "丸散" and text[end] in "剂子":
            continue
        floor = max(last, end - 14)
        names = [text[start:end] for start in range(floor, end - 1)]
        names = [n for n in names if words.bare(n) == n]
        if not names:
            continue
        if any(n in words.known_herbs() and n not in known for n in names):
            continue
        name = next((n for n in names if n in known or _is_formula(n, shelf)), "")
        if name:
            before = text[max(last, 0) : end - len(name)]
            piece = words.MARKS.split(before)[-1]
            glued = edge(piece) if piece else ""
            if (
                glued
                and len(name) <= 4
                and not words.groups(glued)
                and not words.books(glued)
                and (name not in known or set(glued) <= ADDED)
            ):
                unknown = unknown or glued + name
            else:
                found.append(name)
            last = end
        elif names and len(names) > 1 and not unknown:
            whole = words.MARKS.split(text[last:end])[-1]
            rest = edge(whole)
            if len(rest) < 3 or re.search("什么|哪|啥|熬|一?碗|喝|煮", rest[-3:]) or _NO_NAME.search(rest):
                continue
            if shelf.holds(rest):
                found.append(rest)
                last = end
            else:
                unknown = rest
    for name in sorted(known, key=len, reverse=True):
        if len(name) >= 3 and name in text and name[-1] not in FORMULA and not any(name in f for f in found):
            found.append(name)
    return found, unknown


def _is_formula(name: str, shelf: Shelf) -> bool:
    """石膏 and 阿胶 end like formulas and are none; a name of two characters says too little"""
    return len(name) > 2 and name not in words.known_herbs() and shelf.is_heading(name)


def find_herbs(text: str, shelf: Shelf) -> list[str]:
    """The herbs and foods that a text names, longest names first taken."""
    known = words.known_herbs()
    symptoms = {group.word for group in words.groups(text)}
    complaint = any(text.startswith(word) for word in symptoms)
    found: list[tuple[int, str]] = []
    taken = [False] * len(text)
    for size in range(6, 0, -1):
        for start in range(len(text) - size + 1):
            name = text[start : start + size]
            if any(taken[start : start + size]) or words.bare(name) != name:
                continue
            if start and text[start - 1] in "如像似" and (start > 1 or len(text) > size + 1):
                continue  # 身黄如橘子
            if size == 1 and (start or complaint or not aspects_of(text[1:])):
                continue
            if name not in known and (size == 1 or name in symptoms or not _is_herb(name, shelf)):
                continue
            taken[start : start + size] = [True] * size
            found.append((start, name))
    return [name for _, name in sorted(found)]


_HERB_BOOKS = (
    "本草备要",
    "本草从新",
    "本草求真",
    "本经逢原",
    "食疗本草",
    "雷公炮制药性解",
    "本草分经",
    "本草撮要",
    "本草易读",
)


def _is_herb(name: str, shelf: Shelf) -> bool:
    return any(p.book in _HERB_BOOKS for p in shelf.library.headed(name))


def books_of(text: str, shelf: Shelf) -> tuple[tuple[str, ...], str]:
    titles = {source.title for source in shelf.library.sources() if source.enabled}
    quoted = [name for name in re.findall("《([^》]+)》", text) if name in titles]
    found = [(name, (name,)) for name in quoted] + words.books(text)
    inside = [title for title in titles if len(title) > 2 and title in text]
    found += [(title, (title,)) for title in inside]
    if not found:
        return (), ""
    word, meant = max(found, key=lambda item: len(item[0]))
    return tuple(title for title in meant if title in titles), word


def find_person(text: str, shelf: Shelf) -> str:
    """The author of a book of the library whom a text names, or a name by which people call one."""
    titles = {source.title for source in shelf.library.sources()}
    called = [word for word, _ in words.books(text) if len(word) > 1 and word not in titles]
    authors = {source.author for source in shelf.library.sources() if source.enabled}
    found = [name for name in authors if len(name) > 1 and name in text] + called
    return max(found, key=len, default="")


def is_book(title: str, titles: tuple[str, ...]) -> bool:
    """whether a title in its marks is a book's, its nickname or a part of its name"""
    return (
        title in titles
        or any(word == title for word, _ in words.books(title))
        or any(title in t for t in titles)
    )


def grows(text: str, herb: str) -> bool:
    """whether the name goes on to another one that nobody knows: 玻璃花"""
    after = text[text.find(herb) + len(herb) :][:1]
    return (
        bool(after)
        and after in "花草根叶藤果芝参豆木石"
        and herb + after not in words.known_herbs()
        and not herb.endswith(after)
    )


_TOGETHER = re.compile(
    "一起(?:能|可以)?[吃用喝服煮泡炖煎]|一块儿?[吃用喝服泡煮]|同[吃用服食煮炖泡]|同时[吃用喝服]|混着?[吃用喝服]|合用|并用|搭配?[吃用着]|相克|相冲|犯冲|冲突|"
    "(?:能|可以|可)[和跟与同].{1,8}(?:吃|用|喝|服|泡|煮|炖|配)|配伍|相反吗|反不反|(?:能|可以|可)不?能?配|"
    "[吃喝服].{1,6}(?:能|可以|还能|后)不?能?再?[吃喝].|一起(?:能|可以|行)?[吗么]"
)
_ONE = re.compile("(?:^|[和跟与同加配吃喝服、])([一-龥])(?=[和跟与同加能可一会不吃为吗么好行、]|$)")
# Two things of which the books may know one alone: 鸡蛋和豆浆能一起吃吗
_AND = re.compile(
    "([一-龥]{1,6}?)(?:能不能|可不可以|可以|能|可)?[和跟与同]([一-龥]{1,6}?)(?:能|可|一起|一块|同[吃用服食]|相克)"
)
_WHICH = re.compile("什么|啥|哪|谁|怎")


def taken_together(text: str, shelf: Shelf) -> tuple[str, ...]:
    """The two things of which a question asks whether they go together; empty for another question."""
    if not _TOGETHER.search(text):
        return ()
    formulas = find_formulas(text, shelf)[0]
    rest = text
    for name in formulas:
        rest = rest.replace(name, "〇" * len(name))
    herbs = [name for name in find_herbs(rest, shelf) if len(name) > 1]
    for name in herbs:
        rest = rest.replace(name, "〇" * len(name))
    single = [found[1] for found in _ONE.finditer(rest) if found[1] in words.known_herbs()]
    things = sorted(dict.fromkeys((*formulas, *herbs, *single)), key=text.find)
    if len(things) == 1 and not _WHICH.search(text):
        sides = _AND.search(text)
        other = [side for side in (sides.groups() if sides else ()) if things[0] not in side]
        things += other if len(other) == 1 and words.bare(words.strip(other[0])) == other[0] else []
    return tuple(things[:2]) if len(things) > 1 else ()
