"""Many users of the stand-in platform at once, and the count of what became of their messages.

A message counts as **acknowledged** when the platform got status 200 for one of its (at most three) requests
and the reply was not "busy, try again later" (dialogue.BUSY), which tells the user that it was not taken in.
A message that got no such reply has been refused, visibly: the user saw "busy", or the platform's own
"this account cannot serve you now". What is counted against the bot:

- lost: acknowledged, and its question or its answer is not in the transcript in Redis;
- left: refused or acknowledged, its question is in the transcript, and no answer ever came;
- twice: a question or an answer stands twice in Redis, or two requests for one message got different words;
- mixed up: what a user was shown is not the answer kept for that message, or the kept answer is not what the
  model says to this question after exactly this conversation (the model, the dice and the history are known);
  load_judge.py counts, and knows the one exception;
- forged: a forged or malformed request got status 200, or left any trace in Redis;
- out of order: a message was sent after another one had been acknowledged, and stands before it; or answers
  do not stand in the order of their questions.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import requests

from bot.text import dialogue
from tests.wechat_platform import Attempt, Message, Platform, ProtocolError, sign, to_xml

ENOUGH = 1_000_000  # bytes of a transcript: all of it
KEY, APPID, TOKEN = "A" * 43, "wxba5fad812f8e6fb9", "AAAAA"
SETTINGS = {
    "PLM_WECHAT_TOKEN": TOKEN, "PLM_WECHAT_APPID": APPID, "PLM_WECHAT_AES_KEY": KEY,
    "PLM_CONTEXT_BYTES": ENOUGH,  # a transcript read anew is then the whole one, as a kept state is
}  # fmt: skip
FORGED = "伪造"
LONGEST = 100  # messages of one user: so many turns does the bot read anew
TOPICS = ("气虚", "血虚", "头痛", "失眠", "咳嗽", "泄泻", "眩晕", "水肿", "胃脘痛", "月经不调")


class SlowBody:
    """The body of a request whose second half comes later."""

    def __init__(self, body: bytes, pause: float) -> None:
        self.parts = [body[: len(body) // 2], body[len(body) // 2 :]]
        self.length, self.pause = len(body), pause

    def __len__(self) -> int:
        return self.length

    def read(self, size: int = -1) -> bytes:
        if not self.parts:
            return b""
        if len(self.parts) == 1:
            time.sleep(self.pause)
        return self.parts.pop(0)


class SlowPlatform(Platform):
    """Some of its requests come slowly."""

    slow_share = 0.0

    def post(self, query: dict[str, str], body: bytes, timeout: float = 10) -> requests.Response:
        if random.random() < self.slow_share:
            body = SlowBody(body, random.uniform(0.1, 1.0))  # type: ignore[assignment]
        return super().post(query, body, timeout)


@dataclass
class Sent:
    """One message and what came back for it."""

    message: Message
    question: str
    began: float = 0.0
    acknowledged: float | None = None
    seconds: float = 0.0  # from the first request to the last word on it
    outcome: str = ""  # answered, in part, busy, no answer
    requests: int = 0
    replies: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.message.fields["MsgId"])


class LoadUsers:
    """Users who write to one of several web servers. `faults` are breaches seen by the platform."""

    def __init__(
        self, urls: list[str], seed: int = 1, *, repeated: float = 0.1, forged: float = 0.01,
        questions: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """They ask these questions, or, without any, about two of TOPICS."""
        self.platforms = [
            SlowPlatform(url + "/wechat", TOKEN, appid=APPID, aes_key=KEY, mode="safe") for url in urls
        ]
        self.repeated, self.forged, self.questions = repeated, forged, questions
        self.sent: dict[str, list[Sent]] = defaultdict(list)
        self.more: dict[str, list[Sent]] = defaultdict(list)  # 继续, and what it brought
        self.faults: list[str] = []
        self.mixed_up: list[str] = []  # an account of each user with answers that are
        self.counts: Counter[str] = Counter()
        self.refusals: list[tuple[float, str]] = []  # of requests: when, monotonic, and whose
        self.dice = random.Random(seed)
        self._lock = threading.Lock()

    def slow(self, share: float) -> None:
        """So large a share of requests comes slowly from now on."""
        for platform in self.platforms:
            platform.slow_share = share

    def write(self, user: str, repeat: bool = True) -> Sent:
        """A user sends one message; the platform delivers it, maybe once more than needed."""
        with self._lock:
            number = len(self.sent[user]) + 1
            text = f"第{number}问：{self.dice.choice(TOPICS)}与{self.dice.choice(TOPICS)}怎样分辨？"
            text = self.dice.choice(self.questions) if self.questions else text
            sent = Sent(self.platforms[0].text(user, text), text, time.monotonic())
            self.sent[user].append(sent)
            twice = repeat and self.dice.random() < self.repeated
            at_once = twice and self.dice.random() < 0.3
            forge = self.dice.random() < self.forged
        other = threading.Thread(target=self._repeat, args=(sent,)) if at_once else None
        if other:
            other.start()
        self._deliver(sent)
        if other:
            other.join()
        elif twice:
            self._repeat(sent)
        if forge:
            self.forge(user)
        if sent.outcome == "in part":
            self._go_on(user)
        return sent

    def _deliver(self, sent: Sent) -> None:
        """Three requests, as the platform makes them, each to any of the web servers."""
        sent.outcome = "no answer"
        for _ in range(3):
            attempt = self._request(sent)
            if attempt.status is None or attempt.status >= 500:
                time.sleep(0 if attempt.seconds > 4 else 0.5)  # after its five seconds it asks at once
                continue
            if attempt.reply == dialogue.BUSY:
                sent.outcome = "busy"
            elif attempt.reply is not None:
                part = attempt.reply.endswith((dialogue.MORE_HINT, dialogue.STILL_THINKING))
                sent.outcome, sent.acknowledged = "in part" if part else "answered", time.monotonic()
            break
        sent.seconds = time.monotonic() - sent.began

    def _repeat(self, sent: Sent) -> None:
        self.counts["repeated"] += 1
        attempt = self._request(sent)
        if attempt.reply not in (None, dialogue.BUSY) and sent.acknowledged is None:
            sent.acknowledged = time.monotonic()

    def _request(self, sent: Sent) -> Attempt:
        try:
            attempt = random.choice(self.platforms).request(sent.message)
        except ProtocolError as error:
            self.faults.append(f"{sent.id}: {error}")
            return Attempt(0, 200)
        sent.requests += 1
        self.counts[f"status {attempt.status or 'none'}"] += 1
        if attempt.status not in (None, 200, 502, 503, 504):
            self.faults.append(f"{sent.id}: status {attempt.status}: {attempt.body[:200]!r}")
        if attempt.status == 200 and attempt.reply is None:
            self.faults.append(f"{sent.id}: nothing to show: {attempt.body[:200]!r}")
        if attempt.status is None or attempt.status >= 500 or attempt.reply == dialogue.BUSY:
            self.refusals.append((time.monotonic(), str(sent.message.fields["FromUserName"])))
        if attempt.reply not in (None, dialogue.BUSY):
            sent.replies.append(attempt.reply)
        return attempt

    def _go_on(self, user: str) -> None:
        """The user sends 继续 until the answer is whole."""
        for _ in range(6):
            wish = Sent(self.platforms[0].text(user, "继续"), "继续", time.monotonic())
            self._deliver(wish)
            self.more[user].append(wish)
            if wish.outcome == "answered":
                return

    def forge(self, user: str) -> None:
        """A request that nobody but a forger, or a broken line, would send: it must be refused with 4xx."""
        platform = random.choice(self.platforms)
        query, body = forgery(platform, f"x-{user}", self.dice)
        self.counts["forged"] += 1
        try:
            status = platform.post(query, body, 5).status_code
        except requests.RequestException:
            return
        if not 400 <= status < 500:
            self.faults.append(f"a forged request got status {status}: {query} {body[:200]!r}")


def forgery(platform: Platform, user: str, dice: random.Random) -> tuple[dict[str, str], bytes]:
    """Query and body of one of six kinds."""
    assert platform.crypt
    message = platform.text(user, FORGED)
    query, body = platform.seal(message)
    kind = dice.randrange(6)
    if kind == 0:  # signed by somebody who does not know the token
        query["msg_signature"] = sign("BBBBB", query["timestamp"], query["nonce"])
    elif kind == 1:  # altered on the way
        place = body.index(b"Encrypt") + dice.randrange(40, 80)
        body = body[:place] + (b"A" if body[place : place + 1] != b"A" else b"B") + body[place + 1 :]
    elif kind == 2:  # not encrypted, where only encrypted messages are let in
        body = to_xml(message.fields).encode()
        query = {name: query[name] for name in ("signature", "timestamp", "nonce")}
    elif kind == 3:  # a recording, an hour old
        encrypted = platform.crypt.encrypt(to_xml(message.fields).encode())
        query["timestamp"] = str(int(query["timestamp"]) - 3600)
        query["signature"] = sign(TOKEN, query["timestamp"], query["nonce"])
        query["msg_signature"] = platform.crypt.signature(query["timestamp"], query["nonce"], encrypted)
        body = to_xml({"ToUserName": platform.account, "Encrypt": encrypted}).encode()
    elif kind == 4:  # sealed rightly, and what is inside is no message
        query, body = platform.seal(to_xml(message.fields).encode()[: -dice.randrange(5, 60)])
    else:  # of another account
        other = Platform(platform.url, TOKEN, appid="wx0000000000000000", aes_key=KEY, mode="safe")
        query, body = other.seal(message)
    return query, body
