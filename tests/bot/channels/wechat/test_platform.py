"""The stand-in agrees with the platform's published vectors, and is as strict as it says."""

import base64
import hashlib

import pytest

from tests.wechat_platform import Crypt, Platform, ProtocolError, read_flat_xml, sign, to_xml

KEY, APPID = "A" * 43, "wxba5fad812f8e6fb9"
# The event of the platform's own description of safe mode, as it is sent.
SEALED_EVENT = (
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVza"
    "zhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFI"
    "ZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
)


@pytest.mark.parametrize(
    ("timestamp", "nonce", "signature"),
    [
        ("1714036504", "1514711492", "f464b24fc39322e44b38aa78f5edd27bd1441696"),
        ("1714037059", "486452656", "899cf89e464efb63f54ddac96b0a0a235f53aa78"),
    ],
)
def test_signatures_of_the_official_vectors(timestamp: str, nonce: str, signature: str) -> None:
    assert sign("AAAAA", timestamp, nonce) == signature


def test_safe_mode_opens_and_seals_the_official_vector() -> None:
    crypt = Crypt("AAAAA", KEY, APPID)
    assert (
        crypt.signature("1714112445", "415670741", SEALED_EVENT) == "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"
    )
    message = crypt.decrypt(SEALED_EVENT)
    assert message.endswith(b'"Event":"debug_demo","debug_str":"hello world"}')
    assert crypt.encrypt(message, b"a8eedb185eb2fecf") == SEALED_EVENT


def test_a_sealed_message_for_another_account_is_refused() -> None:
    with pytest.raises(ProtocolError, match="sealed for"):
        Crypt("AAAAA", KEY, "wx0000").decrypt(Crypt("AAAAA", KEY, APPID).encrypt(b"<xml/>"))


def test_xml_keeps_what_cdata_cannot_hold() -> None:
    text = "前]]>中<b>&amp;]]]]>>\n😀𠮷"
    assert read_flat_xml(to_xml({"Content": text, "MsgId": 1}).encode()) == {"Content": text, "MsgId": "1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"ToUserName": "another"},
        {"FromUserName": "another"},
        {"CreateTime": "soon"},
        {"CreateTime": "1"},
        {"MsgType": "image"},
        {"Content": ""},
        {"Content": "好" * 601},
    ],
)
def test_a_reply_that_the_platform_would_not_show_is_an_error(wrong: dict[str, str]) -> None:
    platform = Platform("http://unused", "AAAAA")
    message = platform.text("u1", "你好")
    head = {"ToUserName": "u1", "FromUserName": platform.account, "CreateTime": message.fields["CreateTime"]}
    good = {**head, "MsgType": "text", "Content": "好" * 600}
    assert platform.read_reply(message, to_xml(good).encode()) == "好" * 600
    with pytest.raises(ProtocolError):
        platform.read_reply(message, to_xml({**good, **wrong}).encode())


def test_silence_is_not_a_reply_and_junk_is_an_error() -> None:
    platform = Platform("http://unused", "AAAAA")
    message = platform.text("u1", "你好")
    assert platform.read_reply(message, b"success") is None
    assert platform.read_reply(message, b"") is None
    for junk in (b"ok", b"<xml><Content>a</xml>", b"<xml></xml>", b"<html/>"):
        with pytest.raises(ProtocolError):
            platform.read_reply(message, junk)


def test_safe_mode_takes_no_open_reply_and_no_wrong_signature() -> None:
    platform = Platform("http://unused", "AAAAA", aes_key=KEY, mode="safe")
    message = platform.text("u1", "你好")
    reply = {"ToUserName": "u1", "FromUserName": platform.account, "CreateTime": message.fields["CreateTime"]}
    inner = to_xml({**reply, "MsgType": "text", "Content": "好"})
    with pytest.raises(ProtocolError, match="not a sealed reply"):
        platform.read_reply(message, inner.encode())
    assert platform.crypt is not None
    sealed = platform.crypt.encrypt(inner.encode())
    outer: dict[str, str | int] = {"Encrypt": sealed, "TimeStamp": 1, "Nonce": "n"}
    right = to_xml({**outer, "MsgSignature": sign("AAAAA", "1", "n", sealed)})
    assert platform.read_reply(message, right.encode()) == "好"
    wrong = to_xml({**outer, "MsgSignature": hashlib.sha1(base64.b64decode(sealed)).hexdigest()})
    with pytest.raises(ProtocolError, match="MsgSignature"):
        platform.read_reply(message, wrong.encode())
