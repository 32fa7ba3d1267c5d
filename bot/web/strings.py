"""What the chat page itself says, by language; the bot's own answers stay as they are, and so does a
PLM_DISCLAIMER of the operator's own."""

from __future__ import annotations

from bot.settings.config import DISCLAIMER

STRINGS = {
    "zh-CN": {
        "tagline": "自己训练的小语言模型", "fresh": "新对话", "scroll": "对话内容", "log": "对话",
        "user": "我", "assistant": "回答", "unusable": "暂时无法使用", "hello": "您好，请问想了解什么？",
        "about": "回答一字一字地出现；对话保存在本站，刷新后仍在。", "examples": "可以这样问",
        "question": "您的问题",
        "hint": "输入问题…", "send": "发送", "stop": "停止回答", "keys": "回车发送，Shift 加回车换行。",
        "script": "本页需要浏览器启用 JavaScript 才能发送问题。", "busy": "服务繁忙，请稍后再试。",
        "failed": "这个回答没有写成，请重试。", "cookie": "浏览器没有送回本站的 Cookie，请允许后刷新页面。",
        "lost": "连接中断，没有收到完整的回答。", "offline": "网络不通，请稍后再试。", "wrong": "出错了",
        "retry": "重试", "stopped": "已停止显示。", "disclaimer": DISCLAIMER,
    },
    "en": {
        "tagline": "A small model", "fresh": "New chat",
        "scroll": "Conversation", "log": "Messages", "user": "You", "assistant": "Answer",
        "unusable": "Not available at the moment",
        "hello": "Hello, what would you like to know?",
        "about": "Answers appear as they are written. The conversation stays here, also after a reload.",
        "examples": "You could ask", "question": "Your question", "hint": "Ask a question…", "send": "Send",
        "stop": "Stop answering", "keys": "Enter sends, Shift and Enter begin a new line.",
        "script": "This page needs JavaScript to send questions.",
        "busy": "The service is busy, please try again later.",
        "failed": "This answer could not be written, please try again.",
        "cookie": "The browser did not send this site's cookie back: please allow it and reload the page.",
        "lost": "The connection broke before the answer was complete.",
        "offline": "The network cannot be reached, please try again later.", "wrong": "Something went wrong",
        "retry": "Try again", "stopped": "No longer shown.",
        "disclaimer": "I am a small home-made language model and can be wrong: for reference only, no "
        "substitute for a doctor's diagnosis or prescription. If you are unwell, please see a doctor.",
    },
}  # fmt: skip
