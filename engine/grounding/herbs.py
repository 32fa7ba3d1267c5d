"""Herbs and foods: the sentences of an entry that say what is asked, from the best-known materia medica."""

from __future__ import annotations

import re
from dataclasses import replace

from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, plain, sentences, standing
from engine.library import words

LENGTH = 130  # characters of quotation from the first book; half of it from the second
SAYS = {
    "nature": re.compile(
        "[味性气][甘辛苦酸咸淡寒热温凉平大微]|[甘辛苦酸咸淡涩][，、]?[甘辛苦酸咸淡微大而]*[寒热温凉平]|[大微][寒热温凉]|平。"
    ),
    "channel": re.compile(
        "入[手足心肝脾肺肾胃胆大小膀三包命]|[主入通]手|[主入通]足|[太少]阴|阳明|厥阴|归.{0,4}经|经.{0,2}药"
    ),
    "caution": re.compile("忌|勿|不宜|不可|禁|慎|恶|畏|反|伤|损|毒|忌用|少用|动|令人|者.{0,4}[忌勿]|大便|滑"),
    "alias": re.compile("一名|又名|即|名曰|俗[名呼]|别名|亦名|本名|名"),
    "effect": re.compile(
        "补|泻|散|治|主|益|清|止|消|利|通|润|安|养|除|解|破|和|温|燥|升|降|滋|壮|活|调|敛|发|化|开|明|健|生|固|凉"
    ),
    "dose": re.compile("[两钱斤分]"),
    "against": re.compile(
        "反(?![胃覆复张酸能治佐])|畏|恶(?![心寒风露疮血核])|忌(?![用之])|相[使须]|为.{0,2}使"
    ),
    "toxic": re.compile("毒(?![气热药火疮肿])"),
    "pregnancy": re.compile("[妊孕娠]|[堕伤动落坏]胎|胎[前动]"),
}
_CAUTION = re.compile("忌|恐|妨|滑|勿|不宜|不可|禁|慎用|少用|不可多|久服")


def _entries(question: Question, shelf: Shelf) -> list[tuple[float, Entry]]:
    names = question.names or (question.topic,)
    entries = []
    for entry in shelf.headed(names):
        if len(entry.text) < 12:
            continue
        place = min((names.index(n) for n in names if entry.key == n), default=len(names))
        value = standing("herb", entry.book) - 0.08 * min(place, 3)
        if place and entry.key not in names:
            value -= 0.1
        entries.append((value, entry))
    listed = [x for x in entries if x[0] > 0]
    named = [x for x in entries if x[1].book in question.books]
    return sorted(named or listed or entries, key=lambda x: -x[0])


def asked_words(question: Question, shelf: Shelf, names: tuple[str, ...]) -> dict[str, float]:
    """Words that the sentence should hold beside the herb's name, with weights."""
    out: dict[str, float] = {}
    for group in question.groups:
        if group.word in names:
            continue
        for alternative in group.alternatives:
            if len(alternative) > 1 or alternative == group.word or len(group.alternatives) < 3:
                out[alternative] = max(out.get(alternative, 0.0), 1.0)
    rest = question.text
    for name in sorted(names, key=len, reverse=True):
        rest = rest.replace(name, " ")
    rest = words.strip(_ASKING.sub(" ", rest))
    for run in rest.split():
        for size in (3, 2):
            for place in range(len(run) - size + 1):
                out[run[place : place + size]] = 0.35 * size
        if len(run) == 1:
            out[run] = 0.4
    return out


_ASKING = re.compile(
    "功效|作用|好处|功用|吃|能|治|吗|多|人|别名|叫|性|经|入|归|效果|有|书|里|泡水|泡茶|煮水|正常|关系|说|和"
)


def sentence_value(sentence: str, wanted: dict[str, float], shelf: Shelf) -> float:
    value = 0.0
    spelled = plain(sentence)
    for word, weight in wanted.items():
        if word in spelled:
            value += weight * shelf.weight(word) / 8
    return value


_SECTION = re.compile("【([^】]{1,6})】")
_NO_USE = ("释名", "集解", "修治", "正误", "校正")  # sections on names, growth and making


def _useful(entry: Entry) -> list[tuple[int, int]]:
    """The sentences outside of the sections on names, growth and making."""
    marks = [(m.start(), m[1] in _NO_USE) for m in _SECTION.finditer(entry.text)]
    if not any(no_use for _, no_use in marks):
        return sentences(entry.text, 60)
    ends = [place for place, _ in marks[1:]] + [len(entry.text)]
    skipped = [(place, end) for (place, no_use), end in zip(marks, ends, strict=True) if no_use]
    return [
        (first, last)
        for first, last in sentences(entry.text, 60)
        if not any(begin <= first < end for begin, end in skipped)
    ]


def _pieces(entry: Entry, names: bool = False) -> list[tuple[int, int]]:
    """Runs of up to 90 characters; `names`: those on its names and growth too."""
    out = []
    for first, last in sentences(entry.text, 60) if names else _useful(entry):
        while last - first > 90:
            cut = first + _cut(entry.text[first:last], 80)
            out.append((first, cut))
            first = cut
        if last - first > 1:
            out.append((first, last))
    return out


def _cut(text: str, limit: int) -> int:
    place = max(text.rfind(mark, 0, limit) for mark in "。；，、）")
    return place + 1 if place > 20 else limit


def herb(question: Question, shelf: Shelf) -> Draft | None:
    names = question.names or (question.topic,)
    entries = _entries(question, shelf)
    if not entries:
        return None
    wanted = asked_words(question, shelf, names)
    aspect = next(
        (a for a in ("against", "alias", "channel", "caution", "nature") if a in question.aspects), "effect"
    )
    special = next((a for a in ("pregnancy", "toxic") if a in question.aspects), "")
    if special:
        return _said_of(special, question, entries, shelf)
    ranked: list[tuple[float, int, list[Citation]]] = []
    for order, (value, entry) in enumerate(entries[:8]):
        length = LENGTH if order == 0 else LENGTH // 2
        cited, match = _best(entry, aspect, wanted, shelf, length)
        if cited:
            ranked.append((value * 2.0 + min(match, 2.5) * 0.35, -order, cited))
    if not ranked:
        return None
    ranked.sort(reverse=True)
    citations = list(ranked[0][2])
    total = sum(len(c.quote) for c in citations)
    for _, _, cited in ranked[1:]:
        more = [c for c in cited if not _says_same(c.quote, citations)][:1]
        if more and total + len(more[0].quote) <= 190:
            citations += more
            break
    return Draft(citations, [""] * len(citations), "", 1.0, True)


NOTHING_SAID = {
    "pregnancy": "所查条目没有说到孕产宜忌，以上只是药性；孕期用药、进补请先问医师。",
    "toxic": "所查条目没有说到它有毒无毒。",
}
POISONED = "若已中毒，立刻拨打 120 或去急诊，不要自己解。"
WARNED = {"pregnancy": "孕期用药、进补请先问医师。", "toxic": "有毒之品须由医师开方，不可自用。"}


def _said_of(
    aspect: str, question: Question, entries: list[tuple[float, Entry]], shelf: Shelf
) -> Draft | None:
    """What the entries say of being poisonous or of pregnancy; where none does, so much, and the nature."""
    found: list[tuple[float, int, Citation]] = []
    for value, entry in entries[:40]:
        for number, (first, last) in enumerate(_pieces(entry)):
            text = entry.text[first:last]
            if not SAYS[aspect].search(text) or _UNLIKE.search(text):
                continue
            plainly = (_PLAINLY if aspect == "toxic" else _WARNS_OR_ALLOWS).search(text) is not None
            plainly = plainly and not _TOLD.search(text)
            found.append((value + 0.6 * plainly - 0.01 * number, -len(found), entry.cite(first, last)))
    found.sort(reverse=True)
    citations: list[Citation] = []
    for _, _, citation in found:
        if all(citation.book != c.book and plain(citation.quote) not in plain(c.quote) for c in citations):
            citations.append(citation)
        if len(citations) == 2:
            break
    if citations:
        warned = WARNED[aspect] + (POISONED if aspect == "toxic" and "解" in question.text else "")
        harmless = aspect == "toxic" and "无毒" in citations[0].quote
        return Draft(citations, ["", ""], "" if harmless else warned, 1.0, True)
    rest = tuple(a for a in question.aspects if a not in ("pregnancy", "toxic", "caution"))
    other = herb(replace(question, aspects=(*rest, "nature")), shelf)
    return replace(other, note=NOTHING_SAID[aspect]) if other else None


_PLAINLY = re.compile("[有大小无微]毒|热毒")
_WARNS_OR_ALLOWS = re.compile(
    "(?:[妊孕娠]妇?|胎前|有胎|有娠|怀胎)[^。]{0,12}(?:忌|勿|不可|禁|慎|宜|可|用|服|食|不得)|(?:忌|勿|不可|禁|慎|宜|可|服|食)[^。]{0,8}(?:[妊孕娠]|胎前)|"
    "[堕落动损伤下坏安固保]胎|胎动|能堕|催生"
)
_TOLD = re.compile(
    "《[^》]*》[：，]|病案|一妇|之女|之妻|曰女|昔|治验|血眩|眩运"
)  # a story, or a use in another illness
_UNLIKE = re.compile(
    "[解消散去杀攻][^，。]{0,4}毒|毒[蛇虫]|中[^，。]{0,4}毒"
)  # poisons that it is good against


def _says_same(quote: str, citations: list[Citation]) -> bool:
    mine = plain(quote)
    grams = {mine[i : i + 2] for i in range(len(mine) - 1)}
    for other in citations:
        theirs = plain(other.quote)
        both = sum(theirs[i : i + 2] in grams for i in range(len(theirs) - 1))
        if both > 0.75 * len(grams):
            return True
    return False


def _beginning(entry: Entry, pieces: list[tuple[int, int]], length: int) -> list[Citation]:
    """the first sentences that say what it does, other names and places of growth left out"""
    start = next((i for i, (a, b) in enumerate(pieces) if not _NAMES.search(entry.text[a:b])), 0)
    end = start
    while end + 1 < len(pieces) and pieces[end + 1][1] - pieces[start][0] <= length:
        end += 1
    return [entry.cite(pieces[start][0], pieces[end][1])]


_NAMES = re.compile(
    "【释名】|【集解】|【正误】|【修治】|《(?:吴普|名医|广雅|尔雅|说文)》|案：|^\\s*（?[一又]名|出.{0,6}(州|山)|生.{0,4}(川谷|平泽)|^\\s*[（(]|音"
)


def _best(
    entry: Entry, aspect: str, wanted: dict[str, float], shelf: Shelf, length: int
) -> tuple[list[Citation], float]:
    """the best run of pieces by aspect, words asked for and place, as quotations; and how well it fits"""
    pieces = _pieces(entry, aspect == "alias")
    if aspect not in ("alias",):
        pieces = [(a, b) for a, b in pieces if not _NAMES.search(entry.text[a:b])] or pieces
    if aspect == "against":
        pieces = [(a, b) for a, b in pieces if SAYS[aspect].search(entry.text[a:b])]
    values = []
    for number, (first, last) in enumerate(pieces):
        text = entry.text[first:last]
        value = sentence_value(text, wanted, shelf)
        rest = text.find("）") >= 0 and not 0 <= text.find("（") < text.find("）")
        if aspect == "caution":
            value -= 0.4 * rest  # of a remark whose beginning is not quoted
            value += 0.8 * bool(_CAUTION.search(text)) + 0.1 * bool(SAYS[aspect].search(text))
        elif aspect == "against":
            value += 0.9 * bool(SAYS[aspect].search(text)) - 0.6 * rest - 0.005 * len(text)
        elif aspect == "alias":
            value += 0.9 * bool(SAYS[aspect].search(text))
        else:
            value += 0.35 * bool(SAYS[aspect].search(text)) + 0.45 / (1 + number)
        values.append(value)
    if not values:
        return [], 0.0
    if (
        aspect == "effect"
        and max(values) < 0.95
        and not any(sentence_value(entry.text[a:b], wanted, shelf) > 0.35 for a, b in pieces)
    ):
        return _beginning(entry, pieces, length), 0.6
    order = sorted(range(len(pieces)), key=lambda i: -values[i])
    chosen = {order[0]}
    used = pieces[order[0]][1] - pieces[order[0]][0]
    for number in order[1:]:
        size = pieces[number][1] - pieces[number][0]
        near = number - 1 in chosen or number + 1 in chosen
        if used + size <= length and ((near and aspect != "against") or values[number] > 0.5):
            chosen.add(number)
            used += size
    cited: list[Citation] = []
    run: list[int] = []
    for number in sorted(chosen):
        if run and number == run[-1] + 1:
            run.append(number)
            continue
        if run:
            cited.append(entry.cite(pieces[run[0]][0], pieces[run[-1]][1]))
        run = [number]
    cited.append(entry.cite(pieces[run[0]][0], pieces[run[-1]][1]))
    return [c for c in cited if len(c.quote) > 1], sum(sorted(values, reverse=True)[:2])
