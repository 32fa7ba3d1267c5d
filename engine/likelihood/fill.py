"""What stands in a gap: a beam search over characters, ranked together with the text after the gap.

A filling c of a gap between `left` and `right` costs -log2 P(c right | left): its bits and those of
the text that follows. So fillings of different lengths compete without any correction of length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import _core
from engine.likelihood.protocol import LanguageModel, TextSession
from engine.likelihood.score import cost_bits
from engine.model.special_bytes import END_MARK

GAP = "____"
WINDOW = 16  # characters after the gap that count for a filling
NEAR = 3  # characters after the gap for the first selection
BEAM = 96  # by default, prefixes that are carried on to their next character
CANDIDATES = 64  # fillings of each length that are scored
FINALISTS = 16  # of them, after the first selection
JOINT = 3  # ways to fill the gaps so far that are carried on to the next gap
SLACK = 6.0  # bits by which a longer filling may still make what follows likelier than any shorter one
_GAP = re.compile("_{4,}")
# A text that stops at the gap may go on in any of these ways, so that the filling is complete.
_ENDS = [*(mark.encode() for mark in ("。", "，", ".", ",", "\n")), END_MARK]


@dataclass(frozen=True)
class Filling:
    """`bits`: of the filling and of the characters that follow it, at most WINDOW; fewer is likelier."""

    text: str
    bits: float


@dataclass(frozen=True)
class Filled:
    """`text` with all gaps filled in the likeliest way; for each gap its likeliest fillings, best first."""

    text: str
    gaps: list[list[Filling]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "gaps": [[{"text": one.text, "bits": one.bits} for one in gap] for gap in self.gaps],
        }


@dataclass(frozen=True)
class _Prefix:
    """Characters of a filling that were read after the left context, with what they cost."""

    session: Any  # _core.Session
    data: bytes
    bits: float


@dataclass(frozen=True)
class _Hypothesis:
    session: TextSession
    text: str
    bits: float


def fill_text(
    model: LanguageModel, text: str, count: int = 5, max_characters: int = 8, beam: int = BEAM,
    among: Sequence[str] = (),
) -> Filled:  # fmt: skip
    """Find the `count` likeliest fillings, of up to `max_characters` characters, for each ____ in a text.

    Of the fillings `among` of a single gap each is weighed too, and all of them are in the result.

    `beam` is how many prefixes are carried on at a time. Several gaps are filled from left to right, a few
    ways at a time. A filling begins and ends with a letter or digit and keeps to its line. ValueError for a
    text without a gap, a count below 1, or an empty filling or several gaps with `among`.
    """
    first, *rests = _GAP.split(text)
    if not rests:
        raise ValueError(f"the text has no gap: mark it with {GAP} (four underscores)")
    if count < 1 or max_characters < 1:
        raise ValueError("at least one filling of at least one character must be asked for")
    if among and (len(rests) > 1 or not all(among)):
        raise ValueError("fillings to weigh are given for one gap alone, and none may be empty")
    if model.encoding.name != "utf-8":
        raise ValueError(f"gaps are filled by models over UTF-8; this one reads {model.encoding.name}")
    session = model.session()
    session.feed(first)
    given = _given(session, rests[0], among)
    ways, gaps = [_Hypothesis(session, first, 0.0)], []
    for rest in rests:
        best: dict[str, Filling] = {}
        found: list[tuple[float, _Hypothesis, str]] = []
        for way in ways:
            for one in _fillings(way.session, rest, max(count, JOINT), max_characters, beam):
                total = way.bits - ways[0].bits + one.bits
                if one.text not in best or best[one.text].bits > total:
                    best[one.text] = Filling(one.text, total)
                found.append((total, way, one.text))
        likeliest = sorted(best.values(), key=lambda one: one.bits)[:count]
        more = [one for one in given if one.text not in {other.text for other in likeliest}]
        gaps.append(sorted([*likeliest, *more], key=lambda one: one.bits))
        found.sort(key=lambda entry: entry[0])
        ways = [_extend(way, filling, rest) for _, way, filling in found[:JOINT]]
    return Filled(ways[0].text, gaps)


def _given(session: TextSession, rest: str, among: Sequence[str]) -> list[Filling]:
    """What given fillings cost before `rest`."""
    ends = [rest[:WINDOW].encode()] if rest else _ENDS
    texts = list(dict.fromkeys(among))
    bits = _total_bits(session, [one.encode() for one in texts], ends)
    return [Filling(text, total) for text, total in zip(texts, bits, strict=True)]


def _extend(way: _Hypothesis, filling: str, rest: str) -> _Hypothesis:
    session = way.session.fork()
    bits = session.score(filling + rest)
    return _Hypothesis(session, way.text + filling + rest, way.bits + bits)


def _fillings(session: TextSession, rest: str, count: int, max_characters: int, beam: int) -> list[Filling]:
    """The likeliest fillings after what the session has read and before `rest`, best first."""
    ends = [rest[:WINDOW].encode()] if rest else _ENDS
    prefixes = [_Prefix(session.fork().native, b"", 0.0)]
    best: list[Filling] = []
    least_after = np.inf  # what `ends` cost at the least
    for _ in range(max_characters):
        complete = _next_characters(prefixes)
        whole = [one for one in complete if _may_stand(one.data.decode())][:CANDIDATES]
        if len(rest) > NEAR:
            near = _total_bits(session, [one.data for one in whole], [rest[:NEAR].encode()])
            whole = [whole[i] for i in np.argsort(near)]
        whole = whole[:FINALISTS]
        totals = _total_bits(session, [one.data for one in whole], ends)
        best += [Filling(one.data.decode(), total) for one, total in zip(whole, totals, strict=True)]
        best = sorted(best, key=lambda one: one.bits)[:count]
        after = [total - one.bits for one, total in zip(whole, totals, strict=True)]
        least_after = min([least_after, *after])
        # What a beginning costs is the least that any filling costs that goes on from it.
        bound = best[-1].bits - least_after + SLACK if len(best) == count else np.inf
        prefixes = _read([one for one in complete if one.bits < bound and _may_begin(one)][:beam])
        if not prefixes:
            break
    return best


def _total_bits(session: TextSession, fillings: Sequence[bytes], ends: Sequence[bytes]) -> list[float]:
    """The bits of each filling with what follows; several ends are summed over."""
    if not fillings:
        return []
    texts = [filling + end for filling in fillings for end in ends]
    bits = np.array([each.sum() for each in session.bits_each(texts)]).reshape(len(fillings), len(ends))
    return [float(total) for total in -np.logaddexp2.reduce(-bits, axis=1)]


def _next_characters(prefixes: Sequence[_Prefix]) -> list[_Prefix]:
    """The likeliest characters after the prefixes, cheapest first; their last byte is not read yet."""
    complete: list[_Prefix] = []
    opened = list(prefixes)
    pending = b""
    for place in range(4):
        bits = _allowed_bits(opened, place)
        cheapest = np.argpartition(bits, min(bits.size - 1, 4 * CANDIDATES), axis=None)[: 4 * CANDIDATES]
        following: list[_Prefix] = []
        for index in cheapest[np.isfinite(bits.ravel()[cheapest])]:
            row, byte = divmod(int(index), 256)
            one = opened[row]
            pending = one.data[len(one.data) - place :] + bytes([byte])
            new = _Prefix(one.session, one.data + bytes([byte]), float(bits[row, byte]))
            (complete if _is_character(pending) else following).append(new)
        if not following:
            break
        opened = _read(following)
    return sorted(complete, key=lambda one: one.bits)


def _allowed_bits(prefixes: Sequence[_Prefix], place: int) -> NDArray[np.float64]:
    """What each beginning costs with each byte after it, [prefixes, 256]; infinite where none may stand."""
    bits = cost_bits(_core.logits_of([one.session for one in prefixes]))
    for row, one in enumerate(prefixes):
        bits[row] += one.bits + _forbidden(one.data[len(one.data) - place :])
    return bits


@lru_cache(maxsize=4096)
def _forbidden(pending: bytes) -> NDArray[np.float64]:
    """0 for each byte that may follow in a filling, else infinite, [256]."""
    cost = np.full(256, np.inf)
    cost[np.frombuffer(_core.allowed_bytes(pending, False), np.uint8)] = 0
    cost[[ord("\n"), ord("\t"), ord("_")]] = np.inf
    return cost


def _read(prefixes: Sequence[_Prefix]) -> list[_Prefix]:
    """Beginnings whose last byte is read, in sessions of their own."""
    sessions = [one.session.fork() for one in prefixes]
    _core.feed_bytes(sessions, bytes(one.data[-1] for one in prefixes))
    return [_Prefix(s, one.data, one.bits) for s, one in zip(sessions, prefixes, strict=True)]


def _is_character(data: bytes) -> bool:
    lead = data[0]
    return len(data) == (1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)


def _may_begin(one: _Prefix) -> bool:
    return one.data.decode()[0].isalnum()


def _may_stand(text: str) -> bool:
    return text[0].isalnum() and text[-1].isalnum()
