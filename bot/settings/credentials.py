"""Tokens, keys and secrets: what each must look like, and which characters came in by mistake.

An env file written on Windows, a value copied with its quotation marks, a lenient base64 decoder: each makes
a secret that is accepted at the start and matches nothing later. Complaints name the stray character, and
never quote the secret.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator

QUOTES = "\"'`“”‘’「」"
SIGNING_BYTES = range(24, 65)  # https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"
_NAMES = {
    "\r": "a carriage return (files written on Windows have them)",
    "\n": "a line break",
    "\t": "a tab",
    " ": "a space",
    "\ufeff": "a byte order mark",
    "\u200b": "a zero-width space",
}


def name_of(char: str) -> str:
    """What a reader can find and remove: never used for letters and digits."""
    code = f"U+{ord(char):04X}"
    return _NAMES.get(char) or (f"a quotation mark ({char})" if char in QUOTES else _unicode_name(char, code))


def _unicode_name(char: str, code: str) -> str:
    name = unicodedata.name(char, "")
    return f"the character {name} ({code})" if name else f"the control character {code}"


def stray_character(text: str) -> str:
    """A control character, or quotation marks around the whole; "" if there is none."""
    for at, char in enumerate(text):
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            return _found(text, at)
    return marks_around(text, QUOTES)


def marks_around(text: str, marks: str = "\"'") -> str:
    """A complaint of quotation marks around the whole; "" if there are none."""
    if len(text) > 1 and text[0] in marks and text[-1] in marks:
        return f"has quotation marks around it ({text[0]}…{text[-1]}): write it without them"
    return ""


def _found(text: str, at: int) -> str:
    place = "at its end" if at == len(text) - 1 else "at its beginning" if at == 0 else "in it"
    return f"has {name_of(text[at])} {place}: remove it"


def plain(value: str) -> str:
    """Without the space around it; ValueError where it has a stray character."""
    if complaint := stray_character(value.strip()):
        raise ValueError(complaint)
    return value.strip()


def split_credentials(value: str) -> tuple[str, ...]:
    """Those between commas, spaces or line breaks; ValueError where one has a stray character."""
    if complaint := stray_character(re.sub(r"[\n\t]", " ", value).strip(" ")):
        raise ValueError(complaint)
    return tuple(part for part in re.split(r"[,\s]+", value) if part)


def check_credential(value: str, *, spaces: bool = False) -> str:
    """Printable ASCII, without spaces unless they are inside and allowed, not in quotation marks. ValueError
    names what is not so."""
    if complaint := stray_character(value):
        raise ValueError(complaint)
    for at, char in enumerate(value):
        end = at in (0, len(value) - 1)
        if char == " " and spaces and not end:
            continue
        if char.isspace() or (end and char in QUOTES) or not (char.isascii() or char.isalnum()):
            raise ValueError(_found(value, at))
        if not char.isascii():
            raise ValueError("has a letter or digit that is not ASCII (perhaps a full-width one)")
    return value


def check_aes_key(value: str) -> str:
    """An EncodingAESKey: base64 of 32 bytes without its =. Its last two bits may be anything."""
    check_credential(value)
    if len(value) != 43:
        raise ValueError(f"must be the EncodingAESKey: 43 letters and digits; this has {len(value)}")
    if not re.fullmatch("[A-Za-z0-9+/]{43}", value):
        raise ValueError("must be the EncodingAESKey: 43 letters and digits, nothing else")
    return value


def check_signing_secret(value: str) -> str:
    """As Standard Webhooks writes a secret: whsec_ and base64 of 24 to 64 bytes. ValueError."""
    check_credential(value)
    if re.fullmatch(r"v\d+a?", value):
        raise ValueError(
            f"drop the `{value},` in front of whsec_: it belongs to signatures, not to the secret"
        )
    if value.startswith(("whpk_", "whsk_")):
        raise ValueError("is a key of asymmetric signatures; a secret that starts with whsec_ is needed")
    encoded = value.removeprefix("whsec_")
    if re.search("[-_]", encoded):
        raise ValueError(f"{_MADE} - and _ are not among its letters")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{_MADE} this is not base64: is a letter missing, or an = at its end?") from None
    if len(key) not in SIGNING_BYTES:
        raise ValueError(f"{_MADE} this stands for {len(key)}")
    return value


_MADE = (
    'must be whsec_ and the base64 of 24 to 64 random bytes, as `echo "whsec_$(openssl rand -base64 32)"` '
    "makes one;"
)


def check_telegram_token(value: str) -> str:
    check_credential(value)
    if not re.fullmatch(r"[0-9]{1,20}:[A-Za-z0-9_-]{20,100}", value):
        raise ValueError("must be as @BotFather writes it: a number, a colon, letters and digits")
    return value


def check_telegram_secret(value: str) -> str:
    check_credential(value)
    if not re.fullmatch("[A-Za-z0-9_-]{16,256}", value):
        raise ValueError("must be 16 to 256 of A-Z a-z 0-9 _ -, as given to setWebhook")
    return value


def checked_by(check: Callable[[str], str]) -> BeforeValidator:
    """Of texts; anything else is left to pydantic's own complaint."""
    return BeforeValidator(lambda value: check(value) if isinstance(value, str) else value)


def credential_of(least: int, most: int, *, spaces: bool = False) -> Callable[[str], str]:
    """Checks a credential of so many characters."""

    def check(value: str) -> str:
        check_credential(value, spaces=spaces)
        if not least <= len(value) <= most:
            raise ValueError(f"must have {least} to {most} characters; this has {len(value)}")
        return value

    return check


Credential = Annotated[str, checked_by(credential_of(2, 200))]
WechatToken = Annotated[str, checked_by(credential_of(3, 32))]
EncryptKey = Annotated[str, checked_by(credential_of(2, 200, spaces=True))]  # Feishu takes any text
AdminKey = Annotated[str, checked_by(credential_of(8, 200))]
AesKey = Annotated[str, checked_by(check_aes_key)]
SigningSecret = Annotated[str, checked_by(check_signing_secret)]
TelegramToken = Annotated[str, checked_by(check_telegram_token)]
TelegramSecret = Annotated[str, checked_by(check_telegram_secret)]
