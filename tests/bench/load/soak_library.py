"""The part of the library in a soak: what users ask of it, how it is changed meanwhile, what is right when.

Every web host has a small library of its own. Through the administrator's API two texts are added, one of
them is disabled, enabled again and replaced by another, and the other is removed. An answer is right if
`Answerer.answer` says it, after the same talk, of the library as it was when the answer was kept. From the
request for a change until GRACE after its reply both states are right: so long may a host lag behind.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from bot.chat.answering import REMEMBERED
from bot.text import dialogue
from bot.text.records import Conversation
from engine import Model
from engine.grounding import Answerer
from engine.grounding.answerer import NOT_FOUND
from engine.library import Library, Reader, put_portable, read_portable
from engine.reading import Reader as PassageReader
from tests import small_library
from tests.bot.expected_answer import SAMPLER

GRACE = 2.0  # seconds after the reply to a change in which every host comes to have it
ADMIN_KEY = "an-administrators-key-0123456789"
QUESTIONS = (
    small_library.FORMULA, small_library.HERB, small_library.HOURS, small_library.UNKNOWN, "牵正散治什么病？",
    "麻黄汤治什么？", "那有什么禁忌？", "什么是阳明病？", "《本草备要》的作者是谁？", "失眠怎么调理？",
    *("青囊汤由哪些药组成？", "青囊汤治什么病？", "紫河散由哪些药组成？", "紫河散治什么病？") * 2,
    *(f"续写：{topic}之人" for topic in ("气虚", "血虚", "泄泻", "水肿")),
)  # fmt: skip
TEXTS = {  # name of the text → title and content; a title stands for one source at a time
    "one": ("青囊方", "青囊汤\n治久咳气喘，夜卧不安。\n紫菀（三钱） 款冬花（三钱） 杏仁（二钱）\n"),
    "anew": ("青囊方", "青囊汤\n治久嗽痰多，胸膈满闷。\n陈皮（二钱） 半夏（三钱） 茯苓（三钱）\n"),
    "two": ("紫河方", "紫河散\n治小儿夜啼，惊惕不安。\n蝉蜕（一钱） 钩藤（二钱） 灯心（一钱）\n"),
}
# What is done, and which texts the library has from then on besides the books of small_library.
CHANGES = (
    ("add", "one", ("one",)), ("add", "two", ("one", "two")), ("disable", "one", ("two",)),
    ("enable", "one", ("one", "two")), ("add", "anew", ("anew", "two")), ("remove", "two", ("anew",)),
)  # fmt: skip


class LibraryChanges:
    """Makes the changes in their order, each at once on one host, and remembers when."""

    def __init__(self, urls: Sequence[str], folder: Path) -> None:
        """`folder` takes a library of each state, to compare with."""
        self.urls = urls
        self.kinds: Counter[str] = Counter()
        after = [(), *(texts for _, _, texts in CHANGES)]
        self.states = [state(folder / str(number), texts) for number, texts in enumerate(after)]
        self.made: list[tuple[float, float]] = []  # seconds since 1970: asked for, and answered
        self.wrong: list[str] = []  # an account of each answer that is

    def make(self) -> None:
        """The next one; hosts that are down are passed over."""
        kind, name, _ = CHANGES[len(self.made)]
        began, wrong = time.time(), "no host answers"
        while time.time() < began + 60:
            try:
                response = self._ask(random.choice(self.urls) + "/admin/api/library/sources", kind, name)
                if response.ok:
                    self.made.append((began, time.time()))
                    return
                wrong = f"status {response.status_code}: {response.text[:200]}"
            except requests.RequestException as error:
                wrong = str(error)
            time.sleep(0.3)
        raise AssertionError(f"{kind} {name}: {wrong}")

    def _ask(self, url: str, kind: str, name: str) -> requests.Response:
        title, text = TEXTS[name]
        with requests.Session() as web:
            web.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
            if kind == "add":
                return web.post(
                    url, data={"title": title}, files={"file": (f"{title}.txt", text)}, timeout=10
                )
            listed = web.get(url, timeout=10)
            found = [row["id"] for row in listed.json()["sources"] if row["title"] == title] if listed else []
            if not found:  # not there any more: a request before this one removed it, and its reply was lost
                return listed
            if kind == "remove":
                return web.delete(f"{url}/{found[0]}", timeout=10)
            return web.patch(f"{url}/{found[0]}", json={"enabled": kind == "enable"}, timeout=10)

    def states_at(self, moment: float) -> list[int]:
        """Numbers of the states that an answer kept then may stand on; 0 is before all changes."""
        begins = [0.0, *(began for began, _ in self.made)]
        ends = [*(ended + GRACE for _, ended in self.made), float("inf")]
        return [n for n, (begin, end) in enumerate(zip(begins, ends, strict=True)) if begin <= moment <= end]

    def judge(
        self, model: Model, talker: Conversation, turns: list[dict[str, Any]], max_bytes: int
    ) -> Counter[str]:
        """Breaches among a user's answers: `mixed up` (never right), and `stale` (right for a state that was
        over). `kinds` counts what the answers are, `wrong` tells of those that are not right."""
        found: Counter[str] = Counter(dict.fromkeys(("mixed up", "stale"), 0))
        for place, turn in enumerate(turns):
            if turn["role"] == "assistant":
                kind = self._kind(model, talker, turns[:place], turn, max_bytes)
                if kind in found:
                    found[kind] += 1
                    self.wrong.append(f"{kind}: {turn}, after:")
                    self.wrong += [f"  {row}" for row in turns[:place]]
                else:
                    self.kinds[kind] += 1
                self.kinds["of changed texts"] += any(
                    f"——《{title}" in turn["content"] for title, _ in TEXTS.values()
                )
        return found

    def _kind(
        self, model: Model, talker: Conversation, before: list[dict[str, Any]], turn: dict[str, Any],
        max_bytes: int,
    ) -> str:  # fmt: skip
        said, message_id = turn["content"], turn["message_id"]
        question = next(row["content"] for row in before if row["message_id"] == message_id)
        written = ""
        if dialogue.command(question) == "more":  # only the model's own texts end at the limit
            goes_on = dialogue.going_on(before, message_id)
            question, written = (goes_on[0], goes_on[1]["content"]) if goes_on else ("", "")
        asked = dialogue.free_writing(question)
        if asked is not None:
            if written:
                asked = dialogue.FreeWriting(asked.read + written.replace(dialogue.OWN_WORDS, ""))
            return "written" if said == freely(model, talker, message_id, asked, max_bytes) else "mixed up"
        history = [
            {"role": role, "content": content}
            for asked, answer in dialogue.answered(before, message_id)[-REMEMBERED:]
            for role, content in (("user", asked), ("assistant", answer["content"]))
        ]
        right = {n for n, one in enumerate(self.states) if agrees(said, one, question, history)}
        if not right.intersection(self.states_at(turn["time"])):
            return "stale" if right else "mixed up"
        return "quoted" if turn.get("citations") else "not found" if said.startswith(NOT_FOUND) else "said"


def agrees(said: str, answerer: Answerer, question: str, history: list[dict[str, str]]) -> bool:
    """Whether it is the answer; of "not found", whether it names only books that are there as the nearest.

    In which order these come may differ: removed passages count in the weights of words until the index is
    merged.
    """
    answer = answerer.answer(question, history)
    if not answer.abstained or not said.startswith(NOT_FOUND):
        return answer.text == said
    titles = {source.title for source in answerer.library.sources() if source.enabled}
    return set(re.findall("《([^·》]+)", said)) <= titles


def freely(
    model: Model, talker: Conversation, message_id: str, asked: dialogue.FreeWriting, max_bytes: int
) -> str:
    """What the model makes of a beginning, as it will stand in the transcript."""
    session = model.session()
    session.feed(asked.begin)
    dice = dialogue.seed(talker.id, message_id)
    raw = "".join(session.generate(max_bytes=max_bytes, sampler=SAMPLER, seed=dice, stop_at_end=True))
    if not raw.strip():
        return dialogue.EMPTY_ANSWER
    text = dialogue.OWN_WORDS + asked.shown + dialogue.printable(raw).lstrip()
    return dialogue.cut_short(text) if session.stop_reason == "length" else text


def state(folder: Path, texts: Sequence[str]) -> Answerer:
    """What a host answers from while its library has these texts."""
    library: Library = small_library.write(folder / "library")
    with library.writer() as writer, Reader() as reader:
        for title, text in (TEXTS[name] for name in texts):
            path = folder / f"{title}.txt"
            path.write_text(text, "utf-8")
            for source in read_portable(path, reader):
                put_portable(writer, replace(source, title=title), path.name)
    return Answerer(library, reader=PassageReader.load())
