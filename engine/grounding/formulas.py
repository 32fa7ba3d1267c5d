"""Formulas: the herb list that most books agree on, indications, preparation.

Compositions by the medoid: every list under the name casts its book's vote for each of its herbs, and the real
list that agrees best with the votes is quoted, the better known book first among equals.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from engine.grounding.records import Citation, Draft
from engine.grounding.question import Question
from engine.grounding.shelf import Entry, Shelf, plain, sentences, standing
from engine.library import words

_ITEM = re.compile(r"([^\s（）()、，。；：]{1,9})((?:[（(][^（）()]{0,60}[）)]?)*)([。．.，、]?)")
_DOSE = re.compile("[一二三四五六七八九十半百两钱分升斤枚个片合各等字匕粒把条握寸铢毫]")
_NOT_HERB = re.compile("^(或|上|右|以上|共|为末|水|每服|治|主|煎|组成|方|又|加|去|本方|煮|各等|蜜丸|用|名|者|也)|主之$|^[一二三四五六七八九十两钱分半各枚]+$")
_PREPARE = re.compile("上[一二三四五六七八九十两]+味|右[一二三四五六七八九十两]+味|[上右]件?[药为锉㕮]|为末|水[一二三四五六七八九十两半]+[升杯碗盏钟茶]|煮取|水煎|煎服|煎[一二三四五六七八九十]|每服|顿服|温服|作[一二三]服|调下|为丸|分[温]?[二三]服|共[为研]|蜜丸|和丸")
_INDICATED = re.compile("治|主之|主治|疗|宜|之剂|者.{0,4}(?:用|服)|此方|专")
_ACTS = re.compile("与|宜|可与|主之")


@dataclass(frozen=True)
class HerbList:
    entry: Entry
    first: int
    last: int
    herbs: tuple[str, ...]  # under the names that most headings have


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
    """The herb of an item of a list, `桂枝（三两，去皮）` → 桂枝, under its commonest name; empty for what is none."""
    if "。" in item.rstrip("。") and len(item) > 30:
        return ""
    name = re.sub(r"[（(].*", "", item)
    name = re.sub("(各?[一二三四五六七八九十半百两钱分升斤枚个片合]{2,}.*|各等分?.*|少许|等分|适量)$", "", name).strip("。，、；：.")
    if not 1 <= len(name) <= 7 or _NOT_HERB.search(name) or not re.fullmatch(r"[㐀-鿿]+", name):
        return ""
    return words.herb_names(name)[0] if name not in words.known_herbs() else _canonical(name)


def _canonical(name: str) -> str:
    names = words.herb_names(name)
    return min((n for n in names if name in words.herb_names(n)), key=lambda n: (-len(words.herb_names(n)), n))


def herb_lists(text: str) -> list[tuple[int, int, tuple[str, ...]]]:
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


def _joined(text: str, lists: list[tuple[int, int, tuple[str, ...]]]) -> list[tuple[int, int, tuple[str, ...]]]:
    """lists on lines that follow each other as one"""
    out: list[tuple[int, int, tuple[str, ...]]] = []
    for first, last, herbs in lists:
        between = text[out[-1][1] : first] if out else "x"
        if "\n" in between and not between.strip(" 。；、\n"):
            before = out[-1][2]
            whole = _canonical(before[-1] + herbs[0])  # a name that the line's end has cut in two
            cut = len(before[-1]) <= 2 and before[-1] + herbs[0] in words.known_herbs()
            herbs = before[:-1] + (whole,) + herbs[1:] if cut else before + herbs
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
        elif depth == 0 and (character in "。；：，" or re.match("[上右][一二三四五六七八九十两为㕮锉件]", line[place:])):
            out.append((first, place))
            first = place + (character in "。；：，")
    out.append((first, len(line)))
    return [(a, b) for a, b in out if b - a > 1]


def entries_of(names: tuple[str, ...], question: Question, shelf: Shelf) -> list[tuple[Entry, int]]:
    """Entries on a formula and where in each it begins: under its heading, or after the clause that names it."""
    found = [(entry, 0) for entry in shelf.headed(names)]
    seen = {p.id for entry, _ in found for p in entry.passages}
    query = {name: 3.0 for name in names}
    hits = shelf.search(query, 40, heading_factor=0.5)
    for book in (*question.books[:3], "伤寒论", "金匮要略方论", "温病条辨", "傅青主女科歌括"):
        hits += _in_book(shelf, query, book)
    for hit in hits:
        if hit.id in seen:
            continue
        place = hit.text.find(question.topic)
        if place >= 0:
            seen.add(hit.id)
            entry = shelf.entry(hit, 0, 1)
            found.append((entry, place))
    return found


def _in_book(shelf: Shelf, query: dict[str, float], book: str) -> list:
    try:
        return shelf.search(query, 12, book=book, heading_factor=0.5)
    except ValueError:
        return []


def lists_of(names: tuple[str, ...], entries: list[tuple[Entry, int]]) -> list[HerbList]:
    """The first herb list of each entry that belongs to the formula."""
    out = []
    for entry, place in entries:
        headed = place == 0 and entry.key in names
        lists = herb_lists(entry.text)
        if headed:
            chosen = next((x for x in lists), None)
        else:
            chosen = _after_name(entry.text, names[:1], lists)
        if chosen:
            out.append(HerbList(entry, *chosen))
    return out


def _after_name(text: str, names: tuple[str, ...], lists: list) -> tuple[int, int, tuple[str, ...]] | None:
    """the list that follows the name with nothing else between than the end of its clause"""
    for name in names:
        for match in re.finditer(re.escape(name), text):
            follows = next((x for x in lists if x[0] >= match.end()), None)
            if follows is None:
                continue
            between = text[match.end() : follows[0]]
            if len(between) <= 28 and not re.search("[汤散丸饮]", between.replace("煮散", "")) and (
                re.match("方|主之|（|。|\n|：|组成|[一二三四五六七八九十]", between) or not between.strip()
            ):
                before = text[max(0, match.start() - 1) : match.start()]
                if before in ("加", "合", "与", "用") and "主之" not in between:
                    continue
                return follows
    return None


def medoid(lists: list[HerbList]) -> tuple[HerbList, list[HerbList]]:
    """The list that agrees best with all votes, and the lists of other books that differ from it much."""
    votes: Counter[str] = Counter()
    voters: dict[str, set[str]] = defaultdict(set)
    books = set()
    for item in lists:
        books.add(item.entry.book)
        for herb in item.herbs:
            voters[herb].add(item.entry.book)
    for herb, names in voters.items():
        votes[herb] = sum(1 + 2 * standing("formula", book) for book in names)  # type: ignore[assignment]
    total = sum(1 + 2 * standing("formula", book) for book in books)

    def agreement(item: HerbList) -> float:
        mine = set(item.herbs)
        inside = sum(votes[h] for h in mine)
        return 2 * inside / (total * len(mine) + sum(votes.values()))

    def rank(item: HerbList) -> float:
        headed = item.entry.key and item.first < 400
        text = item.entry.text[item.first : item.last]
        broken = text.count("（") != text.count("）") or text[-1] in "，、"  # the corpus has lost its end
        return agreement(item) - 0.12 * broken + 0.16 * standing("formula", item.entry.book) + 0.06 * bool(headed)

    best = max(lists, key=rank)
    differ = [x for x in lists if x.entry.book != best.entry.book and _f1(x.herbs, best.herbs) < 0.6]
    return best, differ


def _f1(mine: tuple[str, ...], other: tuple[str, ...]) -> float:
    both = len(set(mine) & set(other))
    return 2 * both / (len(set(mine)) + len(set(other)))


def _named(items: list, question: Question, book_of) -> list:
    """those of the book that was asked for, where it has any"""
    chosen = [x for x in items if book_of(x) in question.books]
    return chosen or items


def composition(question: Question, shelf: Shelf) -> Draft | None:
    names = question.names
    entries = entries_of(names, question, shelf)
    lists = lists_of(names, entries)
    if not lists:
        return None
    lists = _named(lists, question, lambda x: x.entry.book)
    best, differ = medoid(lists)
    last = best.last
    citations = [best.entry.cite(best.first, last)]
    leads = [f"{question.topic}的组成"]
    if question.asks("preparation"):
        more = _preparation_after(best)
        if more:
            citations.append(more)
            leads.append("服法")
    others = len({x.entry.book for x in differ})
    note = f"另有{_number(others)}书方不同。" if others else ""
    return Draft(citations, leads, note, 1.0, True)


def _number(count: int) -> str:
    return "零一两三四五六七八九十"[count] if count <= 10 else str(count)


def _preparation_after(best: HerbList) -> Citation | None:
    for first, last in sentences(best.entry.text):
        if first >= best.last - 1 and _PREPARE.search(best.entry.text[first:last]):
            return best.entry.cite(first, min(last, first + 120))
        if first > best.last + 260:
            break
    return None


def preparation(question: Question, shelf: Shelf) -> Draft | None:
    lists = lists_of(question.names, entries_of(question.names, question, shelf))
    if not lists:
        return None
    lists = _named(lists, question, lambda x: x.entry.book)
    best, _ = medoid(lists)
    ranked = []
    for item in lists:
        if _f1(item.herbs, best.herbs) < 0.6:
            continue
        citation = _preparation_after(item)
        if citation:
            water = bool(re.search("[升杯碗盏钟]", citation.quote))
            ranked.append((standing("formula", item.entry.book) + 0.15 * water, len(ranked), citation))
    if not ranked:
        return None
    return Draft([max(ranked)[2]], [f"{question.topic}的煎服法"], "", 1.0, True)


def indications(question: Question, shelf: Shelf) -> Draft | None:
    names = question.names
    found: list[tuple[float, int, Citation]] = []
    for entry, place in entries_of(names, question, shelf):
        headed = place == 0 and entry.key in {plain(n) for n in names} | set(names)
        found += _indications_in(entry, names, headed, len(found))
    found = _named(found, question, lambda x: x[2].book)
    if not found:
        return None
    asked = {c for g in question.groups for a in g.alternatives for c in [a]}
    found = [(s + 0.3 * any(a in c.quote for a in asked), i, c) for s, i, c in found]
    found.sort(key=lambda x: (-x[0], x[1]))
    chosen: list[Citation] = []
    for _, _, citation in found:
        if all(citation.book != c.book and plain(c.quote)[:12] not in plain(citation.quote) for c in chosen):
            chosen.append(citation)
        if len(chosen) == 2 or sum(len(c.quote) for c in chosen) > 110:
            break
    return Draft(chosen, [f"{question.topic}的主治"] + [""] * (len(chosen) - 1), "", 1.0, True)


def _indications_in(entry: Entry, names: tuple[str, ...], headed: bool, base: int) -> list:
    out = []
    rank = standing("formula", entry.book)
    for number, (first, last) in enumerate(sentences(entry.text)):
        sentence = entry.text[first:last]
        if headed:
            if number > 5:
                break
            if herb_lists(sentence) or _PREPARE.match(sentence) or not _INDICATED.search(sentence):
                continue
            opens = bool(re.match("[【〔]?.{0,6}(治|主|疗|专|功)", sentence.strip()))
            value = 0.5 * opens + 0.3 * (number == 0) + ("主之" in sentence) * 0.2
        else:
            name = next((n for n in names if n in sentence), "")
            if not name:
                continue
            place = sentence.find(name)
            if "主之" in sentence[place : place + len(name) + 3]:
                value = 0.9
            elif re.search("(宜|可与|与|用)$", sentence[:place]):
                value = 0.45
            elif re.match(f"{re.escape(name)}[，,：]?(治|主)", sentence[place:]):
                value = 0.8
            else:
                continue
            if place < 6 and "主之" in sentence:
                value -= 0.4
        if len(sentence) > 150:
            value -= 0.2
            last = first + _cut(sentence, 150)
        out.append((value + rank, base + len(out), entry.cite(first, last)))
    return out


def _cut(sentence: str, limit: int) -> int:
    place = max(sentence.rfind(mark, 0, limit) for mark in "，。；、：）")
    return place + 1 if place > 30 else limit


def doses(question: Question, shelf: Shelf) -> Draft | None:
    """The item of the herb that was asked for, within the list."""
    draft = composition(question, shelf)
    return Draft(draft.citations, [f"{question.topic}原方"], draft.note, draft.match, True) if draft else None


def mention(question: Question, shelf: Shelf) -> Draft | None:
    """A sentence that names the formula and the other words of the question."""
    rest = [g for g in question.groups if g.word not in question.topic]
    ranked = []
    for entry, _ in entries_of(question.names, question, shelf)[:60]:
        for first, last in sentences(entry.text):
            sentence = entry.text[first:last]
            hit = sum(any(a in sentence for a in g.alternatives) for g in rest)
            named = any(n in sentence for n in question.names) or entry.key in question.names
            if hit and named and last - first < 200:
                ranked.append((hit + standing("formula", entry.book), -len(ranked), entry.cite(first, last)))
    return Draft([max(ranked)[2]], [""], "", 0.8, True) if ranked else None
