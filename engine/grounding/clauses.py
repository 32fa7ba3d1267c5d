"""Clauses of the books that speak of a complaint, ranked by plain features.

A clause is one sentence or two. What it holds of the complaint, whether it names a formula, where it stands
and what else it names are features. Their weights stand in `clauses.json`: set by hand, those for
complaints then fitted by a softmax over the clauses of a question, on bundled pairs with known quotations.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from engine.grounding.herb_lists import herb_lists
from engine.grounding.question import Question
from engine.grounding.shelf import Entry, Shelf, canon, plain, sentences, standing
from engine.library import words

KEPT = 70  # entries that are read closely
BOOKS = 14  # well-known books that are searched one by one beside the whole library
FORMULA = re.compile(
    r"(?:[一-龥]{1,9}(?:[汤散丸丹饮煎膏酒]|饮子))(?:亦?主之|方|。|，|；|、|治|加|服|$|）|：|或)"
)
_PRESCRIBES = re.compile("主之|宜|方用|可与|用|服|治以|当以|与|投")
_NAME = re.compile("[一-龥]{1,9}(?:饮子|[汤散丸丹饮煎膏])")
_LEAD = re.compile(
    "^(?:方用|宜用|宜服|宜|当服|当用|当与|可与|可服|先服|急服|服|用|与|以|即|如|或|次以|主以|方|治|者|合|加(?![味减])|兼服|投|则|后|再|又|并|更|先|随|吹以|涂|敷|外用|内服|名|曰|及|仍|仿|拟|此)+"
)
_VERSE = re.compile("^(歌括|方歌|【方歌】|歌曰|歌诀|诗曰|眉批)")
# a state of the sick that changes everything: a clause on it answers only who names it
CONTEXTS = (
    "产后",
    "妊娠",
    "小儿",
    "痘",
    "胎前",
    "霍乱",
    "疟",
    "痢",
    "脚气",
    "金疮",
    "孕",
    "娩",
    "婴",
    "瘟",
    "虚劳",
    "狐惑",
    "蛊",
    "鬼",
)
_INDICATES = re.compile(
    "(?:【[^】]{1,4}】|主治：|（[^（）]{1,12}）|[一-龥]{2,8} ){0,2}(?:专|通|能|统|又|亦)?(?:治|主|疗)"
)
_LEANS = re.compile(
    "(?:【注】|【按】|【集注】|〔注〕|所以|此|故|盖|但|然|而|其|又|如|若|且|则|及|因|况|夫|岂|是以|是故|亦|凡|以|即|乃|“|问曰)"
)
_VEHICLES = (
    "白汤",
    "姜汤",
    "盐汤",
    "枣汤",
    "米饮",
    "清汤",
    "热酒",
    "温酒",
    "茶汤",
    "米汤",
    "沸汤",
    "水煎",
    "酒煎",
    "同煎",
    "为丸",
    "为散",
    "作丸",
    "糊丸",
    "蜜丸",
)
_TREATS = re.compile("必用|宜|当|主于|专主|治法|治宜|法当|用|服")
_BECAUSE = re.compile("者(是|由|皆|乃|因|此|盖)|因|由|所致|病也|所作|本于|生于|起于|得之|故令|所生")
_CAUSE = re.compile("由|因|此|乃|盖|皆|故|属|所致|为之|本于|名|谓|是|生于|起于|发于|得之|者")


@dataclass
class Clause:
    entry: Entry
    first: int
    last: int
    value: float
    coverage: float
    formula: str
    extra: tuple[int, int] | None  # the sentence that names the formula, where it is another
    features: dict[str, float]


def group_weights(question: Question, shelf: Shelf) -> list[tuple[words.Group, float]]:
    out = []
    for group in question.groups:
        common = min(shelf.weight(a) for a in group.alternatives)
        out.append((group, max(0.15, common / 6)))
    return out


def _words(question: Question, shelf: Shelf) -> dict[str, float]:
    query: dict[str, float] = {}
    for group, weight in group_weights(question, shelf):
        for alternative in group.alternatives:
            share = 1.0 if len(alternative) > 1 else 0.5
            query[alternative] = max(query.get(alternative, 0.0), share * weight)
    for word, weight in residue(question).items():
        query[word] = max(query.get(word, 0.0), weight)
    return query


def residue(question: Question) -> dict[str, float]:
    """Pairs of characters of the question that no group explains."""
    rest = question.text.replace(question.book_word, " ") if question.book_word else question.text
    for group in question.groups:
        rest = rest.replace(group.word, " ")
    out = {}
    for run in words.strip(rest).split():
        for place in range(len(run) - 1):
            out[run[place : place + 2]] = 0.35
    return out


def candidates(question: Question, shelf: Shelf, kind: str) -> list[Entry]:
    query = _words(question, shelf)
    headings = {g: 1.5 for group in question.groups for g in group.alternatives if len(g) > 1}
    seen: set[int] = set()
    out = []
    hits = []
    books = question.books[:4] or tuple(canon(kind)[:BOOKS])
    for book in books:
        try:
            hits += shelf.search(query, 9, headings, book)
        except ValueError:
            continue
    if not question.books:
        hits += shelf.search(query, 30, headings)
    for hit in hits:
        if hit.id in seen:
            continue
        entry = shelf.entry(hit, 1, 3)
        seen.update(p.id for p in entry.passages if p.id == hit.id)
        out.append(entry)
    return out


def clauses(question: Question, shelf: Shelf, kind: str) -> list[Clause]:
    weights = group_weights(question, shelf)
    rest = residue(question)
    total = sum(w for _, w in weights) + 0.15 * sum(rest.values())
    if not total:
        return []
    out: dict[tuple[str, int], Clause] = {}
    asked = plain(question.text + "".join(a for g in question.groups for a in g.alternatives))
    need = float(bool(re.search("方|汤|药|丸|散", question.text)))
    foreign = tuple(c for c in CONTEXTS if c not in asked)
    for entry in _promising(candidates(question, shelf, kind), weights):
        for clause in _clauses_of(entry, weights, rest, total, kind, foreign, need):
            key = (entry.book, len(entry.text[: clause.first].encode()) + entry.start)
            if key not in out or out[key].value < clause.value:
                out[key] = clause
    ranked = sorted(out.values(), key=lambda c: -c.value)
    for clause in ranked[:60]:
        clause.features["others"] = min(5, _others(clause, question)) / 5
        clause.value = weigh(clause.features, kind)
    return sorted(ranked[:60], key=lambda c: -c.value)


def weigh(features: dict[str, float], kind: str) -> float:
    weights = _weights()[kind]
    return sum(weights.get(name, 0.0) * value for name, value in features.items())


@cache
def _weights() -> dict[str, dict[str, float]]:
    return dict(json.loads(Path(__file__).with_name("clauses.json").read_text("utf-8")))


def _others(clause: Clause, question: Question) -> int:
    """how many complaints a clause names that were not asked for"""
    mine = {a for group in question.groups for a in group.alternatives}
    named = words.groups(clause.entry.text[clause.first : clause.last])
    return sum(mine.isdisjoint(group.alternatives) for group in named)


def _promising(entries: list[Entry], weights: list[tuple[words.Group, float]]) -> list[Entry]:
    """the entries that hold most of what is asked, wherever it stands in them"""
    ranked = []
    for number, entry in enumerate(entries):
        whole = plain(entry.heading + entry.text)
        held = sum(w * any(a in whole for a in g.alternatives) for g, w in weights)
        ranked.append((-held, number, entry))
    return [entry for _, _, entry in sorted(ranked, key=lambda x: x[:2])[:KEPT]]


def _matched(text: str, alternatives: tuple[str, ...]) -> float:
    """1 for a word of the books that is there; most of it where its characters stand close together"""
    best = 0.0
    for alternative in alternatives:
        if alternative in text:
            if len(alternative) > 1 or alternatives[0] == alternative:
                return 1.0
            best = max(best, 0.6)
        if len(alternative) >= 3 and best < 0.7:
            place = -1
            start = text.find(alternative[0])
            if start >= 0:
                place = start
                for character in alternative[1:]:
                    place = text.find(character, place + 1, place + 5)
                    if place < 0:
                        break
            if place >= 0:
                best = 0.7
    return best


def _unfit(sentence: str) -> bool:
    """verses and herb lists are no clauses"""
    stripped = sentence.strip()
    return bool(_VERSE.match(stripped)) or (" " in stripped and bool(herb_lists(sentence)))


def _clauses_of(
    entry: Entry,
    weights: list[tuple[words.Group, float]],
    rest: dict[str, float],
    total: float,
    kind: str,
    foreign: tuple[str, ...],
    need: float,
) -> list[Clause]:
    heading = plain(entry.heading)
    whole = plain(entry.text)
    parts = sentences(entry.text)
    plates: dict[int, bool] = {}
    exact = any(entry.key == a for group, _ in weights for a in group.alternatives)
    strange = any(c in heading for c in foreign)
    head = {group.word: _matched(heading, group.alternatives) for group, _ in weights}
    around = {group.word: 0.35 * _matched(whole, group.alternatives) for group, _ in weights}
    rank = standing(kind, entry.book)
    formula_heading = bool(re.search("[汤散丸丹饮煎膏](?:方)?$", entry.key)) and len(entry.key) > 2
    spelled = [plain(entry.text[a:b]) for a, b in parts]
    matched = [[_matched(text, group.alternatives) for group, _ in weights] for text in spelled]
    out = []
    for number in range(len(parts)):
        for span in (1, 2):
            if number + span > len(parts):
                continue
            first, last = parts[number][0], parts[number + span - 1][1]
            if last - first > 180 and span > 1:
                continue
            here_of = [max(values) for values in zip(*matched[number : number + span], strict=True)]
            if not any(here_of) and not any(head.values()):
                continue
            for which in range(number, number + span):
                if which not in plates:
                    plates[which] = _unfit(entry.text[parts[which][0] : parts[which][1]])
            if any(plates[which] for which in range(number, number + span)):
                continue
            text = "".join(spelled[number : number + span])
            found = 0.0
            inside = 0.0
            for (group, weight), here in zip(weights, here_of, strict=True):
                inside += weight * here
                found += weight * max(here, 0.85 * head[group.word], around[group.word])
            if inside == 0 and not any(head.values()):
                continue
            found += 0.15 * sum(w for word, w in rest.items() if word in text)
            coverage = min(1.0, found / total)
            name, extra, named = _formula_of(entry, parts, number, number + span - 1, formula_heading)
            if not named and _TREATS.search(entry.text[first:last]):
                named = 0.5
            spelt = entry.text[first:last].strip()
            features = {
                "coverage": coverage,
                "named": coverage * named,
                "named_asked": coverage * named * need,
                "inside": inside / total,
                "standing": rank,
                "heading": max(head.values(), default=0.0),
                "headed": float(exact),
                "strange": float(strange or any(c in text for c in foreign)),
                "first": float(number == 0),
                "early": float(number < 3),
                "because": 0.5 * bool(_BECAUSE.search(text)) + 0.5 * bool(_CAUSE.search(text)),
                "leans": float(bool(_LEANS.match(spelt))),
                "indicates": float(bool(_INDICATES.match(spelt))),
                "main": float("主之" in spelt),
                "short": float(len(text) < 12) + float(len(text) < 9),
                "length": max(0, last - first - 30) / 100,
                "two": float(span - 1),
                "elsewhere": float(extra is not None),
                "others": 0.0,
            }
            value = weigh(features, kind)
            out.append(Clause(entry, first, last, value, coverage, name, extra, features))
    return out


@lru_cache(maxsize=4096)  # the same sentence is looked at from several clauses before it
def formula_in(sentence: str) -> str:
    """The formula that a sentence prescribes, without the words before its name."""
    for match in reversed(list(_NAME.finditer(sentence))):
        if (
            sentence[match.end() : match.end() + 1] in ("下", "送", "调", "化", "服", "吞", "洗")
            or match.group()[-2:] in _VEHICLES
        ):
            continue
        name = _LEAD.sub("", match.group())
        name = re.split("宜|主以|方用|可与|用|服|与|投|为|者|以", name)[-1] if len(name) > 4 else name
        if (
            len(name) >= 3
            and not re.search("[各分钱两水酒]", name[:-1])
            and not re.search("^(此|本|上|前|煎|各|热|冷|姜|作|米|清|温|白|水|蜜为|为)", name)
        ):
            return name
    return ""


def _formula_of(
    entry: Entry, parts: list[tuple[int, int]], first: int, last: int, formula_heading: bool
) -> tuple[str, tuple[int, int] | None, float]:
    """(name, span of the sentence that names it, how surely it belongs to the clause)"""
    own = entry.text[parts[first][0] : parts[last][1]]
    name = formula_in(own)
    if name and "主之" in own:
        return name, None, 1.0
    if name and _PRESCRIBES.search(own):
        return name, None, 0.95
    if formula_heading:
        treats = bool(_INDICATES.match(own.strip()))
        return entry.key, None, 1.0 if treats and first < 6 else 0.7 if first < 2 else 0.4
    for number in range(last + 1, min(len(parts), last + 14)):
        text = entry.text[parts[number][0] : parts[number][1]]
        if _VERSE.match(text.strip()):
            continue
        name = formula_in(text)
        if name and _PRESCRIBES.search(text) and not (" " in text.strip() and herb_lists(text)):
            return (
                name,
                (parts[number][0], min(parts[number][1], parts[number][0] + 90)),
                max(0.5, 0.9 - 0.05 * (number - last)),
            )
    return "", None, 0.0
