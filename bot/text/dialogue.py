"""What to say next: commands, fixed sentences, the bytes the model reads, and how answers are cut.

Pure functions on text: no Flask, no Redis, no clock.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine import ASSISTANT_MARK, END_MARK, USER_MARK

MAX_QUESTION = 2000  # characters

WELCOME = "您好！我是一个自己训练的中医药小模型，可以问我方剂、药性、症候、经典里的话。发送“帮助”看用法。"
HELP = (
    "直接用文字提问即可，例如：桂枝汤由哪些药组成？\n"
    "出处（/source）：看上一个回答所引的原文和上下文\n"
    "查：……（/search ……）：在书里查；目录（/books）：有哪些书\n"
    "续写：……、写：……：由模型自己写，不是引文\n"
    "继续：看没有说完的回答\n"
    "新对话（/new）：忘掉前面的话，重新开始\n"
    "撤回（/undo）：收回上一个问题和它的回答\n"
    "导出（/export）：看这里保存的全部对话\n"
    "忘记我（/forget）：删除您在这里的全部记录\n"
    "退订（/quiet）、订阅（/listen）：不再收到、重新收到群发的通知\n"
    "模型（/model）：看是哪个模型在回答\n"
    "选择题（A. B. C.）、填空（____）和“判断：……”也可以问。\n"
    "帮助（/help）：看这段话"
)
UNDONE = "好的，上一个问题和它的回答已经收回。"
NOTHING_TO_UNDO = "没有可以收回的问题。"
TAKEN_BACK = "（这个问题已经收回。）"
NOTHING_TO_EXPORT = "这里没有保存您的对话。"
SURE_TO_FORGET = "这会删除您在这里的全部记录，不能恢复。确定的话，请在十分钟内发送“确认忘记”。"
FORGOTTEN = "好的，您的全部记录已经删除。"
NOT_ASKED_TO_FORGET = "如果要删除您的全部记录，请先发送“忘记我”。"
UNSURE = "（这个回答我没有把握，请多加核对。）"
QUIET = "好的，不再给您发群发的通知。想重新收到，请发送“订阅”。"
LISTENING = "好的，有通知时会发给您。不想再收到，请发送“退订”。"
NEW_TALK = "好的，我们重新开始。请问您想了解什么？"
BUSY = "服务繁忙，请稍后再试"
TEXT_ONLY = "我现在只会读文字，请把问题打成字发给我，谢谢。"
NOTHING_TO_READ = "这条消息里没有我能读的文字，请再说一遍，谢谢。"
BLOCKED = "抱歉，这里暂时不能为您服务。如有疑问，请联系管理员。"
NOTHING_MORE = "没有未说完的回答了，请直接提问。"
ALREADY_TOLD = "上一个回答已经说完了。"
EMPTY_ANSWER = "这个问题我答不上来，换个说法再问我试试。"
STILL_THINKING = "我还在想，请过一会儿回复“继续”看回答。"
NO_LIBRARY = "这里没有书库，不能查书。"
PREPARING = "书库正在准备，请过一两分钟再问我。"
NOTHING_FOUND = "书里没有找到：{}"
NO_BOOKS = "书库里还没有书。"
NO_SOURCE = "上一个回答没有引用书里的话。"
SOURCE_GONE = "这段原文已经不在书库里了。"
OWN_WORDS = "（以下是模型自己写的，不是引文，常常不成文理，内容未必属实）\n"
MORE_HINT = "（没有说完，回复“继续”看余下部分）"
QUESTION_TOO_LONG = f"您的话超过了 {MAX_QUESTION} 个字，请分成几次问。"
QUESTION_CUT = f"（您的话较长，我只读了前 {MAX_QUESTION} 个字）"

_COMMANDS = {
    "/new": "new", "新对话": "new", "新對話": "new", "/help": "help", "帮助": "help", "幫助": "help",
    "继续": "more", "繼續": "more", "/more": "more", "/undo": "undo", "撤回": "undo",
    "/model": "model", "模型": "model", "/export": "export", "导出": "export", "導出": "export",
    "匯出": "export", "/forget": "ask-forget", "忘记我": "ask-forget", "忘記我": "ask-forget",
    "/quiet": "quiet", "退订": "quiet", "退訂": "quiet", "td": "quiet",
    "/listen": "listen", "订阅": "listen", "訂閱": "listen",
    "/source": "source", "出处": "source", "出處": "source",
    "/books": "books", "目录": "books", "目錄": "books",
    "/forget yes": "forget", "确认忘记": "forget", "確認忘記": "forget",
}  # fmt: skip
_SEARCH = re.compile(r"\s*(?:(?:查书?|查書)\s*[:：]|/search\s)\s*(\S.*)", re.IGNORECASE | re.DOTALL)
_FREE = re.compile(r"\s*(续写|續寫|写|寫)\s*[:：]\s*(\S.*)", re.DOTALL)
_SUBJECT = re.compile(
    r"^(?:一?篇)?(?:关于|關於|有关|论(?![语文])|論(?![語文])|谈|談|说(?![文明])|說(?![文明])|辨)?"
    r"|的?(?:文章|论文|論文|短文|介绍|介紹)?\W*$"
)
_VERSE = re.compile(r"[诗詩词詞赋賦歌吟曲联聯]$")
LONGEST_SUBJECT = 10  # characters of a title that can be the first word
# Controls (Cc) but for line end and tab, lone surrogates (Cs), and two that are no characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SLASH = re.compile(r"(/[a-z]+)\s+(.*)", re.DOTALL)
_SENTENCE_ENDS = "。！？!?；;\n…"
_CLAUSE_ENDS = "，,、：: ）)"
_CLOSERS = "”’」』）)》\"'"


@dataclass(frozen=True)
class Question:
    text: str  # "" if nothing readable is left
    cut: bool  # the end of an over-long message was left out


def clean_question(text: str) -> Question:
    """Compose accents (NFC), drop control characters and the like, bound the length."""
    text = text.encode("utf-8", "replace").decode()  # JSON can smuggle in lone surrogates
    text = unicodedata.normalize("NFC", text[: 4 * MAX_QUESTION].replace("\r\n", "\n").replace("\r", "\n"))
    text = printable(text).strip()
    return Question(text[:MAX_QUESTION].strip(), len(text) > MAX_QUESTION)


def printable(text: str) -> str:
    """Without the characters that XML 1.0 forbids and terminals obey; line ends and tabs stay."""
    return _UNPRINTABLE.sub("", text)


def command(text: str) -> str | None:
    """The command's name ("new", "help", "more" …) if the whole message is one, however quoted or ended."""
    name = _COMMANDS.get(text.strip().strip("“”\"'「」。.!！~ ").lower())
    return name or ("search" if search_words(text) else None)


def search_words(text: str) -> str:
    """What is to be looked for: `查：…`, `/search …`; "" if that is not asked."""
    match = _SEARCH.fullmatch(text)
    return match[1].strip() if match else ""


class FreeWriting(NamedTuple):
    """What the model is to go on from: the user sees `shown` before what it writes, not `read`."""

    read: str
    shown: str = ""

    @property
    def begin(self) -> bytes:
        return (self.read + self.shown).encode()


def free_writing(text: str) -> FreeWriting | None:
    """What the user asks the model to write: to go on with the text of `续写：…`, or on the title of `写：…`.

    After a bare title every second text was a list of an exam's options; with its subject as the first word
    one in a hundred (tests/bench/benchmarks/bench_writing.py).
    """
    match = _FREE.fullmatch(text)
    if match is None:
        return None
    begin = match[2].strip()
    if match[1] in ("续写", "續寫"):
        return FreeWriting(begin)
    subject = _SUBJECT.sub("", begin)
    named = 0 < len(subject) <= LONGEST_SUBJECT and not _VERSE.search(begin)
    return FreeWriting(begin + "\n", f"{subject}者，" if named else "")


def slash_command(text: str) -> str | None:
    """The command's name in "/new and more": what stands behind a command of one word is not read."""
    found = _SLASH.fullmatch(text.strip().lower())
    return _COMMANDS.get(found[1]) if found else None


def cautioned(caution: str, answer: str) -> str:
    """The answer with what must be read before it."""
    return f"{caution}\n\n{answer}" if caution else answer


def turn_bytes(question: str, answer: str) -> bytes:
    return question_bytes(question) + answer.encode() + END_MARK


def question_bytes(question: str) -> bytes:
    return USER_MARK + question.encode() + ASSISTANT_MARK


def transcript(messages: Iterable[tuple[str, str]]) -> bytes:
    """A whole conversation, (role, text) each, as the model reads it before its next answer.

    It knows user and assistant turns. A system, developer or tool message is put before the next user's text,
    in the same turn: the model reads it, but nothing has taught it to do what it says. Messages of one side
    that follow each other are one turn; an assistant's empty one, which called a tool, is none.
    """
    turns: list[tuple[str, list[str]]] = []
    for role, text in messages:
        side = "assistant" if role == "assistant" else "user"
        if side == "assistant" and not text:
            continue
        if not turns or turns[-1][0] != side:
            turns.append((side, []))
        turns[-1][1].append(printable(unicodedata.normalize("NFC", text)))
    parts = []
    for side, texts in turns:
        whole = "\n".join(texts).encode()
        parts.append(USER_MARK + whole if side == "user" else ASSISTANT_MARK + whole + END_MARK)
    return b"".join(parts) + ASSISTANT_MARK


def chain(prefix: str, question: str, answer: str) -> str:
    """Hash of the answered turns so far: the hash before this one, then this one. "" is the beginning."""
    return hashlib.sha256(prefix.encode() + turn_bytes(question, answer)).hexdigest()


def seed(conversation_id: str, message_id: str) -> int:
    """The same message gets the same dice, so that an answer begun again after a crash is the same answer."""
    digest = hashlib.sha256(f"{conversation_id}\n{message_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def answered(turns: Iterable[Mapping[str, Any]], before: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The questions before message `before` that were answered, each with the turn of its answer.

    They are paired by message id: a question may have come in while the one before it was still being
    answered. What was written on after 继续 belongs to the answer before.
    """
    questions: dict[str, str] = {}
    pairs: list[tuple[str, Mapping[str, Any]]] = []
    going_on: dict[str, int] = {}  # the message of a 继续, and the place of the answer that it goes on with
    for turn in turns:
        content, message_id = turn["content"], turn["message_id"]
        if turn["role"] == "user":
            questions[message_id] = content
            if pairs and command(content) == "more":
                going_on[message_id] = len(pairs) - 1
        elif message_id in questions and message_id != before:
            if message_id in going_on:
                asked, answer = pairs[going_on[message_id]]
                pairs[going_on[message_id]] = asked, {**answer, "content": answer["content"] + content}
            else:
                pairs.append((questions[message_id], turn))
    return pairs


def going_on(turns: Iterable[Mapping[str, Any]], message_id: str) -> tuple[str, Mapping[str, Any]] | None:
    """The question and the answer that 继续, the message `message_id`, goes on with; None if there is none
    any more."""
    before = []
    for turn in turns:
        if turn["message_id"] == message_id:
            break
        before.append(turn)
    pairs = answered(before, message_id)
    return pairs[-1] if pairs else None


def history(turns: Iterable[Mapping[str, Any]], before: str, limit: int) -> bytes:
    """The answered turns before message `before`, as the model reads them: the last whole ones that fit in
    limit bytes, or the ends of the last one if it alone is longer.

    Turns with citations are left out: what is quoted may be removed from the library, and no text that the
    model writes later, nor its state, may hold it then.
    """
    pairs = [
        (question_bytes(question), turn["content"].encode() + END_MARK)
        for question, turn in answered(turns, before)
        if not turn.get("citations")
    ]
    kept: list[bytes] = []
    left = limit
    for pair in reversed(pairs):
        left -= len(pair[0]) + len(pair[1])
        if left < 0:
            break
        kept.append(b"".join(pair))
    if pairs and not kept:
        return _end_of_turn(*pairs[-1], limit)
    return b"".join(reversed(kept))


def _end_of_turn(question: bytes, answer: bytes, limit: int) -> bytes:
    """What fits of a turn that is too long as a whole: the ends of its question and of its answer, so that
    a talk does not lose everything at one long message."""
    room = max(0, limit - 3)  # three marks
    said = _last(answer[:-1].decode(), max(room // 2, room - len(question) + 2))
    asked = _last(question[1:-1].decode(), room - len(said.encode()))
    return turn_bytes(asked, said) if said else b""


def _last(text: str, size: int) -> str:
    return text.encode()[-size:].decode(errors="ignore") if size > 0 else ""


def cut(text: str, limit: int) -> int:
    """How many bytes of text to hand out at once: at most limit, up to the end of a sentence if there is one
    in the second half, else of a clause, and never inside a character or a joined emoji.
    """
    data = text.encode()
    if len(data) <= limit:
        return len(data)
    head = data[: max(limit, 0)].decode("utf-8", "ignore")
    for ends in (_SENTENCE_ENDS, _CLAUSE_ENDS):
        place = max(head.rfind(end) for end in ends) + 1
        while place and place < len(head) and head[place] in _CLOSERS:
            place += 1
        if len(head[:place].encode()) * 2 > limit:
            return len(head[:place].encode())
    place = len(head)
    while place > 1 and _joined(text[place - 1], text[place]):
        place -= 1
    return len(head[:place].encode())


def cut_at_sentence(text: str) -> int:
    """Bytes up to the last finished sentence; all of them if no sentence is finished yet."""
    place = max(text.rfind(end) for end in _SENTENCE_ENDS) + 1
    while place and place < len(text) and text[place] in _CLOSERS:
        place += 1
    return len(text[:place].encode()) or len(text.encode())


def cut_short(text: str) -> str:
    """What is shown of a text whose writer had to stop: up to its last whole sentence, if that is most of
    it."""
    taken = cut_at_sentence(text)
    return text.encode()[:taken].decode() if 2 * taken > len(text.encode()) else text


def _joined(before: str, after: str) -> bool:
    return (
        before == "\u200d"
        or after in "\u200d\ufe0f"
        or unicodedata.category(after) in ("Mn", "Me")
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )


@dataclass(frozen=True)
class Piece:
    """One reply: `text` is what to send, bytes [start, end) of the answer are in it, more are to come or
    not."""

    text: str
    start: int
    end: int
    more: bool


def piece(answer: str, start: int, finished: bool, limit: int, before: str = "") -> Piece:
    """The reply that goes on with an answer at byte `start`: `before`, what fits in limit bytes, and a hint
    if that is not all. An unfinished answer is handed out up to its last whole sentence.
    """
    rest = answer.encode()[start:].decode()
    room = limit - len(before.encode()) - len(MORE_HINT.encode()) - 2
    if not rest:
        return Piece(before + (ALREADY_TOLD if finished else STILL_THINKING), start, start, not finished)
    taken = cut(rest, room)
    if not finished:
        taken = min(taken, cut_at_sentence(rest))
    more = not finished or taken < len(rest.encode())
    shown = rest.encode()[:taken].decode().strip()
    return Piece(before + shown + ("\n" + MORE_HINT if more else ""), start, start + taken, more)


def describe_model(name: str, card: Mapping[str, Any]) -> str:
    """The model card in two lines."""
    about = f"模型：{name}"
    if card.get("parameters"):
        about += f"，{card['parameters'] / 1e6:.1f} 百万个参数"
    for file, bits in (card.get("valid_bits_per_byte") or {}).items():
        part = "的回答" if "(answers)" in file else ""
        about += f"；{file.split('.')[0]}{part} {bits:.2f} 比特/字节"
    return about + "\n它是自己训练的小模型，会出错，也会编造；请核对后再用，身体不适请就医。"


def too_many(seconds: int) -> str:
    """To somebody who has sent more than their share."""
    if seconds < 90:
        return f"您发得有点快，请过 {seconds} 秒再问我，谢谢。"
    minutes = -(-seconds // 60)
    wait = f"{minutes} 分钟" if minutes < 90 else f"{-(-minutes // 60)} 小时"
    return f"您今天问得比较多了，请过大约 {wait}再问我，谢谢。"


def label(question: str) -> str:
    """Says whose answer goes on when it is not the answer to the latest question."""
    start = question if len(question) <= 20 else question[:20] + "…"
    return f"【接“{start}”的回答】\n"
