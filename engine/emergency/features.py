"""What the classifier sees of a normalized message: hashed pieces of it, and patterns of who, when and how bad.

Pieces are characters, pairs, triples, pairs with a gap, syllables (so that a wrong character of the right
sound still counts), Latin words, pairs of words and fours of letters. Each is a number below 2**BITS.
"""

from __future__ import annotations

import re
from itertools import combinations

from engine.emergency.normalize import syllables

BITS = 18
_SHIFT = 64 - BITS
_WRAP = 2**64 - 1
# Odd numbers without a pattern (the fractions of the square roots of 2, 3, 5, 7 and 11) for multiplicative hashing.
_A, _B, _C, _D, _MIX = 0x6A09E667, 0xBB67AE85, 0x3C6EF373, 0xA54FF53B, 0x510E527FADE682D1
_WORD = re.compile(r"[a-z]+")

# Plain words, in the form that `normalize` gives them: no character stands twice in a row.
PATTERNS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "I": r"我|俺|咱|本人|\bi\b|\bim\b|\bmy\b|\bme\b",
        "kin": r"[爸爹妈娘爷奶]|公公|婆婆|外婆|外公|姥姥|姥爷|老公|老婆|丈夫|妻子|老伴|媳妇|老汉|老头|老太|老人|"
        r"哥|弟|姐|妹|叔|舅|姑|姨|嫂|侄|父|母|阿嬷|阿公|太太|先生|husband|wife|mother|father|\bmom\b|\bdad\b|grand",
        "child": r"宝|孩|娃|儿子|女儿|婴|囡|小朋友|细路|崽|孙|幼儿园|baby|toddler|\bkid\b|\bson\b|daughter|child",
        "other": r"同事|同学|室友|朋友|邻居|工友|路人|有人|男友|女友|徒弟|隔壁|师傅|客人|大爷|大妈|阿姨|friend|roommate",
        "deixis": r"[他她它佢伊]|\bhe\b|\bshe\b|人家",
        "now": r"刚|现在|突然|忽然|正在|这会|马上|立刻|今[天早晚]|半夜|昨晚|分钟|小时|而家|一下子|快点|越来越|\bnow\b|just|suddenly|minutes",
        "long": r"最近|经常|总是|老是|长期|慢性|一直以来|好几?年|多年|几个?月|半年|老毛病|偶尔|有时|平时|每[天年次月]|反复|often|years|months|sometimes",
        "past": r"去年|前年|以前|小时候|当年|曾经|年前|上个?月|上次|那年|年轻时|后来|出院|恢复|好了|治好|没事了|当时|years ago|last year|used to",
        "plan": r"预防|避免|防止|怎么防|以后|将来|万一|如果|平时|安全|准备|注意什么|打算|prevent|avoid",
        "ask": r"什么意思|是什么|区别|鉴别|为什么|原理|机制|定义|解释|怎么理解|属于|哪些|哪一?[条本篇部]|出自|出处|原文|功效|主治|组成|"
        r"归经|性味|辨证|证型|病机|治则|分型|什么是|什么叫|怎么读|介绍|讲讲|说说|what is|why|meaning|difference|define",
        "exam": r"考试|考题|考点|考研|选择题|单选|多选|判断题|论述|名词解释|口诀|背|作业|论文|课|老师|教材|题|复习|执业|实习|exam|quiz",
        "book": r"本草|伤寒论|金匮|内经|素问|灵枢|千金|肘后|医案|古书|古籍|古人|古代|论里|方里|书[里上]|汤头|景岳|洗冤",
        "fiction": r"小说|电视剧|电影|剧[里情本]|新闻|热搜|抖音|视频|主角|故事|历史|游戏|台词|红楼|水浒|甄嬛|传说|novel|movie",
        "body": r"叫不醒|不醒|没反应|不应|昏|晕倒|倒地|抽搐|抽了|在抽|抽筋|吐白沫|翻白眼|没气|不能动|不会动|说不出|动不了|"
        r"发紫|[脸嘴].?[紫青乌]|煞白|喘不|透不|呼吸|冷汗|止不住|剧痛|打滚|没知觉|没力|吐血|喷血|嘴歪|抬不起|发麻|unconscious|blue",
        "poison": r"农药|百草枯|敌敌畏|老鼠药|鼠药|毒|误[服食吞喝]|煤气|一氧化碳|药酒|附子|乌头|草乌|川乌|菌|蘑菇|电池|安眠药|漂白|消毒液",
        "took": r"[喝吃吞服食咽饮嗑][了下完错进]|吃多|喝多|误|吞|drank|swallowed|ate|took",
        "death": r"死|自杀|不想活|活着|活不|轻生|遗书|解脱|结束|割腕|跳楼|上吊|suicid|kill|die",
        "help": r"怎么办|咋办|咋整|咋弄|点算|救|急|快|帮帮|help|120",
        "dose": r"多少|几克|几[颗粒片条只个钱两丸枚朵勺滴次]|剂量|用量|放几|多大|加量|加倍|how much|how many|dose|dosage",
        "harm": r"[打砍捅撞压砸摔烫烧夹掐咬蜇电淹卡噎呛]",
        "feel": r"[痛疼麻晕喘吐抽肿]",
    }.items()
}  # fmt: skip
_PATTERN_NAMES = list(PATTERNS)
_PATTERN_PAIRS = {
    pair: number for number, pair in enumerate(combinations(range(len(_PATTERN_NAMES)), 2), len(_PATTERN_NAMES))
}


def features(text: str) -> set[int]:
    """Of a normalized text the numbers of all it holds, in no order; how often does not matter."""
    c = [ord(character) for character in text]
    c1, c2 = c[1:], c[2:]
    found = {((a * _A + 1) * _MIX & _WRAP) >> _SHIFT for a in c}
    found.update([((a * _A + b * _B + 2) * _MIX & _WRAP) >> _SHIFT for a, b in zip(c, c1)])
    found.update([((a * _A + b * _B + d * _C + 3) * _MIX & _WRAP) >> _SHIFT for a, b, d in zip(c, c1, c2)])
    found.update([((a * _A + d * _C + 5) * _MIX & _WRAP) >> _SHIFT for a, d in zip(c, c2)])
    found.update(_sounds(text))
    found.update(_words(text))
    return found | patterns(text)


def patterns(text: str) -> set[int]:
    """Which of PATTERNS are in a text, and which pairs of them."""
    held = [number for number, name in enumerate(_PATTERN_NAMES) if PATTERNS[name].search(text)]
    numbers = held + [_PATTERN_PAIRS[pair] for pair in combinations(held, 2)]
    return {((number * _A + 7) * _MIX & _WRAP) >> _SHIFT for number in numbers}


def _sounds(text: str) -> list[int]:
    table = _syllable_numbers()
    s = [table.get(character, 0) for character in text]
    s1, s2 = s[1:], s[2:]
    pairs = [((a * _A + b * _B + 8) * _MIX & _WRAP) >> _SHIFT for a, b in zip(s, s1) if a and b]
    return pairs + [
        ((a * _A + b * _B + d * _C + 9) * _MIX & _WRAP) >> _SHIFT for a, b, d in zip(s, s1, s2) if a and b and d
    ]


def _words(text: str) -> list[int]:
    words = _WORD.findall(text)
    if not words:
        return []
    numbers = [int.from_bytes(word.encode()[:12], "little") for word in words]
    run = [ord(letter) for letter in "".join(words)]
    found = [((a * _A + 10) * _MIX & _WRAP) >> _SHIFT for a in numbers]
    found += [((a * _A + b * _B + 11) * _MIX & _WRAP) >> _SHIFT for a, b in zip(numbers, numbers[1:])]
    return found + [
        ((a * _A + b * _B + d * _C + e * _D + 12) * _MIX & _WRAP) >> _SHIFT
        for a, b, d, e in zip(run, run[1:], run[2:], run[3:])
    ]


_NUMBERS: dict[str, int] = {}


def _syllable_numbers() -> dict[str, int]:
    if not _NUMBERS:
        order = {sound: number for number, sound in enumerate(sorted(set(syllables().values())), 1)}
        _NUMBERS.update((character, order[sound]) for character, sound in syllables().items())
    return _NUMBERS
