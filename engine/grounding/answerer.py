"""Question → search → the best passages → exact quotations with a short frame, or "not found"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from engine.emergency import Detector, reply
from engine.grounding import (
    authors,
    comparisons,
    formulas,
    herbs,
    origins,
    points,
    pulses,
    quotes,
    symptoms,
    theory,
    together,
)
from engine.grounding.completions import asks_more, asks_why
from engine.grounding.confidence import Signals, confidence, signals
from engine.grounding.documents import PLAIN, Reader, about, documents, only_documents
from engine.grounding.follow_ups import subject_of
from engine.grounding.pairs import (
    CANDIDATES,
    close_enough,
    much_alike,
    of_them,
    same_complaint,
    same_thing,
    same_words,
    side_by_side,
    usual,
)
from engine.grounding.question import Question, last_question, understand
from engine.grounding.records import Answer, Citation, Draft
from engine.grounding.rendering import headings, merged, place
from engine.grounding.shelf import Shelf, own_heading
from engine.grounding.smalltalk import smalltalk
from engine.grounding.spelling import corrected
from engine.library import Library, Pair, PairHit
from engine.library.words import modern_words, tidy

MINIMUM = 0.35  # of `Answer.score`; PLM_LIBRARY_MINIMUM. Chosen on the questions of fit_confidence
NOT_FOUND = "书里没有找到"
NO_DOCTOR = "（不能代替医师诊治。）"
NO_DOSE = "（用量因人因病而异，须由医师定，这里不给。）"
UNBORN = "（孕期用药请先问医师。）"
ENGLISH = "\nNothing found: the books are in Chinese. Please ask in Chinese, for example 人参有什么功效."
LATIN = 0.5  # share of Latin letters from which on a question is taken for English
NO_PROMISE = "能不能治好、多久能好，书里不能断定，请问医师。"
NEAR = "书里相近的病这样说，不是对您这一问的回答："
_CURED = re.compile(
    "治得?好吗|能治好|治愈|根治|断根|除根|能好吗|好得了|多久能好|几天能好|多长时间能好|能不能好|治不治得|能活|活多久|会不会死|会死吗"
)
NEAREST = 3
_PLACE = re.compile("——《([^》]+)》")  # of a quotation, as `place` writes it
# The books come first, the owner's documents after.
NAMED = ("formula", "herb", "author", "source", "point", "pulse")

_PRICE = re.compile(r"[\d一二两三四五六七八九十百千万]\s*(?:元|块)")  # 多少钱 asks for it, not for a dose

Maker = Callable[[Question, Shelf], Draft | None]


class Answerer:
    """Answers from a library. Holds no state between questions; threads may share one."""

    def __init__(
        self, library: Library, minimum: float | None = None, reader: Reader | None = None,
        detector: Detector | None = None,
    ) -> None:  # fmt: skip
        self.library = library
        self.minimum = MINIMUM if minimum is None else minimum
        self.reader = reader
        self.detector = detector
        self.shelf = Shelf(library)

    def answer(self, question: str, history: Sequence[Mapping[str, str]] = ()) -> Answer:
        """The answer to a question; `history` holds `role` and `content` of the turns before.

        It is of one state of the library. LibraryError if that changes too fast or cannot be read."""
        return self.library.undisturbed(lambda: self._as_meant(question, history))

    def _as_meant(self, question: str, history: Sequence[Mapping[str, str]]) -> Answer:
        """The answer; where nothing is found, to the question with a name of the same sound that is known."""
        answer = self._answer(question, history)
        if _CURED.search(tidy(question)) and answer.citations:
            if answer.kind == "pair":
                answer = replace(answer, text=f"{NO_PROMISE}{NEAR}\n{answer.text}")
            elif answer.kind == "symptom":  # what is near, without a pair that says what it is
                text = f"{NOT_FOUND}这个问题的答案：{NO_PROMISE}"
                answer = replace(
                    answer, text=text, citations=[], abstained=True, nearest=answer.nearest[:NEAREST]
                )
        meant = corrected(tidy(question)) if answer.abstained and not history else None
        if meant is None:
            return answer
        again = self._answer(meant[0], history)
        if again.abstained or not again.citations:
            return answer
        return replace(again, text=f"按“{meant[0]}”查：\n{again.text}")

    def _answer(self, question: str, history: Sequence[Mapping[str, str]]) -> Answer:
        self.shelf.refresh()
        if self.detector is not None:
            assessment = self.detector.assess(question)
            help_now = reply(assessment, question)
            if help_now:
                return Answer(help_now, kind="emergency", topic=assessment.kind, score=assessment.score)
        talk = smalltalk(question)
        if talk:
            return Answer(talk[1], kind="smalltalk", topic=talk[0], score=1.0)
        more = self._more(question, history)
        if more:
            return more
        asked = understand(question, history, self.shelf)
        pair = self._pair(question, asked)
        if pair and not self._noted(question, asked, history):
            return pair
        written = documents(asked, self.shelf, self.reader, question, history)
        if written is not None and written.exact and (asked.kind not in NAMED or written.everyday):
            return self._render(asked, written, written.match)
        draft = self._draft(asked)
        read = written is not None or self.reader is not None
        beside = read and asked.kind not in NAMED
        if (beside or not about(draft, asked.topic)) and only_documents(draft, self.shelf):
            draft = None  # the rules were made for the books; the reader has seen the documents
        seen = signals(asked, draft, self.shelf)
        score = confidence(seen)
        if written is not None and written.exact and score < self.minimum:
            return self._render(asked, written, written.match)
        if draft is None or score < self.minimum:
            return self._abstain(asked, score, seen)
        return self._render(asked, draft, score)

    def _more(self, question: str, history: Sequence[Mapping[str, str]]) -> Answer | None:
        """Other passages on the question before, where more is asked for: 还有别的吗, 换一个方子; or why.

        What the turns before have quoted is left out: the same again is no answer."""
        text = tidy(question)
        why = asks_why(text)
        before = last_question(history, self.shelf) if why or asks_more(text) else None
        said = " ".join(turn["content"] for turn in history if turn.get("role") == "assistant")
        places = _PLACE.findall(said)
        if before is None or (why and before.kind == "symptom") or self._quotes_documents(places):
            return None
        draft = None if why else self._draft(before, self.shelf.without(places))
        subject = subject_of(before.text) if before.kind == "theory" else ""
        new = draft is not None and any(citation.quote not in said for citation in draft.citations)
        if draft is not None and new and about(draft, subject) and not only_documents(draft, self.shelf):
            seen = signals(before, draft, self.shelf)
            score = confidence(seen)
            if score >= self.minimum:
                return self._render(before, draft, score)
        text = f"{NOT_FOUND}{'说明原因的话' if why else '更多：能引的，前面已经引过'}。"
        return Answer(text, [], True, before.kind, before.topic)

    def _quotes_documents(self, places: Sequence[str]) -> bool:
        own = self.shelf.documents()
        return any(found.partition("·")[0] in own for found in places[-2:])

    def signals(self, question: str, history: Sequence[Mapping[str, str]] = ()) -> Signals:
        """What the decision to answer rests on, for fitting it."""
        asked = understand(question, history, self.shelf)
        return signals(asked, self._draft(asked), self.shelf)

    def _pair(self, question: str, asked: Question) -> Answer | None:
        """The answer of a question-answer pair that is close enough."""
        if asked.before is not None and not asked.whole:
            return None
        hits = self.library.pairs(asked.text, CANDIDATES)
        close = (h for h in hits[:3] if close_enough(asked, h.matched_question, h.score))
        near = next((h for h in close if not asked.whole or of_them(asked, h.pair)), None)
        hit = near or same_complaint(asked, hits) or same_words(asked, hits) or same_thing(asked, hits)
        hit = hit or self._compared(asked) or much_alike(asked, hits) or self._usually_called(asked)
        if hit is None or _strange(question, hit.pair):
            return None
        if asked.unknown.replace("的", "") not in " ".join(hit.pair.questions).replace("的", ""):
            return None
        citations = [c for q in hit.pair.quotes if (c := self._find(q.book, q.quote))]
        text = hit.pair.answer + "".join(f"\n「{c.quote}」{place(c)}" for c in citations)
        return Answer(text, citations, False, "pair", hit.pair.topic, float(hit.score))

    def _noted(self, question: str, asked: Question, history: Sequence[Mapping[str, str]]) -> bool:
        """Whether an owner's note answers plainly what a bundled pair is only worded like: 有早饭吗."""
        if asked.kind != "theory" or not self.shelf.documents() or self.shelf.own_pairs():
            return False
        written = documents(asked, self.shelf, None, question, history)
        return written is not None and written.match >= PLAIN

    def _usually_called(self, asked: Question) -> PairHit | None:
        """The pair on the complaints asked for under their names in the books."""
        wording = usual(asked)
        return same_complaint(asked, self.library.pairs(wording, CANDIDATES)) if wording else None

    def _compared(self, asked: Question) -> PairHit | None:
        """The pair on the two things that are compared."""
        if asked.kind != "comparison" or not asked.others:
            return None
        usual = f"{asked.topic}和{asked.others[0]}有什么区别"
        return side_by_side(asked, self.library.pairs(usual, CANDIDATES))

    def _find(self, book: str, quote: str) -> Citation | None:
        """A quotation's place in its book."""
        try:
            hits = self.library.search(quote, 8, book)
        except ValueError:
            return None
        for hit in hits:
            entry = self.shelf.entry(hit, 1, 1)
            place = entry.text.find(quote)
            if place >= 0:
                return entry.cite(place, place + len(quote))
        return None

    def _draft(self, asked: Question, shelf: Shelf | None = None) -> Draft | None:
        if asked.kind == "source":
            return self._source_of(asked)
        for maker in _makers(asked):
            draft = maker(asked, shelf or self.shelf)
            if draft and draft.citations:
                return draft
        return None

    def _source_of(self, asked: Question) -> Draft | None:
        """Follow-ups such as 出自谁的书: the book that answered the question before."""
        if asked.before is None:
            return None
        draft = self._said(asked) or self._draft(asked.before)
        if draft is None:
            return None
        line = authors.author_line(draft.citations[0].book, self.shelf)
        if line is None:
            return None
        quoted = [*line.citations, *(c for c in draft.citations[:1] if c.start >= line.citations[0].end)]
        return replace(line, citations=quoted, leads=[""] * len(quoted))

    def _said(self, asked: Question) -> Draft | None:
        """The place of what the answer before said, if it stands in a book."""
        said = asked.history[-1] if asked.history else ""
        found = quotes.places(said, asked.before or asked, self.shelf) if len(said) > 5 else []
        if not found:
            return None
        _, entry, first, last = found[0]
        return Draft([entry.cite(first, last)], [""], "", 1.0, True)

    def _render(self, asked: Question, draft: Draft, score: float) -> Answer:
        lines = []
        leads = draft.leads + [""] * len(draft.citations)
        for lead, citation in zip(leads, draft.citations, strict=False):
            frame = f"{lead}：" if lead else ""
            lines.append(f"{frame}「{citation.quote}」{place(citation)}")
        text = "\n".join(merged(lines, draft.citations)) + (f"\n{draft.note}" if draft.note else "")
        priced = any(_PRICE.search(citation.quote) for citation in draft.citations)
        if asked.asks("dose") and asked.kind == "herb" and not priced:
            text += NO_DOSE
        elif (asked.asks("dose") and not priced and asked.kind != "theory") or (
            asked.kind == "symptom" and asked.asks("treat")
        ):
            text += NO_DOCTOR
        elif (
            asked.asks("pregnancy") and asked.kind in ("formula", "herb", "comparison") and "医师" not in text
        ):
            text += UNBORN
        return Answer(text, draft.citations, False, asked.kind, asked.topic, score, headings(draft.citations))

    def _abstain(self, asked: Question, score: float, seen: Signals) -> Answer:
        nearest: list[str] = []
        if seen.in_field and not seen.foreign:
            for hit in self.shelf.books_only(self.library.search(asked.bare or asked.text, NEAREST * 3)):
                name = f"《{hit.book}·{own_heading(hit)}》" if own_heading(hit) else f"《{hit.book}》"
                if name not in nearest:
                    nearest.append(name)
        nearest = nearest[:NEAREST]
        text = f"{NOT_FOUND}这个问题的答案。"
        if asked.kind == "together" and asked.others and not (seen.modern or seen.foreign):
            text = f"{NOT_FOUND}{asked.topic}与{asked.others[0]}能不能同用的话。{together.ASK_BOTH}"
        text += f"最近的篇目：{'、'.join(nearest)}。" if nearest else ""
        if seen.latin > LATIN:
            text += ENGLISH
        return Answer(text, [], True, asked.kind, asked.topic, score, nearest)


def _makers(asked: Question) -> list[Maker]:
    if asked.kind == "formula":
        if asked.asks("origin"):
            return [origins.origin, formulas.indications]
        if formulas.asks_changes(asked):
            return [formulas.changes, formulas.indications]
        if asked.asks("preparation") and not asked.asks("composition"):
            return [formulas.preparation, formulas.composition, formulas.indications]
        if asked.asks("composition", "dose") or formulas.asked_herb(asked):
            return [formulas.composition, formulas.indications]
        if (asked.asks("pregnancy") or (asked.asks("caution") and not asked.groups)) and not asked.asks(
            "composition"
        ):
            return [formulas.caution, formulas.composition]
        if asked.asks("caution", "cause") or (asked.groups and not asked.asks("indication")):
            return [formulas.mention, formulas.indications, formulas.composition]
        return [formulas.indications, formulas.composition]
    makers: dict[str, list[Maker]] = {
        "point": [points.point, theory.theory],
        "pulse": [pulses.pulse, theory.theory],
        "herb": [herbs.herb, _on_its_name],
        "symptom": [symptoms.symptom],
        "quote": [quotes.quote],
        "author": [authors.author],
        "comparison": [comparisons.comparison],
        "together": [together.together],
    }
    return makers.get(asked.kind, [theory.theory])


def _on_its_name(asked: Question, shelf: Shelf) -> Draft | None:
    """Sentences that name a herb that has no entry; others on what it is to be good for say nothing of it."""
    draft = theory.theory(asked, shelf)
    said = "".join(c.quote + c.heading for c in draft.citations) if draft else ""
    return draft if any(name in said for name in (asked.topic, *asked.names)) else None


def _strange(question: str, pair: Pair) -> bool:
    """Whether a question is about something modern that a pair does not name: 打疫苗发烧."""
    said = " ".join((*pair.questions, pair.answer))
    return any(word not in said for word in modern_words(tidy(question)))


__all__ = ["Answerer", "Reader"]
