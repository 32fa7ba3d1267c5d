"""One way in each: WeChat, signed webhooks, the chat page."""
