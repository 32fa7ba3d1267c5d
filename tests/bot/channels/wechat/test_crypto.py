"""What is signed must also be well sealed: wechatpy looks at neither padding nor lengths."""

from __future__ import annotations

import base64
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from werkzeug.exceptions import Forbidden

from bot.channels.wechat.crypto import decrypt
from tests.wechat_platform import Crypt

KEY, OTHER_KEY, APPID = "A" * 43, "B" * 42 + "A", "wxba5fad812f8e6fb9"
MESSAGE = "<xml>药</xml>".encode()


def sealed(body: bytes) -> str:
    key = base64.b64decode(KEY + "=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(body) + encryptor.finalize()).decode()


def body(length: int | None = None, appid: str = APPID, padding: bytes | None = None) -> bytes:
    content = b"r" * 16 + struct.pack(">I", len(MESSAGE) if length is None else length) + MESSAGE
    content += appid.encode()
    size = 32 - len(content) % 32
    return content + (bytes([size]) * size if padding is None else padding.rjust(size, b"p"))


def test_what_is_well_sealed_is_opened_by_the_key_that_fits() -> None:
    assert decrypt(sealed(body()), APPID, (KEY, None))[0] == MESSAGE
    plain, crypto = decrypt(sealed(body()), APPID, (OTHER_KEY, KEY))
    assert plain == MESSAGE
    answer = crypto.encrypt("<xml/>", APPID).decode()  # the reply is sealed with that key
    assert Crypt("AAAAA", KEY, APPID).decrypt(answer) == b"<xml/>"


@pytest.mark.parametrize(
    "encrypted",
    [
        "", "AAAA", "not base64!", "药", sealed(b""), sealed(b"\0" * 32), sealed(body(padding=b"\0")),
        sealed(body(padding=b"\x01\x02")), sealed(body(padding=b"!")), sealed(body(length=2**31)),
        sealed(body(length=len(MESSAGE) + 1)), sealed(body(length=0)), sealed(body(appid="wxother")),
        sealed(body(appid="")), sealed(body())[:-4], sealed(body()[16:]),
    ],
)  # fmt: skip
def test_what_is_ill_sealed_is_refused(encrypted: str) -> None:
    with pytest.raises(Forbidden):
        decrypt(encrypted, APPID, (KEY, None))
    with pytest.raises(Forbidden):
        decrypt(sealed(body()), APPID, (OTHER_KEY, None))
