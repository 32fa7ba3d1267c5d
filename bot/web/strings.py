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
        # Beside an answer
        "copy_answer": "复制回答", "again": "重新回答", "up": "有用", "down": "没用", "actions": "对这个回答",
        "thanks": "已记下，谢谢。", "taken_back": "已撤回。", "same": "回答没有变化。",
        "no_answer": "这个回答已不在您的记录里。",
        # The length of a question
        "too_long": "问题超过了 {most} 个字，请缩短或分成几次问；现在发送不会得到回答。",
        "count": "{count} / {most} 字",
        # The menu
        "menu": "菜单", "close_menu": "关闭菜单", "talks": "我的对话", "no_talks": "还没有对话。",
        "current": "进行中", "erase": "删除", "sure_erase": "删除这个对话？不能恢复。", "use": "用法与记录",
        "help": "帮助", "help_command": "帮助", "help_about": "能说哪些话、有哪些命令",
        "export": "导出", "export_about": "把我的全部对话存成文件",
        "forget": "忘记我", "forget_about": "删除本站保存的我的全部记录",
        "sure_forget": "删除您在这里的全部记录（所有对话和评价），不能恢复。确定吗？",
        "forgotten": "您的全部记录已经删除。",
        "language": "语言", "theme": "外观", "system": "跟随系统", "light": "浅色", "dark": "深色",
        "privacy": "隐私", "back": "返回对话",
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
        "slow": "Too many at a time, please try again later.",
        "removed": "(removed from the library)", "abstained": "Not found",
        "disclaimer": "I am a small home-made language model and can be wrong: for reference only, no "
        "substitute for a doctor's diagnosis or prescription. If you are unwell, please see a doctor.",
        "copy_answer": "Copy the answer", "again": "Answer again", "up": "Useful", "down": "Not useful",
        "actions": "This answer", "thanks": "Noted, thank you.", "taken_back": "Taken back.",
        "same": "The answer is the same.", "no_answer": "This answer is no longer in your transcript.",
        "too_long": "A question has at most {most} characters: please shorten it, or ask in parts. As it is, "
        "it will not be answered.",
        "count": "{count} of {most} characters",
        "menu": "Menu", "close_menu": "Close the menu", "talks": "My chats", "no_talks": "No chats yet.",
        "current": "going on", "erase": "Delete",
        "sure_erase": "Delete this chat? It cannot be brought back.",
        "use": "Help and records", "help": "Help", "help_command": "/help",
        "help_about": "What can be said, and the commands (in Chinese)",
        "export": "Export", "export_about": "Save all my chats as a file",
        "forget": "Forget me", "forget_about": "Delete all that is kept of me here",
        "sure_forget": "Delete all that is kept of you here, chats and ratings? It cannot be brought back.",
        "forgotten": "All that was kept of you is deleted.",
        "language": "Language", "theme": "Appearance", "system": "System", "light": "Light", "dark": "Dark",
        "privacy": "Privacy", "back": "Back to the chat",
    },
}  # fmt: skip

# To begin with: what a button says, and what it asks. The books are Chinese, and so are questions to them.
EXAMPLES = {
    "zh-CN": tuple((text, text) for text in ("桂枝汤由哪些药组成？", "失眠怎么调理？", "黄芪有什么功效？")),
    "en": (
        ("What is in Guizhi Tang?", "桂枝汤由哪些药组成？"),
        ("What helps against insomnia?", "失眠怎么调理？"),
        ("What does astragalus do?", "黄芪有什么功效？"),
    ),
}
