"""POST /telegram: a Telegram bot, by webhook.

https://core.telegram.org/bots/api#setwebhook: `secret_token` comes back in a header with each update; an
update that is not answered with 2xx is sent again, for a day, and is known by its update_id.
https://core.telegram.org/bots/api#making-requests-when-getting-updates: one call of the API may be the answer
to the webhook. https://core.telegram.org/bots/api#sendmessage: 1 to 4096 characters, which are counted as
UTF-16 does; #responseparameters: after a 429, `retry_after` seconds to wait.

Private chats only: in a group the bot would have to know which messages are meant for it. No key makes two
sendMessage one, so what may have arrived is not sent again.
"""

from __future__ import annotations

import hmac
import re
from typing import Any

from flask import Response, jsonify, request
from pydantic import Field
from werkzeug.exceptions import Unauthorized

from bot.channels.adapter import Adapter, Incoming, Payload, read
from bot.channels.client import SendError, call_json
from bot.context import Bot
from bot.settings.config import Settings

HEADER = "X-Telegram-Bot-Api-Secret-Token"
# 401 and 404 are a wrong token of the bot, mended by hand; 403 is a user who has blocked it.
RETRYABLE = (401, 404, 429)


class Chat(Payload):
    id: int
    type: str


class Sender(Payload):
    id: int
    is_bot: bool


class Message(Payload):
    message_id: int
    chat: Chat
    sender: Sender | None = Field(None, alias="from")
    text: str | None = None
    caption: str | None = None  # under a picture


class Update(Payload):
    update_id: int
    message: Message | None = None


class Telegram(Adapter):
    name = "telegram"
    limit = 4096  # bytes: a text of so many has at most as many UTF-16 units
    typing_lasts = 5.0
    asks_again = True

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        self.secret = bot.settings.telegram_secret or ""
        self.api = TelegramApi(bot.settings)

    def open(self) -> Incoming | Response:
        if not hmac.compare_digest(request.headers.get(HEADER, "").encode(), self.secret.encode()):
            raise Unauthorized(f"{HEADER} is wrong")
        update = read(Update, request.get_data())
        message = update.message
        if message is None or message.chat.type != "private" or not message.sender or message.sender.is_bot:
            return jsonify({})
        user = str(message.chat.id)

        def respond(reply: str) -> Response:
            return jsonify({"method": "sendMessage", **_text(user, reply)} if reply else {})

        text = message.text if message.text is not None else message.caption
        if text:  # a command may name the bot
            text = re.sub(r"^(/[a-z]+)@\w+", r"\1", text)
        # t.me/NAME?start=VALUE sends "/start VALUE".
        greeting = re.fullmatch(r"/start(\s.*)?", text or "") is not None
        return Incoming(user, str(update.update_id), text, respond, greeting)

    def send(self, user: str, text: str, key: str) -> None:
        self.api.call("sendMessage", _text(user, text))

    def typing(self, user: str) -> None:
        self.api.call("sendChatAction", {"chat_id": int(user), "action": "typing"})


class TelegramApi:
    def __init__(self, settings: Settings) -> None:
        self.url = f"{settings.telegram_api_url}/bot{settings.telegram_token}/"

    def call(self, method: str, body: dict[str, Any]) -> object:
        """The result. Raises SendError."""
        answer = call_json(method, self.url + method, body)
        if answer.fields.get("ok") is True:
            return answer.fields.get("result")
        more = answer.fields.get("parameters")
        retry_after = more.get("retry_after") if isinstance(more, dict) else None
        raise SendError(
            f"{method}: error {answer.status}: {str(answer.fields.get('description', ''))[:200]!r}",
            retryable=answer.status in RETRYABLE,
            retry_after=float(retry_after) if isinstance(retry_after, int) else 0,
        )


def _text(user: str, text: str) -> dict[str, Any]:
    return {"chat_id": int(user), "text": text}
