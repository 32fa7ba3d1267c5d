"""Which bundled or own question-answer pair answers a question: one worded alike, about the same things."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.grounding.aspects import aspects_of
from engine.grounding.question import Question
from engine.library import words
from engine.library.records import Pair, PairHit

CANDIDATES = 12
CLOSE = 0.72  # a pair's wording this close to the question answers it
ALIKE = 0.5  # and from here on where both name the same complaints or ideas
LEAST_SHARED = 0.1  # closeness of a wording that names the same complaint and nothing else
OWN = 3  # characters that a question may have beside its complaints
_TELLS = re.compile(
    "[一二两三四五六七八九十半几多0-9]+[天周月年个次晚夜]+|[今昨前]天|这[两几]?[天周年]|晚上|早上|早晨|白天|夜里|经常|常常|老爱|又|就|还|"
    "好多|严重|厉害|难受|不舒服|吃点|喝点|治疗|缓解|改善|治好|能好|办法|偏方|中药|中医|调养|食疗|药|汤|方|治|法"
)
_WHAT_IS = re.compile("(?:请问|请教)?(?:什么是|什么叫|何谓|何为|啥是|啥叫|所谓)")
# Of whom it is a complaint: a pair that answers must be about them too.
_STATES = frozenset(("小儿", "妊娠", "产后", "老人", "婴儿", "妇人"))
_NOT_TREATED = ("dose", "caution", "pregnancy", "alias", "origin")


def close_enough(asked: Question, wording: str, score: float) -> bool:
    """Whether a pair's wording asks the same: alike in words, and about the same things."""
    if score < ALIKE:
        return False
    if asked.kind in ("formula", "herb", "author", "point", "pulse"):
        same = bool(set(asked.aspects) & set(aspects_of(wording))) or not asked.aspects
        return score >= CLOSE and same and (not asked.topic or asked.topic in wording)
    if score >= CLOSE + 0.13:
        return True
    if asked.kind == "theory" and _WHAT_IS.match(asked.text) and score < CLOSE:
        return False  # 什么叫阴阳 is not answered by a saying about it
    mine = [*asked.groups, *words.groups(asked.text, "concepts.tsv")]
    theirs = [*words.groups(wording), *words.groups(wording, "concepts.tsv")]
    if not mine or not theirs:
        return score >= CLOSE
    shared = sum(any(not set(m.alternatives).isdisjoint(t.alternatives) for t in theirs) for m in mine)
    strange = sum(all(set(m.alternatives).isdisjoint(t.alternatives) for m in mine) for t in theirs)
    return strange == 0 and shared >= 0.6 * len(mine)


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
        for wording in hit.pair.questions:
            named = tuple(words.groups(wording))
            if _same(asked.groups, named) and len(_own(wording, named)) <= OWN - 1:
                return hit
    return None


def of_them(asked: Question, pair: Pair) -> bool:
    """Whether a pair's answer speaks of those of whom the complaint is: of a child, of a pregnant woman."""
    said = pair.topic + pair.answer
    states = (group for group in asked.groups if not _STATES.isdisjoint(group.alternatives))
    return all(any(word in said for word in (state.word, *state.alternatives)) for state in states)


def _own(text: str, groups: Sequence[words.Group]) -> str:
    """What a question says beside its complaints, how long they last and that something be done."""
    for group in groups:
        text = text.replace(group.word, " ")
    return words.bare(words.strip(_TELLS.sub(" ", text))).replace(" ", "")


def _same(mine: Sequence[words.Group], theirs: Sequence[words.Group]) -> bool:
    def within(some: Sequence[words.Group], others: Sequence[words.Group]) -> bool:
        return all(any(not set(a.alternatives).isdisjoint(b.alternatives) for b in others) for a in some)

    return bool(theirs) and within(mine, theirs) and within(theirs, mine)
