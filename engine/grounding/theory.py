"""Theory, sayings and their places: the sentence that holds most of the question's words."""

from __future__ import annotations

import re

from engine.grounding.question import Question
from engine.grounding.records import Citation, Draft
from engine.grounding.shelf import Entry, Shelf, canon, plain, sentences, standing
from engine.library import Hit, words
from engine.library.cutting import tokens

BOOKS = 10
OFTEN = 60  # candidates that are compared with each other
Wanted = tuple[tuple[str, ...], float]  # alternatives, weight
Found = tuple[float, float, Entry, int, int]  # value, coverage, entry, first and last character
_ASKING = re.compile(
    "下一句|后一句|下句|后面|接什么|怎么背|怎么接|哪里写着|出自哪里|出自|出处|哪本书|谁的观点|谁说的|原文|内经说|书里说|"
    "都有哪些|有哪些|是哪|是什么|什么是|为什么|有多重要|打的什么比方|怎么说|是谁|什么|哪七样|会得|会怎样|会怎么样|的话|歌诀|歌|里"
)


def _asked(question: Question) -> str:
    text = question.text
    for title in (question.book_word,):
        text = text.replace(title, " ") if title else text
    if question.kind == "comparison":
        text = re.sub("和|与|跟|同|、|区别|不同|不一样|区分|怎么分|差别|辨别|比较", " ", text)
    return words.strip(_ASKING.sub(" ", text))


def wanted(question: Question, shelf: Shelf) -> list[Wanted]:
    """What a sentence should hold: alternatives with a weight, ideas first, then pairs of characters."""
    out: list[Wanted] = []
    text = _asked(question)
    ideas = words.groups(question.text, "concepts.tsv")
    for group in (*ideas, *question.groups):
        weight = max(shelf.weight(a) for a in group.alternatives)
        if not any(group.alternatives == a for a, _ in out):
            out.append((group.alternatives, 1.2 * weight))
            text = text.replace(group.word, " ")
    runs = text.split()
    for run in runs:
        grams = list(dict.fromkeys(tokens(run)))
        pairs = [t for t in grams if len(t) > 1]
        singles = [t for t in grams if len(t) == 1]
        out += [((pair,), shelf.weight(pair)) for pair in pairs]
        out += [((single,), (0.7 if not pairs else 0.3) * shelf.weight(single)) for single in singles]
    return out


def _query(question: Question, shelf: Shelf) -> dict[str, float]:
    query: dict[str, float] = {}
    for alternatives, _ in wanted(question, shelf):
        for alternative in alternatives:
            query[alternative] = max(query.get(alternative, 0), 1.0 if len(alternative) > 1 else 0.3)
    return query


def theory(question: Question, shelf: Shelf) -> Draft | None:
    asked = wanted(question, shelf)
    total = sum(weight for _, weight in asked)
    if not total:
        return None
    ranked: list[Found] = []
    seen: set[int] = set()
    for hit in _hits(question, shelf, _query(question, shelf)):
        if hit.id in seen:
            continue
        seen.add(hit.id)
        ranked += _windows(shelf.alone(hit), asked, total, question)
    if not ranked:
        return None
    ranked.sort(key=lambda x: -x[0])
    ranked = _often(ranked)
    best = ranked[0]
    citations = [best[2].cite(best[3], _answered(best[2].text, best[3], best[4]))]
    for value, _, entry, first, last in ranked[1:30]:
        if value < 0.8 * best[0] or sum(len(c.quote) for c in citations) + last - first > 170:
            continue
        if all(entry.book != c.book for c in citations) and not _same(entry.text[first:last], citations):
            citations.append(entry.cite(first, last))
            if len(citations) == 2:
                break
    defines = _says_what(best[2], best[3], best[4], question)
    return Draft(citations, [""] * len(citations), "", min(1.0, best[1]), best[1] > 0.9, defines)


def _says_what(entry: Entry, first: int, last: int, question: Question) -> bool:
    """Whether a sentence begins with the thing asked for, or stands under a heading that is its name."""
    meaning = _meaning(question)
    if meaning and meaning.match(plain(entry.text[first:last])):
        return True
    return len(entry.key) > 1 and entry.key in plain(question.text)


def _answered(text: str, first: int, last: int) -> int:
    """the end of what follows a sentence that is itself a question"""
    if not re.search("何[也如谓]|奈何|何以|？|乎。", text[max(first, last - 8) : last]):
        return last
    for begin, end in sentences(text, 80):
        if begin >= last - 1:
            return min(end, last + 90)
    return last


def _same(text: str, citations: list[Citation]) -> bool:
    mine = plain(text)
    return any(
        sum(mine[i : i + 3] in plain(c.quote) for i in range(len(mine) - 2)) > 0.7 * max(1, len(mine) - 2)
        for c in citations
    )


def _hits(question: Question, shelf: Shelf, query: dict[str, float]) -> list[Hit]:
    hits = []
    names = {run: 2.0 for run in _asked(question).split() if len(run) > 1}
    names |= {group.word: 2.0 for group in words.groups(question.text, "concepts.tsv") if len(group.word) > 2}
    for book in question.books[:5] or canon("theory")[:BOOKS]:
        try:
            hits += shelf.search(query, 12, names, book, 0.7)
        except ValueError:
            continue
    if not question.books:
        hits += shelf.search(query, 40, names, None, 0.7)
    return hits


def _defines(text: str, asked: list[Wanted]) -> bool:
    """whether the sentence begins with a thing asked for and says what it is"""
    for alternatives, _ in asked:
        for word in alternatives:
            if len(word) > 1 or len(asked) < 4:
                place = text.find(word, 0, len(word) + 3)
                if place >= 0 and re.match("之?为|者|曰|即|乃|是|之", text[place + len(word) :]):
                    return True
    return False


_ASKS_WHAT = re.compile(
    "(?:什么是|何谓|什么叫|啥是|啥叫|所谓的?|何为)(.{1,6}?)[？?。]?$|"
    "^(.{1,6}?)(?:是什么意思|是什么东西|是什么|是啥|指的?是?什么|的含义|的定义|的概念|的意思|什么意思)"
)
_POLITE = re.compile("^(?:请问|请教|老师|医生|你知道|我想知道|想问问?|中医里?的?)+")
_OPENS = "(?:夫|盖|故|所谓|岐伯曰|黄帝曰|帝曰|经曰|经云|曰|云)*"


def _meaning(question: Question) -> re.Pattern[str] | None:
    """How a sentence begins that says what the thing asked for is; None where that is not asked."""
    found = _ASKS_WHAT.search(_POLITE.sub("", question.text))
    name = plain((found[1] or found[2]).strip("的“”「」")) if found else ""
    return re.compile(f"{_OPENS}(?:{re.escape(name)})(者|为|乃|即|谓|之为)") if name else None


def _often(ranked: list[Found]) -> list[Found]:
    """The best ones with a little more for those whose words other books have too: the well-known sayings."""
    kept = ranked[:OFTEN]
    texts = [(entry.book, plain(entry.text)) for _, _, entry, _, _ in kept]
    out = []
    for value, coverage, entry, first, last in kept:
        beginning = plain(entry.text[first:last])[:12]
        books = {book for book, text in texts if beginning in text} if len(beginning) == 12 else {entry.book}
        out.append((value + 0.05 * min(3, len(books) - 1), coverage, entry, first, last))
    return sorted(out, key=lambda x: -x[0]) + ranked[OFTEN:]


def _windows(entry: Entry, asked: list[Wanted], total: float, question: Question) -> list[Found]:
    heading = plain(entry.heading)
    asked_text = plain(question.text)
    parts = sentences(entry.text, 80)
    spelled = [plain(entry.text[first:last]) for first, last in parts]
    # per thing asked for: its words that count fully, all its words, whether the heading has one, its weight
    things = [
        (
            [a for a in alternatives if len(a) > 1 or len(alternatives) == 1],
            alternatives,
            any(len(a) > 1 and a in heading for a in alternatives),
            weight,
        )
        for alternatives, weight in asked
    ]
    out = []
    rank = standing("theory", entry.book)
    meaning = _meaning(question)
    for number in range(len(parts)):
        for span in (1, 2, 3):
            if number + span > len(parts):
                break
            first, last = parts[number][0], parts[number + span - 1][1]
            if last - first > 150 and span > 1:
                break
            text = "".join(spelled[number : number + span])
            held = 0.0
            for long, alternatives, headed, weight in things:
                there = 0
                for alternative in long:
                    there += alternative in text
                if there:
                    held += weight * (1 + 0.2 * min(there - 1, 2))
                elif any(a in text for a in alternatives):
                    held += 0.4 * weight
                elif headed:
                    held += 0.5 * weight
            if held <= 0:
                continue
            coverage = min(1.15, held / total)
            value = coverage + 0.1 * rank - 0.0012 * max(0, last - first - 24) - 0.03 * (span - 1)
            value += 0.06 * bool(re.search("(者|为|曰|谓|名|是)", text[:14]))
            value += 0.12 * (len(entry.key) > 2 and entry.key in asked_text)
            value += 0.12 * _defines(text, asked)
            if meaning and (said := meaning.match(text)) and len(text) >= said.end() + 4:
                value += 0.4 if said[1] == "者" else 0.2
            if last - first > 160:
                last = first + 160
            out.append((value, coverage, entry, first, last))
    return out
