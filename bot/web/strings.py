"""What the chat page itself says, by language; the bot's own answers stay as they are, and so does a
PLM_DISCLAIMER of the operator's own."""

from __future__ import annotations

from bot.settings.config import DISCLAIMER

STRINGS = {
    "zh-CN": {
        "tagline": "自己训练的小语言模型", "fresh": "新对话", "scroll": "对话内容", "log": "对话",
        "user": "我", "assistant": "回答", "unusable": "暂时无法使用", "hello": "您好，请问想了解什么？",
        "about": "回答一字一字地出现；对话保存在本站，刷新后仍在。",
        "about_library": "回答引自书里的原文，点“看原文”可读上下文；对话保存在本站，刷新后仍在。",
        "examples": "可以这样问",
        "question": "您的问题",
        "hint": "输入问题…", "send": "发送", "stop": "停止回答", "how": "回车发送，Shift 加回车换行。",
        "script": "本页需要浏览器启用 JavaScript 才能发送问题。", "busy": "服务繁忙，请稍后再试。",
        "failed": "这个回答没有写成，请重试。", "cookie": "浏览器没有送回本站的 Cookie，请允许后刷新页面。",
        "lost": "连接中断，没有收到完整的回答。", "offline": "网络不通，请稍后再试。", "wrong": "出错了",
        "retry": "重试", "stopped": "已停止显示。", "quote": "引文", "context": "看原文", "close": "收起",
        "copy": "复制", "copied": "已复制", "loading": "正在取原文…", "gone": "这段原文已不在书库中。",
        "slow": "看得太快了，请稍后再试。", "removed": "（引文已从书库移除）", "abstained": "没有找到",
        "disclaimer": DISCLAIMER,
    },
    "en": {
        "tagline": "A small model", "fresh": "New chat",
        "scroll": "Conversation", "log": "Messages", "user": "You", "assistant": "Answer",
        "unusable": "Not available at the moment",
        "hello": "Hello, what would you like to know?",
        "about": "Answers appear as they are written. The conversation stays here, also after a reload.",
        "about_library": "Answers are quotations from books; each opens to its passage. The books are "
        "Chinese, so ask in Chinese. The conversation stays here, also after a reload.",
        "examples": "You could ask", "question": "Your question", "hint": "Ask a question…", "send": "Send",
        "stop": "Stop answering", "how": "Enter sends, Shift and Enter begin a new line.",
        "script": "This page needs JavaScript to send questions.",
        "busy": "The service is busy, please try again later.",
        "failed": "This answer could not be written, please try again.",
        "cookie": "The browser did not send this site's cookie back: please allow it and reload the page.",
        "lost": "The connection broke before the answer was complete.",
        "offline": "The network cannot be reached, please try again later.", "wrong": "Something went wrong",
        "retry": "Try again", "stopped": "No longer shown.", "quote": "Quotation",
        "context": "In context", "close": "Close", "copy": "Copy", "copied": "Copied",
        "loading": "Fetching the passage…", "gone": "This passage is no longer in the library.",
        "slow": "Too many passages at a time, please try again later.",
        "removed": "(removed from the library)", "abstained": "Not found",
        "disclaimer": "I am a small home-made language model and can be wrong: for reference only, no "
        "substitute for a doctor's diagnosis or prescription. If you are unwell, please see a doctor.",
    },
}  # fmt: skip

# To begin with: what a button says, and what it asks. The books are Chinese, and so are questions to them.
EXAMPLES = {
    "zh-CN": tuple((text, text) for text in ("桂枝汤由哪些药组成？", "失眠怎么调理？", "黄芪有什么功效？")),
    "en": (
        ("What is in Guizhi Tang? 桂枝汤", "桂枝汤由哪些药组成？"),
        ("What helps against insomnia? 失眠", "失眠怎么调理？"),
        ("What does astragalus do? 黄芪", "黄芪有什么功效？"),
    ),
}
