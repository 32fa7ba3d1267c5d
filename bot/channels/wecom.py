"""GET and POST /wecom: messages to an application of WeCom (企业微信).

From https://developer.work.weixin.qq.com/document/path/: 90930, every request is signed by msg_signature and
encrypted, the check of the address (`echostr`) too; the key and its use are WeChat's, with the corpid at the
end. 90238, after five seconds without an answer the platform asks again, three requests in all; a message is
known by its MsgId. 90241, the response may carry an encrypted reply. 90236, messages at other times, up to
2048 bytes; 91039, the token for them.

`enable_duplicate_check` is not used: it would also swallow the second of two equal answers.
"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, request

from bot.channels.adapter import Adapter, Incoming
from bot.channels.wechat.client import TencentApi
from bot.channels.wechat.crypto import check_age, check_signature, decrypt, open_sealed, query, render
from bot.context import Bot
from bot.settings.config import Settings
from bot.store.outbox import Outbox

WINDOW = 300  # seconds that a request's timestamp may be off


class Wecom(Adapter):
    name = "wecom"
    limit = 2000

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        settings = bot.settings
        self.token, self.corpid = settings.wecom_token or "", settings.wecom_corpid or ""
        self.keys = (settings.wecom_aes_key, settings.wecom_aes_key_previous)
        self.agentid = settings.wecom_agentid
        self.api = WecomApi(settings, bot.outbox)

    def open(self) -> Incoming | Response:
        if request.method == "GET":
            return self._check()
        envelope = open_sealed(request.get_data(), self.token, self.corpid, self.keys, WINDOW)
        fields = envelope.message

        def respond(reply: str) -> Response:
            if not reply:
                return Response("", mimetype="text/plain")
            xml = render(fields["ToUserName"], fields["FromUserName"], reply)
            return Response(envelope.seal(xml), mimetype="application/xml")

        kind, event = fields["MsgType"], fields.get("Event", "")
        user = fields.get("FromUserName", "").strip()  # some events have none
        if kind == "event" and (event != "subscribe" or not user):
            return respond("")
        message_id = fields.get("MsgId") or f"event-{event}-{fields['CreateTime']}"
        text = fields.get("Content", "") if kind == "text" else None
        return Incoming(user, message_id, text, respond, greeting=kind == "event")

    def _check(self) -> Response:
        timestamp, nonce, echo = query("timestamp", "nonce", "echostr")
        check_signature(self.token, "msg_signature", timestamp, nonce, echo)
        check_age(timestamp, WINDOW)
        return Response(decrypt(echo, self.corpid, self.keys)[0], mimetype="text/plain")

    def send(self, user: str, text: str, key: str) -> None:
        body = {"touser": user, "msgtype": "text", "agentid": self.agentid, "text": {"content": text}}
        self.api.call("message/send", body)


class WecomApi(TencentApi):
    def __init__(self, settings: Settings, store: Outbox) -> None:
        account = f"wecom:{settings.wecom_corpid}:{settings.wecom_agentid}"
        super().__init__(store, account, settings.wecom_secret or "")
        self.url, self.corpid = settings.wecom_api_url, settings.wecom_corpid or ""

    def fetch(self, stale: str) -> tuple[str, float]:
        query = urlencode({"corpid": self.corpid, "corpsecret": self.secret})
        return self.read_token("gettoken", self.call_json("gettoken", None, "?" + query))
