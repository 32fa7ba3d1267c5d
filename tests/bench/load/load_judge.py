"""What became of the users' messages, counted in Redis; load_users.py says what the words mean.

**继续 that overtakes.** A user who writes 继续 while another message of theirs waits for its answer gets that
answer with it, if all before it has been shown: the bot takes it for the last question whose answer did not
arrive. The message itself is then replied to with what 继续 has left of the answer, or with ALREADY_TOLD.
Both are right, and only then.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from typing import Any

from bot.settings.config import DISCLAIMER
from bot.store.connection import connect
from bot.text import dialogue
from bot.text.records import Conversation
from engine import END_MARK, Model
from tests.bench.load.load_users import ENOUGH, FORGED, LoadUsers, Sent
from tests.bench.load.soak_library import LibraryChanges
from tests.bot.expected_answer import SAMPLER

LABEL = re.compile(r"^【接“.*?”的回答】\n", re.DOTALL)


def count(
    users: LoadUsers, server_url: str, model: Model, max_bytes: int, changes: LibraryChanges | None = None
) -> dict[str, int]:
    """Compare what the platform saw with all that is in Redis; see the head of this file for the words, and
    soak_library.py for what is right where there is a library."""
    client = connect(server_url, 10)
    found: Counter[str] = Counter(dict.fromkeys(("lost", "left", "twice", "mixed up", "out of order"), 0))
    found["forged"] = traces(client, set(users.sent)) + sum("forged" in fault for fault in users.faults)
    found["protocol"] = sum("forged" not in fault for fault in users.faults)
    for user, messages in users.sent.items():
        talker = Conversation("wechat", user)
        turns = rows(client, talker)
        questions = [turn["message_id"] for turn in turns if turn["role"] == "user"]
        answers = {turn["message_id"]: turn["content"] for turn in turns if turn["role"] == "assistant"}
        order = [turn["message_id"] for turn in turns if turn["role"] == "assistant"]
        found["twice"] += len(questions) - len(set(questions)) + len(order) - len(answers)
        found["twice"] += sum(len(set(sent.replies)) > 1 for sent in messages)
        found["lost"] += sum(
            sent.acknowledged is not None and (sent.id not in questions or sent.id not in answers)
            for sent in messages
        )
        found["left"] += len(set(questions) - set(answers)) + client.llen(talker.base + "queue")
        found["out of order"] += disorder(messages, questions, order)
        wrong = mixed_up(messages, users.more[user], answers)
        if changes is None:
            wrong += unexpected(model, talker, turns, max_bytes)
        found["mixed up"] += len(wrong)
        if wrong:
            users.mixed_up.append(account(user, wrong, users, turns))
        if changes is not None:
            found.update(changes.judge(model, talker, turns, max_bytes))
    client.close()
    return dict(found)


def rows(client: Any, talker: Conversation) -> list[dict[str, Any]]:
    return [json.loads(row) for row in client.lrange(talker.base + "turns", 0, -1)]


def traces(client: Any, users: set[str]) -> int:
    """Keys that name a conversation nobody had, or hold the text of a forged message."""
    found, known = 0, {Conversation("wechat", user).base.encode() for user in users}
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        read = {b"list": lambda k: client.lrange(k, 0, -1), b"hash": lambda k: client.hvals(k)}.get(kind)
        values = read(key) if read else []
        ours = not key.startswith(b"plm:{wechat:") or key[: key.index(b"}") + 2] in known
        found += not ours or any(FORGED.encode() in value for value in values)
    return found


def disorder(messages: list[Sent], questions: list[str], order: list[str]) -> int:
    """Messages that stand before one which was acknowledged before they were sent; answers out of order."""
    place = {message_id: number for number, message_id in enumerate(questions)}
    wrong = 0
    for sent in messages:
        earlier = [
            place[other.id]
            for other in messages
            if other.acknowledged and other.acknowledged < sent.began and other.id in place
        ]
        wrong += sent.id in place and any(place[sent.id] < number for number in earlier)
    return wrong + sum(place[a] > place[b] for a, b in itertools.pairwise(order))


def mixed_up(messages: list[Sent], more: list[Sent], answers: dict[str, str]) -> list[str]:
    """What a user was shown that is not, or does not go on with, an answer of theirs, a line each."""
    brought = [bare(wish.replies[0]) for wish in more if wish.replies]
    wrong = [
        sent
        for sent in messages
        if not all(reply_of(reply, answers.get(sent.id, ""), brought) for reply in sent.replies)
    ]
    wrong += [wish for wish in more if wish.replies and not of_one(bare(wish.replies[0]), answers)]
    return [
        f"{sent.id} {sent.question}: shown {sent.replies}, kept {answers.get(sent.id)!r}" for sent in wrong
    ]


def reply_of(reply: str, answer: str, brought: list[str]) -> bool:
    """Is the reply this answer, or its beginning with a hint that more is to come, or what is left of it by
    pieces that 继续 brought?"""
    text, answer = reply.removeprefix(DISCLAIMER + "\n\n"), answer.strip()
    if text in (dialogue.STILL_THINKING, answer):
        return True
    rest = "" if text == dialogue.ALREADY_TOLD else bare(text)
    heads = [answer.removesuffix(rest)] if answer.endswith(rest) else []
    if rest and text.endswith(dialogue.MORE_HINT):
        heads += [answer[: found.start()] for found in re.finditer(re.escape(rest), answer)]
    return bool(answer) and any(brought_whole(head, brought) for head in heads)


def brought_whole(text: str, brought: list[str]) -> bool:
    for piece in brought:
        text = text.removeprefix(piece).strip()
    return not text


def bare(piece: str) -> str:
    """What a reply says of an answer."""
    return LABEL.sub("", piece).removesuffix(dialogue.MORE_HINT).strip()


def of_one(text: str, answers: dict[str, str]) -> bool:
    """Does what 继续 brought go on with an answer of this user?"""
    fixed = (dialogue.STILL_THINKING, dialogue.ALREADY_TOLD, dialogue.NOTHING_MORE)
    return text in fixed or any(text in answer for answer in answers.values())


def account(user: str, wrong: list[str], users: LoadUsers, turns: list[dict[str, Any]]) -> str:
    """All about a user with mixed-up answers: what they were shown, by when it was sent, and what is kept."""
    sent = sorted(users.sent[user] + users.more[user], key=lambda one: one.began)
    lines = [f"{user}: mixed up:", *wrong, "shown:"]
    lines += [f"  {one.began:.2f} {one.id} {one.question} ({one.outcome}): {one.replies}" for one in sent]
    lines.append("kept:")
    lines += [f"  {row['time']:.2f} {row['message_id']} {row['role']}: {row['content']!r}" for row in turns]
    return "\n".join(lines)


def unexpected(model: Model, talker: Conversation, turns: list[dict[str, Any]], max_bytes: int) -> list[str]:
    """Answers that are not what the model says after the answers before them, a line each."""
    asked = {turn["message_id"]: turn["content"] for turn in turns if turn["role"] == "user"}
    wrong: list[str] = []
    for place, turn in enumerate(turns):
        if turn["role"] != "assistant" or turn["message_id"] not in asked:
            continue
        question, session = asked[turn["message_id"]], model.session()
        read = dialogue.history(turns[:place], turn["message_id"], ENOUGH)
        goes_on = dialogue.command(question) == "more"  # with the answer before
        session.feed(read.removesuffix(END_MARK) if goes_on else read + dialogue.question_bytes(question))
        dice = dialogue.seed(talker.id, turn["message_id"])
        raw = "".join(session.generate(max_bytes=max_bytes, sampler=SAMPLER, seed=dice, stop_at_end=True))
        text = dialogue.printable(raw).strip() or dialogue.EMPTY_ANSWER
        text = dialogue.cut_short(text) if session.stop_reason == "length" else text
        if text != turn["content"]:
            wrong.append(f"{turn['message_id']} {question}: kept {turn['content']!r}, expected {text!r}")
    return wrong
