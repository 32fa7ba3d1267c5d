"""Follow-ups that are a whole question once what was spoken of is put in: 两个有什么区别, 孕妇呢, 有食疗吗.

Beside them what a talk says without asking: corrections (不是，是扭到的), and requests for more of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.grounding.aspects import aspects_of
from engine.grounding.follow_ups import subject_of
from engine.grounding.kinds import Question
from engine.library import words

_BOTH = re.compile(
    "^(?:那么?|这|它们|他们|二者|两者|俩|两?个|[这那]?两(?:个|种|味|样|者)|药|方子?|汤|病|穴位?|之间|到底|[都又]?有|什么|啥|何|的|是|"
    "区别|不同|差别|差异|不一样|一样|关系|异同|在哪里?|怎么|区分|分辨|哪里|对比|比较|一下|吗|呢|呀|啊)+$"
)
_DIFFER = re.compile("区别|不同|差别|差异|不一样|一样|异同|区分|分辨|对比|比较")
_TOGETHER = re.compile(
    "^(?:那么?|它们?|两个|这?两[个味种])?(?:能不能|可不可以|能|可以|会)?一起[用吃喝泡煮服煎放](?:吗|么|呢)?$"
)
_WITH = re.compile(
    "^(?:那么?)?(?:它)?(?:能不能|可不可以|能|可以)?[和跟与同](.{2,6}?)(?:能不能|可不可以|能|可以)?(?:一起|同时|一块儿?|搭配)"
    "[用吃喝泡煮服煎放]?(?:吗|么|呢)?$"
)
_WHO = re.compile(
    "^(?:那么?|如果是|要是|换成)?(孕妇|产妇|哺乳期|怀孕的?|小孩子?|小朋友|孩子|宝宝|婴儿|儿童|老年?人)(?:的话)?"
    "(?:可以|能|行|怎么办|怎么治|该怎么办|的|也可以|得了|有)*(?:吗|么|呢)?$"
)
_FOOD = re.compile(
    "^(?:那么?)?(?:有没有|有什么|有啥|有|用)?(?:什么)?(?:食疗|药膳|食补)(?:方子?|的)?(?:办法|方法)?(?:吗|么|呢)?$"
)
_PERIOD = re.compile("^(?:那么?)?(推迟|推后|提前|量多|量少|不来|延后)(?:了|的)?(?:的话)?(?:呢|怎么办)$")

_IT_IS = re.compile("^(?:就|主要|应该|大概)?是(?!不是|否|谁|什么|哪|啥|怎|真|的|吗|因为|为)(?=.{3})")
_AGAINST = re.compile(
    "^(?:那|它|还)?有?(?:哪些|什么|哪几[种味])?药?不能(?:和|跟|与)?(?:它|什么|哪些)?(?:药)?(?:一起|同时?)[用吃服](?:吗|呢|的)?$"
)
_CORRECTS = re.compile(
    "^(?:不是|不对|错了|[我你]?(?:说|打|搞|弄|听)错了?)(?:这个|那个|的|了|啊|呀)?[，,。.！! ]*"
    "(?:我(?:是)?(?:想|要)?(?:问|说)的?(?:是)?|我是说|应该是|是|我指的是)(?=.{2})"
)
_MORE = re.compile(
    "^(?:那么?|请)?(?:(?:再|能)?(?:说|讲|写)?(?:得)?(?:详细|具体)(?:一?点|一?些|说说|讲讲)?|展开(?:说说|讲讲)?|再(?:说|讲)(?:说|讲|一?点|一?些)?|"
    "(?:还有|有没有)(?:别的|其他|其它|更多)(?:的)?(?:办法|方法|方子?|说法|药|吗|么|呢)*|还有(?:吗|么|呢|没有?)|别的(?:呢|吗)|其他的呢|"
    "换一?个(?:方子?|说法|别的|办法)?|(?:更多|继续|接着说))(?:吧|吗|呢|好吗|可以吗)?$"
)
_WHY = re.compile("^(?:那|这是|它)?(?:为什么|为啥|为何|什么道理)(?:呢|啊|呀|这样|这么说)*$")
PRICE = re.compile(
    "多少钱(?!一味)|价格|贵[吗不]|便宜|哪里(?:能|可以)?买|在哪买|去哪买|怎么买|哪有卖|包邮|一盒|一瓶"
)


def corrected(text: str) -> str:
    """What a correction says instead: 扭到的 of 不是，是扭到的; of 是太阳穴疼 what it is."""
    return _IT_IS.sub("", _CORRECTS.sub("", text))


def asks_more(text: str) -> bool:
    """Whether more, or something else, of the same is asked for: 说详细点, 还有别的吗, 换一个方子."""
    return bool(_MORE.search(words.bare(text)))


def asks_why(text: str) -> bool:
    """Whether nothing but the reason is asked."""
    return bool(_WHY.search(words.bare(text)))


def may_complete(text: str) -> bool:
    """Whether a follow-up may be one of those that `completed` knows."""
    bare = words.bare(text)
    return (
        any(p.search(bare) for p in (_BOTH, _TOGETHER, _WITH, _AGAINST, _WHO, _FOOD, _PERIOD))
        or _CORRECTS.match(text) is not None
    )


def completed(text: str, spoken: Iterable[Question]) -> str:
    """The whole question that a follow-up stands for; `spoken` are the questions before, the last first.

    Empty if it is none of those that are known here."""
    questions = list(spoken)
    bare, last = words.bare(text), questions[0]
    things = _things(questions)
    if _BOTH.search(bare) and (_DIFFER.search(bare) or "关系" in bare):
        what = "有什么区别" if _DIFFER.search(bare) else "有什么关系"
        return f"{things[1]}和{things[0]}{what}" if len(things) > 1 else ""
    if _TOGETHER.search(bare):
        return f"{things[1]}和{things[0]}能一起用吗" if len(things) > 1 else ""
    if (other := _WITH.search(bare)) and things:
        return f"{things[0]}和{other[1]}能一起用吗" if last.kind in ("herb", "formula") else ""
    if _AGAINST.search(bare) and things:
        return f"{things[0]}不能和什么一起用" if last.kind in ("herb", "together") else ""
    if last.kind != "symptom" or not last.groups:
        return ""
    complaint = _complaint(last)
    if who := _WHO.search(bare):
        return f"{who[1].removesuffix('的')}{complaint}怎么办"
    if _FOOD.search(bare):
        return f"{complaint}食疗"
    if (other := _PERIOD.search(bare)) and "月经" in complaint:
        return f"月经{other[1]}怎么办"
    if _CORRECTS.match(text) and not aspects_of(corrected(text)) and not words.groups(corrected(text)):
        return f"{last.groups[-1].word}，{corrected(text)}"
    return ""


def _things(questions: list[Question]) -> list[str]:
    """What the questions are about, each once."""
    out: list[str] = []
    for question in questions:
        named = (
            (question.topic, *question.others)
            if question.kind in ("comparison", "together")
            else (question.topic,)
        )
        if question.kind in ("theory", "symptom") or not question.topic:
            named = (subject_of(re.sub("呢$", "", question.text)),)
        out += [name for name in named if name and name not in out]
    return out


def _complaint(question: Question) -> str:
    """The complaint asked about, without whom it is of."""
    of_whom = ("小儿", "妊娠", "产后", "老人", "婴儿", "妇人")
    named = [group.word for group in question.groups if not set(group.alternatives) & set(of_whom)]
    named = [word for word in named if not any(word in other for other in named if other != word)]
    return "".join(sorted(named[:3], key=question.text.find)) or question.topic
