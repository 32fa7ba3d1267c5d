"""What a question asks: its kind, what it is about, the books it names, what it carries on from before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.grounding.shelf import Shelf
from engine.library import words

FORMULA = "汤散丸丹饮煎膏酒露锭圆"
_FORMULA_END = re.compile(rf"饮子|[{FORMULA}]")

ASPECTS: dict[str, re.Pattern[str]] = {
    "alias": re.compile("别名|又叫|又名|还叫|别称|俗名|俗称|另一个名|其他名|也叫"),
    "preparation": re.compile(
        "怎么服|如何服|怎么喝|怎么煮|怎样煮|怎么煎|怎样煎|煎法|煎煮|服法|用法|怎么熬|如何煎|怎么做|几升水|多少水|加多少水|煮|煎服|服用方法|怎么吃"
    ),
    "dose": re.compile("剂量|用量|几两|几钱|多大|各多少|用多少|多少克|多少两|多少钱|放多少|几克"),
    "caution": re.compile(
        "禁忌|副作用|不能吃|能多吃|能吃吗|可以吃吗|忌|注意|坏处|不宜|不适合|能不能吃|可不可以吃|危害|害处|吃了拉|吃了上火|有毒|毒性|什么人不|哪些人不|能常吃|能长期|吃多了|过量|慎用"
    ),
    "channel": re.compile("归经|入哪|入什么经|归什么经|归哪|走哪|入几经"),
    "nature": re.compile("什么性|性味|药性|寒性|热性|是寒|是热|凉的|热的|寒的|温的|性寒|性温|味道|什么味|四气|五味|是凉"),
    "composition": re.compile(
        "组成|几味|[一二两三四五六七八九十]味|哪些药|哪几种药|什么药|都有什么|都有啥|有什么药|配方|方子|成分|药物|里面有|里有|配伍|药味|几样|怎么配|用了什么|用了哪|用哪些|用什么|包含|包括|由哪|含哪"
    ),
    "indication": re.compile("治什么|主治|治啥|能治|适应|用于|管什么|治疗什么|什么病|什么症|治哪|主什么|治"),
    "cause": re.compile("原因|引起|为什么|为何|为啥|根子|病因|怎么回事|咋回事|怎么得|怎么来|由来|何故|什么造成|哪里虚|哪里出|怎么形成|什么导致"),
    "effect": re.compile("功效|作用|好处|功用|功能|效用|有什么用|有啥用|补什么|清什么|有用吗|效果|疗效"),
    "treat": re.compile("用什么方|什么方|啥方|用啥|怎么治|咋治|怎么办|咋办|怎么调|治法|方子|拿什么|吃什么|吃啥|用什么药|配什么药|何方|古方|调理|怎么处理|怎么缓解|用哪个方|哪个方|什么汤|什么药|洗|偏方|验方"),
}  # fmt: skip
_AUTHOR = re.compile("谁写|谁编|谁著|谁撰|作者|哪朝|什么朝代|哪个朝代|何朝|何人|谁的书|谁的著作|成书|写于|年代|谁作|是谁写|谁所")
_BOOK = re.compile("讲什么|是什么书|是本什么书|多少卷|几卷|写的什么|主要内容|什么时候的|哪个时代|哪年")
_ORIGIN = re.compile(
    "出自|出处|哪里写|哪里说|哪本书|哪部书|什么书|原文|谁说的|谁的观点|谁的话|谁提出|哪里来|哪篇|语出|哪一篇|谁讲的|原话"
)
_NEXT = re.compile("下一句|下句|后一句|后面|接什么|下半句|后半句|接下来|接下句|怎么接|上一句|前一句|上句|前半句|怎么背|全文|完整")
_COMPARE = re.compile("区别|不同|不一样|差别|差哪|区分|比较|异同|对比|分别是|怎么分|有何异|差在|相比|辨别|鉴别|怎么辨|有啥两样|哪个更|有什么关系")
_QUOTED = re.compile("[“「『\"‘]([^”」』\"’]{2,40})[”」』\"’]")
_FOLLOW = re.compile("^(那|它|这个|这方|此方|该方|其|他|还|再|那么|这药|这种|这味|上面|前面|刚才)|呢[？?]?$")
_JOIN = re.compile("和|与|跟|同|、|及|比|还是|，|对")

# words of one class: a follow-up that holds one takes the place of the other in the question before
CLASSES = (
    ("春天", "夏天", "秋天", "冬天"),
    ("春", "夏", "秋", "冬"),
    ("心", "肝", "脾", "肺", "肾", "胆", "胃", "大肠", "小肠", "膀胱", "三焦", "膻中"),
    ("白", "黄", "赤", "青", "黑", "红", "紫"),
    ("太阳", "阳明", "少阳", "太阴", "少阴", "厥阴"),
    ("酸", "苦", "甘", "辛", "咸"),
    ("怒", "喜", "思", "悲", "恐", "忧", "惊"),
    ("风", "寒", "暑", "湿", "燥", "火", "热"),
    ("浮", "沉", "迟", "数", "滑", "涩", "弦", "紧"),
    ("提前", "推后", "量多", "量少"),
    ("望", "闻", "问", "切"),
    ("木", "火", "土", "金", "水"),
    ("男", "女"), ("上", "中", "下"), ("气", "血"), ("虚", "实"), ("阴", "阳"),
)  # fmt: skip
_COLLOQUIAL = {"红": "赤", "白天": "昼"}


@dataclass(frozen=True)
class Question:
    text: str  # simplified, one line
    kind: str
    topic: str = ""
    names: tuple[str, ...] = ()  # the topic's names in the books
    aspects: tuple[str, ...] = ()
    books: tuple[str, ...] = ()  # titles that the asker named, best first
    book_word: str = ""
    quoted: str = ""
    others: tuple[str, ...] = ()  # second thing of a comparison, herb whose dose is asked
    unknown: str = ""  # a name that the library does not hold
    groups: tuple[words.Group, ...] = ()
    before: Question | None = None
    history: tuple[str, ...] = field(default=())

    @property
    def bare(self) -> str:
        return words.strip(self.text)

    def asks(self, *aspects: str) -> bool:
        return any(aspect in self.aspects for aspect in aspects)


def _aspects(text: str) -> tuple[str, ...]:
    return tuple(name for name, pattern in ASPECTS.items() if pattern.search(text))


def _edge(text: str) -> str:
    """what of a text glued before a name is no phrase without content"""
    rest = words.strip(text).replace(" ", "")
    return re.sub("^(和|与|跟|把|将|关于|对|那|就|问|书里|里|中的?|说|再|还|不对|想|看|背|加|服|吃|喝|方剂|名方|经方|方|开|宜|能|不能|不|坐月子|小孩|孕妇|产后|产妇|感冒|时候)+|(和|与|跟|的|用|服|吃|喝|说|问|方|之|能|不|叫|治|给|开|是|有|该|宜)+$", "", rest)


def find_formulas(text: str, shelf: Shelf) -> tuple[list[str], str]:
    """The formulas that a text names and the library holds, and the first name that looks like one and is none."""
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
            glued = _edge(piece) if piece else ""
            if glued and len(name) <= 4 and not words.groups(glued) and not words.books(glued) and name not in known:
                unknown = unknown or glued + name
            else:
                found.append(name)
            last = end
        elif names and len(names) > 1 and not unknown:
            whole = words.MARKS.split(text[last:end])[-1]
            rest = _edge(whole)
            if len(rest) < 3 or re.search("什么|哪|啥|熬|一?碗|喝|煮", rest[-3:]):
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
            if size == 1 and (start or complaint or not _aspects(text[1:])):
                continue
            if name not in known and (size == 1 or name in symptoms or not _is_herb(name, shelf)):
                continue
            taken[start : start + size] = [True] * size
            found.append((start, name))
    return [name for _, name in sorted(found)]


_HERB_BOOKS = ("本草备要", "本草从新", "本草求真", "本经逢原", "食疗本草", "雷公炮制药性解", "本草分经", "本草撮要", "本草易读")


def _is_herb(name: str, shelf: Shelf) -> bool:
    return any(p.book in _HERB_BOOKS for p in shelf.library.headed(name))


def _books_of(text: str, shelf: Shelf) -> tuple[tuple[str, ...], str]:
    titles = {source.title for source in shelf.library.sources() if source.enabled}
    quoted = [name for name in re.findall("《([^》]+)》", text) if name in titles]
    found = [(name, (name,)) for name in quoted] + words.books(text)
    inside = [title for title in titles if len(title) > 2 and title in text]
    found += [(title, (title,)) for title in inside]
    if not found:
        return (), ""
    word, meant = max(found, key=lambda item: len(item[0]))
    return tuple(title for title in meant if title in titles), word


def _is_book(title: str, titles: tuple[str, ...]) -> bool:
    """whether a title in its marks is a book's, its nickname or a part of its name"""
    return title in titles or any(word == title for word, _ in words.books(title)) or any(title in t for t in titles)


def understand(question: str, history: Sequence[Mapping[str, str]], shelf: Shelf) -> Question:
    """Read a question, with what it leaves out taken from the turns before."""
    asked = [words.tidy(turn["content"]) for turn in history if turn.get("role") == "user"]
    text = words.tidy(question)
    read = _read(text, shelf)
    if not asked:
        return read
    before = understand(asked[-1], history[: _last_user(history)], shelf)
    said = tuple(words.tidy(t["content"]) for t in history if t.get("role") == "assistant")
    return _carry(read, before, said, shelf)


def _last_user(history: Sequence[Mapping[str, str]]) -> int:
    return max(i for i, turn in enumerate(history) if turn.get("role") == "user")


def _read(text: str, shelf: Shelf) -> Question:
    books, book_word = _books_of(text, shelf)
    aspects = _aspects(text)
    quoted = _QUOTED.search(text)
    title = next((t for t in re.findall("《([^》]{2,20})》", text) if not _is_book(t, books)), "")
    if title:
        return Question(text, "author", title, (), aspects, unknown=title)
    formulas, unknown = find_formulas(text, shelf)
    left = _without(text, book_word)
    for name in formulas:
        left = left.replace(name, "，")
    groups = tuple(words.groups(left))
    base = Question(text, "theory", "", (), aspects, books, book_word, groups=groups, unknown=unknown)
    if _SONG.search(text):
        return replace(base, kind="theory")
    if books and _BOOK.search(text) and len(words.bare(left)) <= 8 and not formulas:
        return replace(base, kind="author", topic=book_word)
    if _AUTHOR.search(text) and (books or "《" in text or "书" in text) and not quoted:
        return replace(base, kind="author", topic=book_word)
    if quoted or _NEXT.search(text) or _ORIGIN.search(text):
        words_quoted = quoted.group(1) if quoted else ""
        if quoted or not formulas:
            return replace(base, kind="quote", quoted=words_quoted, topic=words_quoted)
    herbs = [] if formulas else find_herbs(_without(text, book_word), shelf)
    if _COMPARE.search(text):
        rest = text
        for name in formulas:
            rest = rest.replace(name, "，")
        things = [*formulas, *(h for h in find_herbs(rest, shelf) if len(h) > 1)]
        things.sort(key=text.find)
        if len(things) > 1:
            return replace(base, kind="comparison", topic=things[0], others=tuple(things[1:]))
        single = things or [name for name in words.known_herbs() if len(name) == 1 and text.startswith(name) and not groups]
        if single and single[0] not in formulas:
            return replace(base, kind="herb", topic=single[0], names=words.herb_names(single[0]))
        return replace(base, kind="comparison", topic="", others=())
    if formulas and not _complaint_first(text, formulas[0], groups):
        herb = [h for h in find_herbs(text.replace(formulas[0], ""), shelf) if len(h) > 1]
        return replace(base, kind="formula", topic=formulas[0], names=words.formula_names(formulas[0]), others=tuple(herb))
    if unknown:
        return replace(base, kind="formula", topic=unknown, names=(unknown,))
    if _REASON.search(text) and not herbs:
        return base
    if herbs and herbs[0] not in words.known_herbs() and (glued := _edge(text[: text.find(herbs[0])])):
        name = words.MARKS.split(glued)[-1] + herbs[0]
        return replace(base, kind="herb", topic=name, names=(name,), unknown=name)
    if herbs and _grows(text, herbs[0]):
        name = herbs[0] + text[text.find(herbs[0]) + len(herbs[0])]
        return replace(base, kind="herb", topic=name, names=(name,), unknown=name)
    symptoms = [g for g in groups if g.word not in herbs]
    if herbs and _herb_asked(text, herbs[0], aspects, symptoms):
        return replace(base, kind="herb", topic=herbs[0], names=words.herb_names(herbs[0]), others=tuple(herbs[1:]))
    if symptoms and ("treat" in aspects or "cause" in aspects or not _THEORY.search(text)):
        return replace(base, kind="symptom", topic=symptoms[0].word)
    return base


_SONG = re.compile("十八反|十九畏")
_REASON = re.compile("为什么要|为何要|什么道理|为什么说|为何说|为什么叫")
_THEORY = re.compile("是什么|什么是|什么官|提纲|何谓|何为|属什么|主什么|开窍|为什么|定义|怎么讲|什么叫|哪七|哪六|哪五|几种|哪几|养生|之府|什么关系|原则|道理|概念|理论|比方|指什么|什么意思")


def _grows(text: str, herb: str) -> bool:
    """whether the name goes on to another one that nobody knows: 玻璃花"""
    after = text[text.find(herb) + len(herb) :][:1]
    return bool(after) and after in "花草根叶藤果芝参豆木石" and herb + after not in words.known_herbs() and not herb.endswith(after)


def _without(text: str, word: str) -> str:
    return text.replace(word, "，") if word else text


def _complaint_first(text: str, formula: str, groups: tuple[words.Group, ...]) -> bool:
    return False


def _herb_asked(text: str, herb: str, aspects: tuple[str, ...], symptoms: list[words.Group]) -> bool:
    place = text.find(herb)
    if "treat" in aspects and symptoms and place > 4:
        return False
    return place <= 6 or any(a in aspects for a in ("effect", "nature", "channel", "alias", "caution", "dose")) or not symptoms


def _swap(now: str, then: str) -> str:
    """The question before with the word of one class that the new one names instead."""
    short = re.sub("^(那么?|那|换成|如果是|要是)|(呢|的呢|的|又|是|怎么样|怎样|会怎样)+[？?]?$", "", now)
    short = words.bare(re.sub("(的呢|呢|的)[？?]?$", "", short))
    for members in CLASSES:
        mine = next((m for m in members if m == short or (len(short) <= 4 and short.startswith(m))), "")
        theirs = next((m for m in members if m in then and m != mine), "") if mine else ""
        if mine and not theirs and mine[:-1] in ("春", "夏", "秋", "冬") and mine.endswith("天"):
            theirs = next((m for m in ("春", "夏", "秋", "冬") if m in then), "")
            mine = mine[0]
        if mine and theirs:
            return then.replace(theirs, _COLLOQUIAL.get(mine, mine) if "带" not in then else mine)
    return ""


def _carry(read: Question, before: Question, said: tuple[str, ...], shelf: Shelf) -> Question:
    text = read.text
    if read.kind in ("formula", "herb") and read.topic and not _FOLLOW.search(text):
        return replace(read, before=before, history=said)
    swapped = _swap(text, before.text) if len(words.bare(text)) <= 8 else ""
    if swapped:
        return replace(_read(swapped, shelf), before=before, history=said)
    if _AUTHOR.search(text) or _ORIGIN.search(text):
        if not read.quoted and not read.books:
            return replace(before, kind="source", before=before, history=said)
        return replace(read, before=before, history=said)
    own = read.kind in ("formula", "comparison", "author") and read.topic
    if own:
        return replace(read, before=before, history=said)
    if before.kind in ("formula", "herb") and (read.kind != "herb" or before.kind == "formula"):
        aspects = read.aspects or before.aspects
        others = tuple(h for h in find_herbs(text, shelf) if len(h) > 1) if before.kind == "formula" else ()
        if before.kind == "formula" and "dose" in aspects and not others:
            others = before.others
        return replace(before, text=text, aspects=aspects, groups=read.groups, others=others, before=before, history=said)
    if len(words.bare(read.bare)) <= 12:
        merged = f"{before.text}，{text}"
        again = _read(merged, shelf)
        kind = "symptom" if read.asks("treat", "cause") and before.groups else again.kind
        if kind == "theory" and before.kind in ("symptom", "quote"):
            kind = before.kind if before.kind == "symptom" else "theory"
        return replace(again, kind=kind, aspects=read.aspects or again.aspects, before=before, history=said)
    return replace(read, before=before, history=said)
