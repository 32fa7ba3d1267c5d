"""Which bundled or own question-answer pair answers a question: one worded alike, about the same things."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from engine.grounding.aspects import aspects_of, without_aspects
from engine.grounding.question import Question
from engine.library import words
from engine.library.records import Pair, PairHit

CANDIDATES = 12
CLOSE = 0.72  # a pair's wording this close to the question answers it
SAME = 0.85  # and this close it does whatever it names
ALIKE = 0.5  # and from here on where both name the same complaints or ideas
ALIKE_COMPLAINT = 0.42  # the same for complaints, which people word in more ways, if no other pair fits
LEAST_SHARED = 0.1  # closeness of a wording that names the same complaint and nothing else
OWN = 3  # characters that a question may have beside its complaints
_TELLS = re.compile(
    "[一二两三四五六七八九十半几多0-9]+[天周月年个次晚夜]+|[今昨前]天|这[两几]?[天周年]|晚上|早上|早晨|白天|夜里|经常|常常|老爱|又|就|还|"
    "好多|严重|厉害|难受|不舒服|吃点|喝点|治疗|缓解|改善|治好|能好|办法|偏方|中药|中医|调养|食疗|药|汤|方|治|法"
)
_NUMBER = re.compile("第[0-9一二三四五六七八九十百零]{1,6}条")
_WHAT_IS = re.compile("(?:请问|请教)?(?:什么是|什么叫|何谓|何为|啥是|啥叫|所谓)")
# Of whom it is a complaint: a pair that answers must be about them too.
_STATES = frozenset(("小儿", "妊娠", "产后", "老人", "婴儿", "妇人"))
_NOT_TREATED = ("dose", "caution", "pregnancy", "alias", "origin")


def close_enough(asked: Question, wording: str, score: float, least: float = ALIKE) -> bool:
    """Whether a pair's wording asks the same: alike in words from `least` on, and about the same things."""
    if score < least or (_NUMBER.search(asked.text) and score < SAME) or _opposite(asked.text, wording):
        return False
    if asked.kind == "together":
        return all(any(name in wording for name in _all(thing)) for thing in (asked.topic, *asked.others))
    if asked.kind in ("formula", "herb", "author", "point", "pulse"):
        same = bool(set(asked.aspects) & set(aspects_of(wording))) or not asked.aspects
        return score >= CLOSE and same and (not asked.topic or asked.topic in wording)
    if score >= SAME:
        return True
    if asked.kind == "theory" and _WHAT_IS.match(asked.text) and score < CLOSE:
        return False  # 什么叫阴阳 is not answered by a saying about it
    mine = [*asked.groups, *words.groups(asked.text, "concepts.tsv")]
    theirs = [*words.groups(wording), *words.groups(wording, "concepts.tsv")]
    if not mine or not theirs:
        return score >= CLOSE
    shared = sum(any(not set(m.alternatives).isdisjoint(t.alternatives) for t in theirs) for m in mine)
    strange = sum(all(set(m.alternatives).isdisjoint(t.alternatives) for m in mine) for t in theirs)
    if asked.kind == "theory" and shared < 2 and score < CLOSE and _about_else(asked.text, wording):
        return False  # 夏天为什么不能贪凉 is not 夏天为什么不用麻黄
    return strange == 0 and shared >= 0.6 * len(mine)


def _beside_names(asked: Question) -> str:
    text = asked.text
    for name in (asked.topic, *asked.others):
        text = text.replace(name, " ")
    return text


_WHICH_HERBS = re.compile("味|药|组成")  # 差哪两味 is told by the lists of herbs


def _about_else(text: str, wording: str) -> bool:
    """Whether both wordings have words of their own beside what asks and the ideas, and share none."""
    rests = []
    for said in (text, wording):
        for group in (*words.groups(said), *words.groups(said, "concepts.tsv")):
            said = said.replace(group.word, " ")
        rests.append(set(_NEGATED.sub("", _core(said)[0])))
    return all(len(rest) > 1 for rest in rests) and rests[0].isdisjoint(rests[1])


_NEGATED = re.compile("不能|不用|不可|不要|不宜|可以|能够|[不能会要该用]")


def side_by_side(asked: Question, hits: Sequence[PairHit]) -> PairHit | None:
    """The pair whose topic is the two things that are compared, however the question words it."""
    if asked.kind != "comparison" or not asked.others or _WHICH_HERBS.search(_beside_names(asked)):
        return None
    things = [_all(thing) for thing in (asked.topic, *asked.others)]
    for hit in hits:
        sides = hit.pair.topic.split("与")
        if len(sides) == len(things) and all(any(not t.isdisjoint(_all(s)) for s in sides) for t in things):
            return hit
    return None


_OPPOSITES = (("高", "低"), ("冷", "热"), ("阴", "阳"), ("胖", "瘦"), ("寒", "热"))


def _opposite(one: str, other: str) -> bool:
    """Whether one wording says the opposite of the other: 高血压 and 低血压, 怕冷 and 怕热."""
    return any(
        (a in one and b in other and b not in one and a not in other)
        or (b in one and a in other and a not in one and b not in other)
        for a, b in _OPPOSITES
    )


# What is asked of a thing, by kinds of words that ask the same.
_ASKS = {
    "what": re.compile(
        "(?:是|有)?(?:什么|啥)意思|是(?:个|种)?(?:什么|啥)(?:东西)?|(?:什么|啥)[是叫]|何谓|何为|怎么(?:理解|解释|讲)|如何理解|"
        "(?:代表|说明|意味着|提示|表示|指的?是?)(?:了|着)?(?:什么|啥)|主什么"
    ),
    "why": re.compile(
        "为什么|为啥|为何|(?:怎么|咋)回事|(?:是|有)?(?:什么|啥)原因|什么道理|"
        "(?:怎么|什么)(?:引起|造成|导致)的?"
    ),
    "where": re.compile("(?:位置)?(?:是|都)?在?(?:哪里|哪儿|哪|什么位置|什么地方)|怎么走|走哪里|怎么找"),
    "who": re.compile("(?:是|被)?谁(?:写|编|著|说|提出|发明|创立?)?的?|作者(?:是谁)?"),
    "which": re.compile("(?:都|分别)?(?:有|是|包括)?(?:哪些|哪几|几种|多少|什么(?=[吗呢啊]?$))[个种条味]?"),
}  # fmt: skip


def _core(text: str) -> tuple[str, set[str]]:
    """What a question is about beside the words that ask, and the kinds of those."""
    asks = set()
    for kind, pattern in _ASKS.items():
        text, count = pattern.subn(" ", text)
        asks |= {kind} if count else set()
    return words.bare(words.strip(text)).replace(" ", ""), asks


def same_words(asked: Question, hits: Sequence[PairHit]) -> PairHit | None:
    """The pair with a wording that asks the same of the very same words: 舌质紫暗代表啥, 舌质紫暗."""
    if asked.kind not in ("theory", "quote"):
        return None
    core, asks = _core(asked.text)
    if len(core) < 2:
        return None
    for hit in hits:
        for wording in hit.pair.questions:
            other, theirs = _core(wording)
            if other == core and (theirs == asks or not (theirs or asked.groups)):
                return hit
    return None


# What a pair says better than rules do, which find lists of herbs and what a herb does in the books.
_SAID_OF_IT = {
    "formula": {"indication", "effect", "caution", "pregnancy", "alias"},
    "herb": {"caution", "toxic", "pregnancy", "alias"},
}


def same_thing(asked: Question, hits: Sequence[PairHit]) -> PairHit | None:
    """The pair on the very formula or herb with a wording that asks the same aspect of it and no more."""
    if asked.kind not in ("formula", "herb") or asked.groups or asked.others:
        return None
    if not asked.aspects or not set(asked.aspects) <= _SAID_OF_IT[asked.kind]:
        return None
    names = {asked.topic, *asked.names}
    if asked.unknown or asked.books or len(_beside(asked.text, names)) > 1:
        return None
    for hit in hits:
        if hit.pair.topic not in names:
            continue
        for wording in hit.pair.questions:
            name = next((n for n in sorted(names, key=len, reverse=True) if n in wording), "")
            rest = wording.replace(name, "，") if name else ""
            if rest and set(aspects_of(rest)) == set(asked.aspects) and not _beside(wording, names):
                return hit
    return None


def _beside(text: str, names: Iterable[str]) -> str:
    """What a question says beside names and the words that ask aspects of them."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, " ")
    return words.bare(words.strip(without_aspects(text))).replace(" ", "")


def _all(name: str) -> set[str]:
    return {*words.herb_names(name), *words.formula_names(name)}


def same_complaint(asked: Question, hits: Sequence[PairHit]) -> PairHit | None:
    """The pair with a wording that names the very complaints asked for and nothing beside them.

    So 我最近老是失眠怎么办 gets what 失眠怎么调理 gets, however little the wordings share.
    """
    if asked.kind != "symptom" or not asked.groups or asked.asks(*_NOT_TREATED):
        return None
    mine = _own(asked.text, asked.groups)
    if len(mine) > OWN:
        return None
    for hit in hits:
        if hit.score < LEAST_SHARED or not of_them(asked, hit.pair):
            continue
        said = hit.pair.topic + hit.pair.answer
        about = any(a in said for group in asked.groups for a in group.alternatives)
        for wording in hit.pair.questions:
            named = tuple(words.groups(wording))
            beside = _own(wording, named)
            alike = len(beside) < OWN - 1 or (about and len(beside) < OWN and set(beside) & set(asked.text))
            if _same(asked.groups, named) and alike and not _opposite(asked.text, wording):
                return hit
    return None


def of_them(asked: Question, pair: Pair) -> bool:
    """Whether a pair's answer speaks of those of whom the complaint is: of a child, of a pregnant woman."""
    said = pair.topic + pair.answer
    states = (group for group in asked.groups if not _STATES.isdisjoint(group.alternatives))
    return all(any(word in said for word in (state.word, *state.alternatives)) for state in states)


def much_alike(asked: Question, hits: Sequence[PairHit]) -> PairHit | None:
    """The pair on the complaints asked for that is worded less alike than others must be."""
    if asked.kind != "symptom":
        return None
    return next(
        (h for h in hits[:3] if close_enough(asked, h.matched_question, h.score, ALIKE_COMPLAINT)), None
    )


def usual(asked: Question) -> str:
    """A complaint as most people word it: 两三点就醒 as 失眠怎么办."""
    own = _own(asked.text, asked.groups)
    if asked.kind != "symptom" or not asked.groups or len(own) > OWN or asked.asks(*_NOT_TREATED):
        return ""
    names: list[words.Group] = []
    for group in asked.groups:
        if all(set(group.alternatives).isdisjoint(other.alternatives) for other in names):
            names.append(group)
    return "".join(words.usual_word(group.word) for group in names[:2]) + "怎么办"


def _own(text: str, groups: Sequence[words.Group]) -> str:
    """What a question says beside its complaints, how long they last and that something be done."""
    for group in groups:
        text = text.replace(group.word, " ")
    return words.bare(words.strip(_TELLS.sub(" ", text))).replace(" ", "")


def _same(mine: Sequence[words.Group], theirs: Sequence[words.Group]) -> bool:
    def within(some: Sequence[words.Group], others: Sequence[words.Group]) -> bool:
        return all(any(not set(a.alternatives).isdisjoint(b.alternatives) for b in others) for a in some)

    return bool(theirs) and within(mine, theirs) and within(theirs, mine)
