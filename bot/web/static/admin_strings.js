// What the administrators' page says, in both languages.
"use strict";

const STRINGS = {
  "zh-CN": {
    title: "管理", leave: "退出", other: "English", key: "管理密钥（PLM_ADMIN_KEY）", enter: "进入",
    kept: "密钥只留在这个标签页里，关闭后即忘。", traffic: "近一小时", messages: "消息", answers: "回答", failed: "失败",
    retries: "重试", limited: "超限", blocked: "已屏蔽", late: "未及时", p50: "延迟中位数", p95: "延迟 95%", p99: "延迟 99%",
    talks: "对话总数", memory: "Redis 内存", span: "每分钟，共 60 分钟", processes: "进程", conversations: "最近的对话",
    user: "用户", find: "查找", more: "更多", errors: "最近的错误", close: "关闭", turns: "句", none: "没有", model: "模型",
    running: "正在回答", wrong: "密钥不对。", slow: "试得太多了，请过一会儿再来。", away: "服务不通，稍后自动重试。",
    me: "用户", bot: "回答", chart: "近一小时每分钟的消息数",
    letters: "未能送出的（死信）", again: "刷新", resend: "重发", drop: "丢弃", sure: "丢弃后无法恢复，确定吗？", gone: "已不在了。",
    broadcasts: "群发", planned: "待发", done: "已完成", cancelled: "已取消", ongoing: "发送中",
    sent: "已发", left: "未发",
  },
  en: {
    title: "Administration", leave: "Sign out", other: "中文", key: "Administrator's key (PLM_ADMIN_KEY)", enter: "Enter",
    kept: "The key stays in this tab alone and is forgotten when it is closed.", traffic: "Last hour",
    messages: "Messages", answers: "Answers", failed: "Failed", retries: "Retries", limited: "Over the limit",
    blocked: "Blocked", late: "Not in time", p50: "Latency, median", p95: "Latency, 95 %", p99: "Latency, 99 %",
    talks: "Conversations", memory: "Redis memory", span: "by the minute, 60 minutes", processes: "Processes",
    conversations: "Recent conversations", user: "User", find: "Find", more: "More", errors: "Recent errors",
    close: "Close", turns: "turns", none: "None", model: "Model", running: "Answering", wrong: "That is not the key.",
    slow: "Too many tries: come back in a while.", away: "The service does not answer; trying again.",
    me: "User", bot: "Answer", chart: "Messages a minute in the last hour",
    letters: "Dead letters: what could not be sent", again: "Refresh", resend: "Send again", drop: "Drop",
    sure: "What is dropped cannot be brought back. Drop it?", gone: "It is no longer there.", broadcasts: "Broadcasts",
    planned: "planned", done: "done", cancelled: "cancelled", ongoing: "running", sent: "sent",
    left: "left",
  },
};
