"""Tokens, keys and secrets: what came in by mistake is named at the start, and no secret is ever quoted."""

from __future__ import annotations

import base64
import os
import re

import pytest

from bot.settings.config import ConfigError, Settings, load_settings
from bot.settings.credentials import check_signing_secret

AES_KEY = "A" * 43
GOOD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's example
API_KEY = "shop:sk-0123456789abcdefghij"
# One value of each setting that is a credential, with what else the setting needs.
GOOD_VALUES = {
    "WECHAT_TOKEN": "tok3n", "WECHAT_APPID": "wxba5fad812f8e6fb9", "WECHAT_SECRET": "s3cr3t" * 4,
    "WECHAT_AES_KEY": AES_KEY, "WECHAT_AES_KEY_PREVIOUS": AES_KEY, "WECOM_CORPID": "ww0123",
    "WECOM_AGENTID": "1", "WECOM_SECRET": "s3cr3t", "WECOM_TOKEN": "tok3n", "WECOM_AES_KEY": AES_KEY,
    "WECOM_AES_KEY_PREVIOUS": AES_KEY, "FEISHU_APP_ID": "cli_0123", "FEISHU_APP_SECRET": "s3cr3t",
    "FEISHU_ENCRYPT_KEY": "k3y", "FEISHU_VERIFICATION_TOKEN": "tok3n", "DINGTALK_APP_SECRET": "s3cr3t",
    "TELEGRAM_TOKEN": "123:" + "A" * 30, "TELEGRAM_SECRET": "s3cr3t" * 4, "WEBHOOK_SHOP_SECRET": GOOD,
    "ADMIN_KEY": "s3cr3t" * 4, "API_KEYS": API_KEY,
}  # fmt: skip
CREDENTIALS = sorted(GOOD_VALUES.keys() - {"WECOM_AGENTID"})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PLM_"):
            monkeypatch.delenv(name)
    for name, value in GOOD_VALUES.items():
        monkeypatch.setenv("PLM_" + name, value)


def complaint() -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value)


def test_the_good_values_are_good_and_none_is_forgotten() -> None:
    settings = load_settings()
    assert settings.webhooks["shop"].secret == (GOOD,)
    fields = {name.upper() for name in Settings.model_fields}
    looks_like_one = re.compile("TOKEN|SECRET|KEY|APPID|APP_ID|CORPID")
    assert {name for name in fields if looks_like_one.search(name)} == set(CREDENTIALS) & fields


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ("{}\r", "a carriage return"),
        ("{}\r\n", "a carriage return"),
        ('"{}"', "quotation marks around it"),
        ("'{}'", "quotation marks around it"),
        ("“{}”", "quotation marks around it"),
        ("\ufeff{}", "a byte order mark"),
        ("{}\x07", "U+0007"),
        ("{}\u200b", "a zero-width space"),
    ],
)
def test_a_stray_character_is_refused_and_named(
    monkeypatch: pytest.MonkeyPatch, name: str, shape: str, named: str
) -> None:
    monkeypatch.setenv("PLM_" + name, shape.format(GOOD_VALUES[name]))
    said = complaint()
    assert said.startswith(f"PLM_{name}: "), said
    assert named in said
    assert GOOD_VALUES[name] not in said


@pytest.mark.parametrize(
    "name", [name for name in CREDENTIALS if name not in ("API_KEYS", "WEBHOOK_SHOP_SECRET")]
)
@pytest.mark.parametrize("shape", ["{} ", " {}", "{}\t", "{}\n", "{}\u3000"])
def test_space_counts_in_a_credential(monkeypatch: pytest.MonkeyPatch, name: str, shape: str) -> None:
    monkeypatch.setenv("PLM_" + name, shape.format(GOOD_VALUES[name]))
    assert re.search(r"(a space|a tab|a line break|SPACE)\b.* at its (end|beginning)", complaint())


def test_feishu_takes_any_text_as_its_encrypt_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_FEISHU_ENCRYPT_KEY", "test key")  # of the platform's own example
    assert load_settings().feishu_encrypt_key == "test key"


def test_full_width_letters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_WECHAT_TOKEN", "ｔok3n")
    assert complaint() == (
        "PLM_WECHAT_TOKEN: has a letter or digit that is not ASCII (perhaps a full-width one)"
    )


def test_space_around_other_settings_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_WECHAT_MODE", "safe\r")
    monkeypatch.setenv("PLM_PORT", " 8001\r")
    monkeypatch.setenv("PLM_WECHAT_PUSH", "1\r")
    monkeypatch.setenv("PLM_TELEGRAM_API_URL", "https://telegram.example/\r")
    monkeypatch.setenv("PLM_WEBHOOK_SHOP_URL", "https://shop.example/answers\r")
    monkeypatch.setenv("PLM_LOG_FORMAT", " ")
    settings = load_settings()
    assert (settings.wechat_mode, settings.port, settings.wechat_push) == ("safe", 8001, True)
    assert (settings.telegram_api_url, settings.log_format) == ("https://telegram.example", "text")
    assert settings.webhooks["shop"].url == "https://shop.example/answers"
    monkeypatch.setenv("PLM_MODEL", '"tcm"')
    assert complaint().startswith('PLM_MODEL: has quotation marks around it ("…")')


def encoded(count: int) -> str:
    return base64.b64encode(bytes(range(count))).decode()


@pytest.mark.parametrize("secret", [GOOD, "whsec_" + encoded(24), "whsec_" + encoded(64), encoded(32)])
def test_a_signing_secret_as_the_specification_has_it(secret: str) -> None:
    assert check_signing_secret(secret) == secret


@pytest.mark.parametrize(
    ("secret", "mend"),
    [
        (f"v1,{GOOD}", "drop the `v1,`"),
        ("my-shop-secret", "- and _ are not among its letters"),
        ("whsec_YQ==", "24 to 64 random bytes.*this stands for 1$"),
        ("whsec_" + encoded(23), "this stands for 23$"),
        ("whsec_" + encoded(65), "this stands for 65$"),
        ("whsec_" + encoded(25).rstrip("="), "this is not base64"),
        ("whsec_" + encoded(24) + "!", "this is not base64"),
        ("whsec_", "this stands for 0$"),
        ("whpk_" + encoded(32), "asymmetric"),
        (f"{GOOD}, whsec_YQ==", "this stands for 1$"),
        (" , ", "must be whsec_…, or two of them"),
    ],
)
def test_a_signing_secret_that_a_lenient_decoder_takes_is_refused(
    monkeypatch: pytest.MonkeyPatch, secret: str, mend: str
) -> None:
    monkeypatch.setenv("PLM_WEBHOOK_SHOP_SECRET", secret)
    said = complaint()
    assert said.startswith("PLM_WEBHOOK_SHOP_SECRET: ")
    assert re.search(mend, said), said
    assert secret.removeprefix("whsec_") not in said or not secret.removeprefix("whsec_")


@pytest.mark.parametrize(
    ("key", "mend"),
    [
        ("A" * 42, "43 letters and digits; this has 42$"),
        ("A" * 42 + "=", "nothing else"),
        ("A" * 42 + "-", "nothing else"),
    ],
)
def test_an_aes_key_is_checked(monkeypatch: pytest.MonkeyPatch, key: str, mend: str) -> None:
    monkeypatch.setenv("PLM_WECHAT_AES_KEY", key)
    assert re.search(mend, complaint())
