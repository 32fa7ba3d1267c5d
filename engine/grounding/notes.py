"""Short everyday notes of an owner: hours, prices, parking. Their lines are weighed by words.

The reader was taught on articles, and sees little in lines such as 代煎每剂三元. So a sentence of a note is
scored by the share of the question's own words that it or its heading holds, where an answer of the kind that
is asked for (a price, a time, a place) must stand in it. `terms/everyday.tsv` has the words of both, and
`terms/everyday_words.txt` what visitors and owners call the same thing: 能带狗吗 is answered by 可以带宠物.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from engine.grounding.shelf import Entry, Shelf, plain, sentences
from engine.library import Passage, words
from engine.library.cutting import tokens

PASSAGES = 8  # of a search
ALL = 20_000  # bytes of documents of which every line is weighed: a question and its line may share no word
SHORT = 60  # characters of a sentence; longer ones are no notes
NOTE, PROSE = (
    28,
    32,
)  # characters of a sentence, on average: up to there it is a note, from there on an article
LONG = 18  # characters of a question from which on it is none that visitors ask of notes
BRIEF = 12  # characters of a question as visitors ask it
ENOUGH = 0.6  # of the question's words, from which on a sentence answers;
OTHERWISE = 0.8  # so many where none of them is an everyday one
HEADED = 0.8  # weight of a word that stands in the heading alone
_FILLER = re.compile(
    "第一次|东西|看病|看诊|你们|咱们|我们|这里|这儿|贵店|贵院|请问|想问|一下|需要|可以|能不能|可不可以|有没有|能|可|要|有|是|吗|呢|吧|啊|么|的|了|在|给|到|去|来|"
    "最晚|最早|最|开始|一节|地方|晚上|夜里|早上|早晨|上午|下午|那边|过去|进去|进来|不好|不舒服|自己|行不行|行|些|咋办|咋样|咋|为止|贵|店|进|找|才|拿|再|钱|"
    "坐|走|看|打|我|你|您|想|做|办|怎么|怎样|如何|什么|哪|多少|几|一次|一个|一剂|每|一|个|次|点|会|都|还|也|和|就|那|帮|收|用"
)
_ASKS = re.compile("(?:不|没|没有|不了|(?<![什怎])么|嘛|咯|啦|呗|吗|呢|吧|啊|呀)+$")  # 能带狗不: 能带狗吗
_PARTICLE = re.compile("(?<=[一-龥])[的完了](?=[一-龥])")  # 补的牙: 补牙
_EITHER = re.compile(r"(.)不\1")  # 送不送货: 送货
_VERB = re.compile("^[学买吃做办租带订寄交报拿取放发付刷加换](?=..)")
SINGLE = 0.1  # weight of a character that stands alone; of a word at most 1
SUBJECT, ASKING = 0.6, 0.3  # weight of a kind that is named by its thing (停车) or only asked for (几点)
TOUCHED = 0.4  # of a short question's words that a short sentence must hold for the reader to be believed
SPOKEN = 0.52  # the same of an article's sentence
PARAGRAPH = 90  # characters of a line that is quoted whole
TITLE = 10  # characters of a line without a mark at its end that is a heading of what follows


@dataclass(frozen=True)
class Kind:
    """A kind of thing that visitors ask: their words, the notes' words, how an answer looks."""

    asked: tuple[str, ...]
    noted: tuple[str, ...]
    looks: re.Pattern[str]


@dataclass(frozen=True)
class Line:
    entry: Entry
    first: int
    last: int
    score: float


@dataclass(frozen=True)
class Thing:
    """What a sentence must speak of: any one of the words, or the pieces of the asker's own `run`."""

    words: tuple[str, ...]
    run: str
    weight: float

    def held(self, text: str) -> float:
        """How much of it a text has: from 0 to 1."""
        if not self.run:
            return float(any(word in text for word in self.words))
        size = len(self.run)
        if size == 1:
            return float(self.run in text)
        return len({n + k for n in range(size - 1) if self.run[n : n + 2] in text for k in (0, 1)}) / size


@dataclass(frozen=True)
class Asked:
    """A question: its text, its own words with weights, the kinds of things asked with the words that ask,
    whom it must be about."""

    text: str
    wanted: list[Thing]
    kinds: list[tuple[Kind, str]]
    must: re.Pattern[str] | None


_TITLES = "医生|医师|主任|大夫|老师|教授|师傅|经理"
_PERSON = re.compile(f"(?<![一-龥])([一-龥])(?:{_TITLES})")  # surname and title, where a question begins


@cache
def _kinds() -> tuple[re.Pattern[str], dict[str, Kind]]:
    """The words that ask for a kind of thing, longest first; the kind that each asks for."""
    table: dict[str, Kind] = {}
    for asked, noted, looks in words.rows("everyday.tsv"):
        kind = Kind(tuple(asked.split("、")), tuple(noted.split("、")), re.compile(looks))
        for word in kind.asked:
            table.setdefault(word, kind)
    return re.compile("|".join(map(re.escape, sorted(table, key=len, reverse=True)))), table


def _asked_kinds(text: str) -> list[tuple[Kind, str]]:
    """The kinds of things that a text asks for, each with the first word that does."""
    pattern, table = _kinds()
    found: dict[Kind, str] = {}
    for match in pattern.finditer(text):
        found.setdefault(table[match.group()], match.group())
    return list(found.items())


@cache
def _alike() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    """The words of everyday_words.txt, longest first; for each, all words for the same thing."""
    table: dict[str, list[str]] = {}
    for row in words.rows("everyday_words.txt"):
        line = row[0].split("、")
        for word in line:
            table.setdefault(word, [word]).extend(line)
    longest = sorted(table, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)), re.IGNORECASE)
    return pattern, {word.lower(): tuple(dict.fromkeys(map(plain, found))) for word, found in table.items()}


def _wanted(text: str, shelf: Shelf) -> list[Thing]:
    """What a sentence must speak of: the question without the words that only ask."""
    pattern, table = _alike()
    most = shelf.weight("\0")  # of a word that stands nowhere
    out: list[Thing] = []

    def take(match: re.Match[str]) -> str:
        out.append(Thing(table[match.group().lower()], "", shelf.weight(match.group()) / most))
        return " "

    text = pattern.sub(take, _kinds()[0].sub(" ", text))
    for run in _FILLER.sub(" ", text).split():
        run = plain(_VERB.sub("", run))
        pieces = [token for token in tokens(run) if len(token) > 1]
        out.append(Thing(tuple(pieces or run), run, sum(map(shelf.weight, pieces)) / most or SINGLE))
    return out


def _understood(text: str, shelf: Shelf) -> Asked:
    person = _PERSON.search(text)
    must = re.compile(f"{person[1]}[一-龥]{{0,3}}(?:{_TITLES})") if person else None
    own = _EITHER.sub(r"\1", text.replace(person.group(), " ") if person else text)
    own = _PARTICLE.sub("", _ASKS.sub("", words.MARKS.sub(" ", own).strip()))
    kinds = _asked_kinds(own)
    if not kinds and own.endswith("多少") and not own.endswith(("号多少", "码多少")):
        kinds = _asked_kinds("多少钱")
    return Asked(text, _wanted(own, shelf), kinds, must)


def best_line(text: str, shelf: Shelf, sources: list[int]) -> Line | None:
    """The sentence of the owner's documents that answers an everyday question best; None if none does."""
    text = words.tidy(text)
    asked = _understood(text, shelf)
    if not sources or not (asked.wanted or asked.kinds) or len(words.bare(text)) > LONG:
        return None
    more = [word for kind, _ in asked.kinds for word in kind.noted]
    more += [word for thing in asked.wanted for word in thing.words]
    found = few(f"{asked.text} {' '.join(more)}", shelf, sources, ALL, PASSAGES)
    everyday = asked.kinds or any(not thing.run for thing in asked.wanted)
    least = ENOUGH if everyday else OTHERWISE
    lines = [line for one in found for line in _lines(shelf.alone(one), asked) if line.score >= least]
    return max(lines, key=lambda line: line.score, default=None)


def few(query: str, shelf: Shelf, sources: list[int], most: int, limit: int) -> Sequence[Passage]:
    """All passages of the sources if they have at most so many bytes, else the first of a search."""
    library = shelf.library
    if sum(library.source(number).bytes for number in sources) <= most:
        return [passage for number in sources for passage in library.passages(number)]
    return library.search(query, limit, sources, explain=False)


def unlike(text: str, said: str, entry: Entry, shelf: Shelf) -> bool:
    """Whether a short sentence does not answer a short question, which asks for things of which it has no
    word, or, of a note, for a kind of thing that it lacks, such as a price."""
    text = words.tidy(text)
    if len(words.bare(text)) > BRIEF or len(said) > SHORT:
        return False
    asked = _understood(text, shelf)
    note = _mean(entry.text) <= NOTE
    if note and any(not kind.looks.search(said) for kind, _ in asked.kinds):
        return True
    spelled = plain(said + entry.book + entry.heading)
    total = sum(thing.weight for thing in asked.wanted)
    held = sum(thing.weight * _share(thing, spelled, shelf) for thing in asked.wanted)
    return total > SINGLE and held < (TOUCHED if note else SPOKEN) * total


def _share(thing: Thing, spelled: str, shelf: Shelf) -> float:
    """How much of a thing a text has, by weight: 名字由来 is little of 王不留行名字由来."""
    if len(thing.run) < 2:
        return thing.held(spelled)
    weights = {piece: shelf.weight(piece) for piece in thing.words}
    return sum(weight for piece, weight in weights.items() if piece in spelled) / sum(weights.values())


def whole(text: str, first: int, last: int) -> tuple[int, int]:
    """The line that holds a sentence, if it is not long: a price or rule often goes on behind a mark."""
    begin = text.rfind("\n", 0, first) + 1
    end = text.find("\n", max(first, last - 1))
    end = len(text) if end < 0 else end
    if end - begin <= PARAGRAPH:
        return begin, max(end, last)
    while first > begin and text[first - 1] in "；;" and last - first < PARAGRAPH:
        first = max(begin, *(text.rfind(mark, begin, first - 1) + 1 for mark in "。；;！？"))
    while last < end and text[last - 1] in "；;" and last - first < PARAGRAPH:
        ends = [place for mark in "。；;！？" if (place := text.find(mark, last, end)) >= 0]
        last = min(ends, default=end - 1) + 1
    return first, last


def _mean(text: str) -> float:
    """Characters of a sentence, on average."""
    spans = sentences(text, SHORT)
    return sum(last - first for first, last in spans) / max(1, len(spans))


def _lines(entry: Entry, asked: Asked) -> list[Line]:
    spans = sentences(entry.text, SHORT)
    if _mean(entry.text) > PROSE:
        return []
    over, heading, question = plain(f"{entry.book}{entry.heading}"), "", ""
    out = []
    for first, last in spans:
        said = entry.text[first:last].strip()
        if said.endswith(("？", "?")):  # a question of the note's own: what follows answers it
            question = plain(said)
            continue
        if len(said) <= TITLE and entry.text[last - 1 : last] == "\n" and said[-1].isalpha():
            heading = plain(said)
            continue
        out.append(Line(entry, first, last, _score(said, over + heading, question, asked)))
        question = ""
    return out


def _score(said: str, heading: str, question: str, asked: Asked) -> float:
    """How well a sentence under a heading, or behind a question of the note's own, answers: from 0 to 1."""
    spelled = plain(said) + question
    fits = all(kind.looks.search(said) or any(w in question for w in kind.asked) for kind, _ in asked.kinds)
    if not fits or (asked.must and not asked.must.search(spelled)):
        return 0.0
    alike = [token for token in tokens(asked.text) if len(token) > 1]
    more = 0.1 * sum(token in spelled for token in alike) / max(1, len(alike))  # decides between equals
    held = total = 0.0
    for thing in asked.wanted:
        total += thing.weight
        held += thing.weight * max(thing.held(spelled), HEADED * thing.held(heading))
    for kind, word in asked.kinds:
        more += _near(kind, asked, said)
        weight = SUBJECT if word in kind.noted else ASKING
        total += weight
        held += weight * _named(kind, word, spelled, heading)
    if not total:
        return 0.0
    return (1.0 if asked.must and not asked.wanted and held else held / total) + more


def _near(kind: Kind, asked: Asked, said: str) -> float:
    """A little more where an answer of the kind stands close to a thing asked for, such as its price."""
    places = [place for thing in asked.wanted for word in thing.words if (place := said.find(word)) >= 0]
    looks = [match.start() for match in kind.looks.finditer(said)]
    apart = min((abs(a - b) for a in places for b in looks), default=20)
    return 0.004 * max(0, 20 - apart)


def _named(kind: Kind, asked: str, spelled: str, heading: str) -> float:
    """Whether a sentence speaks of the kind of thing that is asked: in the asker's words or in the notes'."""
    if asked in spelled:
        return 1.0
    places = [place for place, word in enumerate(kind.noted) if word in spelled]
    if places:  # the first words say it most plainly
        return 0.9 - 0.003 * places[0] + 0.015 * min(4, len(places) - 1)
    return HEADED if any(word in heading for word in (*kind.noted, asked)) else 0.0
