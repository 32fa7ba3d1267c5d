"""What a question that stands for itself asks: its kind, what it is about, the books it names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from engine.grounding.aspects import aspects_of
from engine.grounding.names import (
    books_of,
    edge,
    find_formulas,
    find_herbs,
    find_person,
    grows,
    is_book,
    taken_together,
)
from engine.grounding.point_names import find_point
from engine.grounding.shelf import Shelf
from engine.library import words

AUTHOR = re.compile(
    "谁写|谁编|谁著|谁撰|作者|哪朝|什么朝代|哪个朝代|何朝|何人|谁的书|谁的著作|成书|写于|年代|谁作|是谁写|谁所|是[^，。谁]{2,4}[写著编]的[吗么嘛]"
)
_BOOK = re.compile("讲什么|是什么书|是本什么书|多少卷|几卷|写的什么|主要内容|什么时候的|哪个时代|哪年")
ORIGIN = re.compile(
    "出自|出处|哪里写|哪里说|哪本书|哪部书|什么书|原文|谁说的|谁的观点|谁的话|谁提出|哪里来|哪篇|语出|哪一篇|谁讲的|原话"
)
NEXT = re.compile(
    "下一句|下面是|下面接|下面那句|下句|后一句|后面|接什么|下半句|后半句|接下来|接下句|怎么接|上一句|前一句|上句|前半句|怎么背|全文|完整"
)
MEANING = re.compile(
    "(?:是|有)?(?:什么|啥)意思|何意|(?:应该|该)?(?:怎么|如何|怎样)(?:理解|解释|讲)|的(?:含义|意思)(?:是什么)?|什么道理|有道理吗"
)
COMPARE = re.compile(
    "区别|不同|不一样|差别|差哪|区分|比较|异同|对比|分别是|怎么分|有何异|差在|相比|辨别|鉴别|怎么辨|有啥两样|哪个更|有什么关系"
)
# Words that compare only where two things stand.
_CHOICE = re.compile(
    "哪[个种][^，。]{0,6}[好强行快管补寒凉温热贵]|[和跟与]?哪[个种一样]|选[哪谁]|怎么选|代替|替代|一样吗|一回事|一样不|还是|同一[种个味]"
)
_PERSON = re.compile(
    "是谁|是什么人|是哪[里的]?人|哪里人|哪个朝代|哪朝|什么朝代|什么时候的?人|写[过了]|著作|代表作|有[哪什][些么]书|生平|贡献|简介|多少岁|几岁|活了|出生|去世|哪年[生死]|怎么死|字什么|号什么|介绍|[朝代]人|还是.{1,2}朝|发明|创立|创了|提出|主张|擅长|成就|干什么的|做什么的"
)
_WHO_IS = re.compile(
    "(?:请问|你知道)?([一-龥]{2,5}?)(?:是谁|是?哪里人|是什么人|是哪个?朝代?的?(?:人|名医|医家|医生|大夫)?|是(?:个|不是)?名医吗?|"
    "活了多少岁)[啊呀呢？?]*$"
)
# 脉浮是什么意思 asks for 浮脉, as the books call it.
_TURNED = re.compile(
    "脉([浮沉迟数滑涩弦紧洪细微弱虚实缓濡芤革牢伏动促结代])(?=是什么|是啥|什么意思|啥意思|主什么|说明什么|代表什么)"
)
_HURTS = re.compile(
    "穴(?:位|那里|附近|处)?(?:很|有点|一直|老是?|总是?|又|特别)?[疼痛胀酸麻跳](?!.*穴)"
)  # 太阳穴疼
_AILS = re.compile("(?:老是?|一直|最近|总是?|又|都)*(?:不吃|不动|不喝|生病|病了|死|掉毛|乱叫|拉|吐|烂|枯|蔫)")
_TITLED = re.compile(
    "(?![老中西好名女男])[一-龥]{1,3}(?:医生|大夫|医师|主任)(?=在|今天|明天|哪天|几点|什么时候|周|的?电话|的?号)"
)
_QUOTED = re.compile('[“「『"‘]([^”」』"’]{2,40})[”」』"’]')


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
    whole: bool = False  # put together from several turns, the text is a question that stands for itself
    before: Question | None = None
    history: tuple[str, ...] = field(default=())

    @property
    def bare(self) -> str:
        return words.strip(self.text)

    def asks(self, *aspects: str) -> bool:
        return any(aspect in self.aspects for aspect in aspects)


# What says nothing: greetings before a question, and 应该 within one.
_OPENING = re.compile(
    "^(?:[您你]好|请问(?:一下|下)?|请教(?:一下|下)?|老师|医生|大夫|"
    "我?想?问(?:一?下|问)|我想(?:知道|了解)(?:一?下)?|[，,！!。~ ])+(?=..)"
)
_FILLER = re.compile("应该|到底|究竟")


def plainly(text: str) -> str:
    """A question without greetings before it and words that say nothing."""
    return _FILLER.sub("", _OPENING.sub("", text))


def read(text: str, shelf: Shelf) -> Question:
    """What a question asks that stands for itself; `text` is tidied."""
    text = _TURNED.sub(r"\1脉", plainly(text))
    books, book_word = books_of(text, shelf)
    aspects = aspects_of(text)
    quoted = _QUOTED.search(text)
    title = next((t for t in re.findall("《([^》]{2,20})》", text) if not is_book(t, books)), "")
    if title:
        return Question(text, "author", title, (), aspects, unknown=title)
    base = Question(text, "theory", "", (), aspects, books, book_word)
    named = find_point(text)
    if named and not quoted and not _HURTS.search(text):
        return replace(base, kind="point", topic=named, names=(named,))
    pulses = tuple(dict.fromkeys(_PULSE.findall(text)))
    if pulses and not quoted and _is_of_pulses(text):
        return replace(base, kind="pulse", topic=pulses[0], names=pulses, others=pulses[1:])
    formulas, unknown = find_formulas(text, shelf)
    patent = _PATENT.search(text)
    if patent and not formulas:
        return Question(text, "formula", patent.group(), (patent.group(),), aspects, unknown=patent.group())
    left = _without(text, book_word)
    for name in (*formulas, *words.modern_words(text)):  # 尿 of 玻尿酸 is no complaint
        left = left.replace(name, "，")
    groups = _complaints(left)
    thing = words.of_no_person(text)
    ails = thing and not formulas and (groups or _AILS.match(text[len(thing) :]))
    if ails and all(len(name) == 1 for name in find_herbs(text, shelf)):
        return Question(text, "theory", "", (), aspects, unknown=thing)
    base = replace(base, groups=groups, unknown=unknown)
    if _SONG.search(text):
        return base
    return _of_books(base, left, formulas, quoted, shelf) or _of_things(base, formulas, shelf)


def _of_books(
    base: Question, left: str, formulas: list[str], quoted: re.Match[str] | None, shelf: Shelf
) -> Question | None:
    """A question on a book, on who wrote it, or on words that stand in one; None if it is none."""
    text = base.text
    person = find_person(text, shelf)
    if person and _PERSON.search(text) and not formulas and not quoted:
        return replace(base, kind="author", topic=person)
    stranger = _WHO_IS.match(text)
    known = person or formulas or base.groups
    if stranger and not known and not words.groups(stranger[1], "concepts.tsv"):
        return replace(base, unknown=stranger[1])
    called = _TITLED.match(text)
    if called and not person and not formulas:
        return replace(base, unknown=called.group())
    if base.books and _BOOK.search(text) and len(words.bare(left)) <= 8 and not formulas:
        return replace(base, kind="author", topic=base.book_word)
    if AUTHOR.search(text) and (base.books or "《" in text or "书" in text) and not quoted:
        return replace(base, kind="author", topic=base.book_word)
    if quoted:
        return replace(base, kind="quote", quoted=quoted.group(1), topic=quoted.group(1))
    if _CLAUSE.search(text) and "伤寒论" in base.books:
        return replace(base, kind="quote")
    if not formulas and (NEXT.search(text) or ORIGIN.search(text)):
        return replace(base, kind="quote")
    if not formulas and (asked := MEANING.search(text)) and _is_saying(text[: asked.start()], base, shelf):
        return replace(base, kind="quote")
    return None


_CLAUSE = re.compile("第[0-9一二三四五六七八九十百零]{1,6}条")


def _is_saying(said: str, base: Question, shelf: Shelf) -> bool:
    """Whether words whose meaning is asked stand in the books as they are, and are no complaint: 怒伤肝."""
    said = words.bare(words.strip(_without(said, base.book_word))).replace(" ", "")
    return 3 <= len(said) <= 24 and all(g.word != said for g in base.groups) and shelf.holds(said)


def _of_things(base: Question, formulas: list[str], shelf: Shelf) -> Question:
    """A question on formulas, herbs or complaints; on theory if it is on none."""
    text, aspects = base.text, base.aspects
    herbs = [] if formulas else find_herbs(_without(text, base.book_word), shelf)
    two = taken_together(text, shelf)
    if two:
        return replace(base, kind="together", topic=two[0], others=two[1:])
    if COMPARE.search(text):
        return _compared(base, formulas, shelf)
    if _CHOICE.search(text):
        compared = _compared(base, formulas, shelf)
        if compared.others:
            return compared
    if formulas:
        herb = [h for h in find_herbs(text.replace(formulas[0], ""), shelf) if len(h) > 1]
        return replace(
            base,
            kind="formula",
            topic=formulas[0],
            aspects=aspects_of(text.replace(formulas[0], "，")),  # 六味 of a name asks for nothing
            names=words.formula_names(formulas[0]),
            others=tuple(herb),
        )
    if base.unknown:
        return replace(base, kind="formula", topic=base.unknown, names=(base.unknown,))
    if _REASON.search(text) and not herbs:
        return base
    strange = "" if herbs else _strange_thing(text, shelf)
    if strange:
        return replace(base, unknown=strange)
    if herbs and herbs[0] not in words.known_herbs() and words.groups(edge(text[: text.find(herbs[0])])):
        herbs = []  # 湿疹流水 is about a complaint, not about 流水
    if herbs and herbs[0] not in words.known_herbs() and (glued := edge(text[: text.find(herbs[0])])):
        name = words.MARKS.split(glued)[-1] + herbs[0]
        return replace(base, kind="herb", topic=name, names=(name,), unknown=name)
    if herbs and grows(text, herbs[0]):
        name = herbs[0] + text[text.find(herbs[0]) + len(herbs[0])]
        return replace(base, kind="herb", topic=name, names=(name,), unknown=name)
    symptoms = [g for g in base.groups if g.word not in herbs]
    if herbs and _herb_asked(text, herbs[0], aspects, symptoms):
        return replace(
            base, kind="herb", topic=herbs[0], names=words.herb_names(herbs[0]), others=tuple(herbs[1:])
        )
    if symptoms and ("treat" in aspects or "cause" in aspects or not _THEORY.search(text)):
        return replace(base, kind="symptom", topic=symptoms[0].word)
    return base


# 罗汉果止咳吗: a thing and what it is good for.
_GOOD_FOR = re.compile(
    "([一-龥]{2,5}?)(?:泡水|泡茶|煮水|茶)?(?:能不能|能够|能|可以|可|有没有|会不会)?(?:喝了|吃了)?"
    "(?:止[咳痛血泻痒]|治|润|补|降|清|化痰|祛|去[湿火]|健脾|养|安神|壮|利[尿水]|消[肿食炎]|减肥|美容|抗癌|通便|明目|排毒)[^，。]{0,4}(?:吗|么|嘛|不|吧)[？?]?$"
)


def _strange_thing(text: str, shelf: Shelf) -> str:
    """A thing of which is asked whether it is good for something and that no book names; empty for none."""
    found = _GOOD_FOR.match(text)
    name = found[1] if found else ""
    if not name or words.bare(words.strip(name)) != name or words.groups(name):
        return ""
    return "" if words.groups(name, "concepts.tsv") or shelf.holds(name) else name


def _compared(base: Question, formulas: list[str], shelf: Shelf) -> Question:
    """Two things side by side; of a herb alone what it is."""
    text = rest = base.text
    for name in filter(None, (*formulas, base.unknown)):
        rest = rest.replace(name, "，")
    things = [*formulas, *(h for h in find_herbs(rest, shelf) if len(h) > 1)]
    things.sort(key=text.find)
    if len(things) > 1:
        return replace(base, kind="comparison", topic=things[0], others=tuple(things[1:]))
    single = things or [
        name for name in words.known_herbs() if len(name) == 1 and text.startswith(name) and not base.groups
    ]
    if single and single[0] not in formulas:
        return replace(base, kind="herb", topic=single[0], names=words.herb_names(single[0]))
    return replace(base, kind="comparison", topic="", others=())


_PATENT = re.compile("[一-龥]{3,8}(?:颗粒|口服液|冲剂|注射液|喷雾剂|胶囊|滴丸|片(?![段刻剂黄]))")
_PULSE = re.compile("[浮沉迟数滑涩虚实长短洪微紧缓芤弦革牢濡弱散细伏动促结代]脉")
_OF_PULSES = re.compile(
    "脉象?|[和与跟、]|是|什么|怎么样?|怎样|如何|感觉|样子|特点|特征|主|病|症|代表|说明|意味|着|摸|诊|把|区别|区分|不同|分|就|怀孕|孕|"
    "吗|呢|啊|有|的|意思|表示|提示|一定|请问|哪些|了|算|叫|为|会|人|正常|反映|情况|问题"
)


def _is_of_pulses(text: str) -> bool:
    """Whether nothing is asked but pulses: in 浮脉用什么方 more is."""
    return not words.bare(_OF_PULSES.sub("", _PULSE.sub("", text)))


_SONG = re.compile("十八反|十九畏")
_REASON = re.compile("为什么要|为何要|什么道理|为什么说|为何说|为什么叫")
_THEORY = re.compile(
    "是什么|什么是|什么官|提纲|何谓|何为|属什么|主什么|开窍|为什么|定义|怎么讲|什么叫|哪七|哪六|哪五|几种|哪几|养生|之府|什么关系|是谁|原则|道理|概念|理论|比方|指什么|什么意思"
)


# Of whom a complaint is: alone it is none.
_WHO_ALONE = frozenset(("小儿", "老人"))


# How bad a complaint is: 牙疼得睡不着 is about teeth.
_SO_THAT = re.compile(
    "(?<=[疼痛痒胀麻酸咳晕喘难受])得(?:我|他|她|孩子)?(?:都|整[夜晚]|晚上|夜里|根本|完全)?(?:睡不着|睡不好|没法睡|吃不下|吃不了|直不起腰|走不了|"
    "受不了|起不来|哭|站不住|动不了)"
)


def _complaints(text: str) -> tuple[words.Group, ...]:
    """The complaints that a text names; none where it only says of whom: 孩子不爱学习."""
    named = words.groups(_SO_THAT.sub("，", text)) or words.groups(text)
    groups = tuple(
        group
        for place, group in enumerate(named)  # 痛 behind 偏头痛 is no complaint of its own
        if len(group.word) > 1
        or not any(group.word in a for other in named[:place] for a in other.alternatives)
    )
    alone = all(not _WHO_ALONE.isdisjoint(group.alternatives) for group in groups)
    return () if alone else groups


def _without(text: str, word: str) -> str:
    return text.replace(word, "，") if word else text


def _herb_asked(text: str, herb: str, aspects: tuple[str, ...], symptoms: list[words.Group]) -> bool:
    place = text.find(herb)
    if "treat" in aspects and symptoms and place > 4:
        return False
    return (
        place <= 6
        or any(a in aspects for a in ("effect", "nature", "channel", "alias", "caution", "dose"))
        or not symptoms
    )
