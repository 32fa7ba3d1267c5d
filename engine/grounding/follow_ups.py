"""Whether a question carries on from the one before, or stands for itself.

A talk changes its subject: what is not plainly a follow-up must not get the old subject's answer.
"""

from __future__ import annotations

import re

from engine.grounding.aspects import without_aspects
from engine.library import words

_POINTS_BACK = re.compile(
    "它|[这那此该][个方药种味条句些篇]|这里|里面|里头|其中|上面|前面|刚才|上一|前一|后面|下一|[他她]的?"
)
_WHO = re.compile(
    "^(孕妇|产妇|哺乳期|小孩子?|孩子|宝宝|儿童|老年?人|男人|女人)(可以|能|可不可以|能不能)?[吃喝用服]"
)
_JOINS = re.compile("^(那么?|还|再|也|又|如果|要是|换成)|(呢|呐)$")
# What is asked of a thing beside its aspects: how long, when, by whom.
_CIRCUMSTANCES = re.compile(
    "多久|几天|几次|多长时间|一天|每天|天天|饭前|饭后|空腹|早上|晚上|睡前|孕妇|哺乳期?|产妇|小孩子?|孩子|儿童|老年?人|男人|女人|"
    "出自|出处|谁写|谁说|谁的|哪本书|哪部书|作者|哪朝|什么书|原文|书里|区别|不同|主治|怎么|怎样|如何|为什么|什么|哪些|哪|"
    "可以|能|应该|应|要|需要|会|有|用|吃|喝|服|煎|配|放|加|去|换|多少|量|药|方|味|吗|的|是|不"
)
MOST = 2  # characters of its own that a question without a word that points back may have


def carries_on(text: str, own_subject: bool) -> bool:
    """`text` is tidied; `own_subject`: it names a complaint, herb, formula or book of its own."""
    bare = words.bare(text)
    if _POINTS_BACK.search(bare) or (_WHO.search(bare) and len(bare) <= 8):
        return True
    if own_subject:
        return bool(re.search("呢$", bare)) and len(bare) <= 6
    if _JOINS.search(bare):
        return len(bare) <= 14
    return len(words.bare(_CIRCUMSTANCES.sub("", without_aspects(words.strip(text))))) <= MOST
