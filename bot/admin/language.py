"""Reasons in the language of the administrators' page: programs get them in English, a browser as it asks.

The engine and the API say why something failed in English sentences. Here each stands beside its Chinese; {}
is what differs. `tests/bot/admin/test_language.py` holds the table against the sources that say them.
"""

from __future__ import annotations

import re

from flask import Response, request

from bot.api.errors import ApiError, respond

CHINESE = {
    # Reading files (engine/library/documents)
    "no text in it; are its pages pictures? Run text recognition (OCR) first":
        "里面没有文字；各页是不是图片？请先做文字识别（OCR）",
    "no text in it": "里面没有文字",
    "no text in UTF-8, GB18030, Big5 or UTF-16; save it as UTF-8":
        "不是 UTF-8、GB18030、Big5 或 UTF-16 的文字；请另存为 UTF-8",
    "more than {} characters; split the file": "超过 {} 个字；请拆成几个文件",
    "a book of more than {} characters; split it": "有一本书超过 {} 个字；请拆开",
    "more than {} MB; split the file": "超过 {} MB；请拆成几个文件",
    "more than {} pages; split the file": "超过 {} 页；请拆成几个文件",
    "byte {} is not {}; save the file as UTF-8": "第 {} 个字节不是 {}；请另存为 UTF-8",
    "not {} throughout: {}; save it as UTF-8": "不全是 {}（{}）；请另存为 UTF-8",
    "no table: {}": "不是表格：{}",
    "line {}: a pair needs a question and an answer": "第 {} 行：一条问答要有问题和回答",
    "line {}: an answer may have {} characters": "第 {} 行：回答最多 {} 个字",
    'line {}: neither "questions" with "answer" nor "text"':
        '第 {} 行：既没有 "questions" 和 "answer"，也没有 "text"',
    "pairs and texts in one file; make two of it": "一个文件里既有问答又有文章；请分成两个文件",
    "line {}: no JSON object": "第 {} 行：不是 JSON 对象",
    "line {}: questions are a list of texts": "第 {} 行：questions 应是文字的列表",
    'line {}: a quote is {"book", "quote"}': '第 {} 行：引文应是 {"book", "quote"}',
    "not read within {} seconds; split the file": "{} 秒内没有读完；请拆成几个文件",
    "reading it took more than {} MB or ended the parser; split it":
        "读它用了超过 {} MB 内存，或使解析中断；请拆开",
    "no format that can be read ({})": "不能读这种格式（能读：{}）",
    "no file": "没有这个文件",
    "empty": "文件是空的",
    'this format needs {}; say `pip install "personal-lm[documents]"`':
        '读这种格式需要 {}；请运行 `pip install "personal-lm[documents]"`',
    "encrypted; save it without a password": "文件加了密；请去掉密码另存",
    "no {}; it is a zip archive": "不是 {}，而是 zip 压缩包",
    "no {}: an encrypted or old Office file; save it as .{} without a password":
        "不是 {}：是加密的或旧版的 Office 文件；请去掉密码另存为 .{}",
    "no {}, or a broken one": "不是 {}，或者文件已损坏",
    "no {}: {} is missing": "不是 {}：缺少 {}",
    "it unpacks to far more than it should; refused": "解压后大得不正常，不予读取",
    "a broken {} file: {}": "{} 文件已损坏：{}",
    "a broken export: {}": "导出的文件已损坏：{}",
    "a broken {}: {}": "{} 已损坏：{}",
    "no {}": "不是 {}",
    "{}: more than {} passages; split it": "{}：超过 {} 段；请拆开",
    "{}: no text in it": "{}：里面没有文字",
    "{}: no pairs in it": "{}：里面没有问答",
    # The library (bot/admin, bot/inference)
    "the uploads have {} MiB already; remove some first": "已上传的共有 {} MiB，请先删除一些",
    "more than {} MiB at a time; send fewer files": "一次超过 {} MiB；请分几次上传",
    "there is no file in the form: send multipart/form-data": "没有选择文件",
    "another upload is being read: try again": "正在读另一次上传的文件，请稍后再试",
    "it comes along with every version: disable it": "它随每个版本附带，不能删除，可以停用",
    "there is no such source": "没有这个来源",
    "this service has no library: PLM_LIBRARY is none": "这个服务没有书库：PLM_LIBRARY 是 none",
    "the library is being built": "书库正在建立，请稍候",
    "the library is empty": "书库是空的",
    "its text is gone": "它的文字已经不在了",
    "{}: another process is writing; try again when it is done": "书库正在被另一个进程改写，请稍后再试",
    "questions: each must have 1 to {} characters": "每种问法要有 1 到 {} 个字",
    "answer: must say something": "回答不能是空的",
    "answer: String should have at most {} characters": "回答最多 {} 个字",
    "questions: List should have at most {} items after validation, not {}": "最多 {} 种问法（这里有 {} 种）",
    # People, models, broadcasts
    "rate: must be like 20/minute or 20/minute;500/day, or empty; to refuse somebody, block":
        "限额应像 20/minute 或 20/minute;500/day，或者留空；要拒绝某人，请用封禁",
    "user: String should have at least 1 character": "请填写用户",
    "there is no model {}; there is {}": "没有模型 {}；有 {}",
    "there is nothing to send": "没有要发的文字",
    "the text has {} bytes, and {} fit in a message": "文字有 {} 字节，一条消息最多 {} 字节",
    "the text has a word of PLM_FORBIDDEN in it": "文字里有 PLM_FORBIDDEN 里的词",
    "there is no channel {}; there is {}": "没有渠道 {}；有 {}",
    "no channel can be told something: there is {}": "没有能群发的渠道：有 {}",
    "there is no such plan: one that is not started is gone after an hour":
        "没有这个计划：一小时内没有开始的计划会作废",
    "it was cancelled": "它已经取消了",
    "there is no such broadcast": "没有这次群发",
    "rate: Input should be greater than {}": "速度要大于 {}",
    "rate: Input should be less than or equal to {}": "速度最多 {}",
}  # fmt: skip


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.+?)".join(re.escape(part) for part in english.split("{}")), re.DOTALL)


_TABLE = [(_pattern(english), chinese) for english, chinese in CHINESE.items()]


def in_chinese(reason: str) -> str:
    """The reason in Chinese; one that is not known stays as it is, introduced."""
    for pattern, chinese in _TABLE:
        if match := pattern.fullmatch(reason):
            first, *rest = chinese.split("{}")
            parts = [value + after for value, after in zip(match.groups(), rest, strict=False)]
            return first + "".join(parts)
    return f"没有成功：{reason}"


def wants_chinese() -> bool:
    """The browser says so; programs say nothing."""
    return (request.accept_languages.best or "").lower().startswith("zh")


def localized(reason: str) -> str:
    """As whoever asks reads it."""
    return in_chinese(reason) if reason and wants_chinese() else reason


def refuse(error: ApiError) -> Response:
    """The error handler of /admin/api."""
    body = error.body
    body["error"]["message"] = localized(body["error"]["message"])
    return respond(body, error.code or 500, error.more_headers)
