"""Settings: the environment over the file over defaults; a wrong value is one line that names it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from bot.settings.config import ConfigError, Settings, load_settings, unknown_variables
from bot.settings.values import SCOPES
from tests.service import free_port

KEY = "A" * 43
GOOD, OTHER = "whsec_" + "A" * 32, "whsec_" + "B" * 32
LONG = "sk-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PLM_"):
            monkeypatch.delenv(name)


def put(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv("PLM_" + name, value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"PORT": "eight"}, "PLM_PORT"),
        ({"PORT": "99999"}, "PLM_PORT"),
        ({"REDIS_URL": "localhost:6379"}, "PLM_REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://localhost:26379"}, "PLM_REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://localhost/main"}, "PLM_REDIS_URL"),
        ({"REDIS_URL": "redis+cluster://localhost"}, "PLM_REDIS_URL"),
        ({"REDIS_URL": "redis+cluster://localhost:6379/0"}, "PLM_REDIS_URL"),
        ({"QUEUE_URL": "localhost:6379"}, "PLM_QUEUE_URL"),
        ({"THREADS": "0"}, "PLM_THREADS"),
        ({"DEVICE": "tpu"}, "PLM_DEVICE"),
        ({"LOG_LEVEL": "loud"}, "PLM_LOG_LEVEL"),
        ({"SAMPLER": "best"}, "PLM_SAMPLER"),
        ({"ENGINE_URL": "a:1"}, "PLM_ENGINE_URL"),
        ({"ENGINE_URLS": "http://a:1"}, "PLM_ENGINE_URLS"),
        ({"WECHAT_TOKEN": "ab"}, "PLM_WECHAT_TOKEN"),
        ({"WECHAT_TOKEN": "AAAAA", "WECHAT_AES_KEY": "A" * 42}, "PLM_WECHAT_AES_KEY"),
        ({"WECHAT_TOKEN": "AAAAA", "WECHAT_AES_KEY": KEY}, "PLM_WECHAT_APPID"),
        ({"WECHAT_AES_KEY": KEY, "WECHAT_APPID": "wx"}, "PLM_WECHAT_TOKEN"),
        ({"WECHAT_TOKEN": "AAAAA", "WECHAT_MODE": "safe"}, "PLM_WECHAT_AES_KEY"),
        ({"WECHAT_TOKEN": "AAAAA", "WECHAT_AES_KEY_PREVIOUS": KEY}, "PLM_WECHAT_AES_KEY"),
        (
            {"WECHAT_TOKEN": "AAAAA", "WECHAT_APPID": "wx", "WECHAT_AES_KEY": KEY, "WECHAT_MODE": "plain"},
            "PLM_WECHAT_MODE",
        ),
        ({"WECHAT_PUSH": "1"}, "PLM_WECHAT_TOKEN"),
        ({"WECHAT_PUSH": "1", "WECHAT_TOKEN": "AAA", "WECHAT_APPID": "wx"}, "PLM_WECHAT_SECRET"),
        ({"DISCLAIMER": "示" * 301}, "PLM_DISCLAIMER"),
        ({"KEEP_DAYS": "0.001"}, "PLM_KEEP_DAYS"),
        ({"WEBHOOK_FORMS_URL": "http://a"}, "PLM_WEBHOOK_FORMS_SECRET"),
        ({"WEBHOOK_FORMS_SECRET": "whsec_"}, "PLM_WEBHOOK_FORMS_SECRET"),
        ({"WEBHOOK_FORMS_SECRET": GOOD, "WEBHOOK_FORMS_URL": "ftp://a"}, "PLM_WEBHOOK_FORMS_URL"),
        ({"API_KEYS": "shop"}, "PLM_API_KEYS"),
        ({"API_KEYS": "shop:tooshort"}, "PLM_API_KEYS"),
        ({"API_KEYS": f"shop:{LONG}:cooking"}, "PLM_API_KEYS"),
        ({"API_KEYS": f"shop:{LONG}:chat:often"}, "PLM_API_KEYS"),
        ({"API_KEYS": f"shop:{LONG}:chat:5/minute:more"}, "PLM_API_KEYS"),
        ({"API_KEYS": f"shop:{LONG}, shop:{LONG}2"}, "PLM_API_KEYS"),
        ({"API_KEYS": f"shop:{LONG}, lab:{LONG}"}, "PLM_API_KEYS"),
        ({"RATE_LIMIT": "often"}, "PLM_RATE_LIMIT"),
        ({"RATE_LIMIT": "0/minute"}, "PLM_RATE_LIMIT"),
        ({"PROXIES": "-1"}, "PLM_PROXIES"),
        ({"LIBRARY": "/nowhere/at/all"}, "PLM_LIBRARY"),
        ({"LIBRARY": "missing.txt"}, "PLM_LIBRARY"),
        ({"LIBRARY": "/usr"}, "PLM_LIBRARY"),
        ({"LIBRARY_MINIMUM": "1.5"}, "PLM_LIBRARY_MINIMUM"),
        ({"CONFIG": "/nowhere.toml"}, "PLM_CONFIG"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    put(monkeypatch, values)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(named + ":")
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_in_the_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {"WECHAT_TOKEN": "AAAAA", "WECHAT_AES_KEY": "hidden", "WEBHOOK_FORMS_SECRET": "whsec_#"})
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "hidden" not in str(caught.value)
    assert "#" not in str(caught.value)


def test_an_api_key_is_kept_as_its_hash_with_scopes_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        monkeypatch, {"API_KEYS": f"shop:{LONG}, lab:{LONG}2:likelihood:5/second;100/day,all:{LONG}3::1/hour"}
    )
    settings = load_settings()
    assert LONG not in repr(settings)
    shop, lab, everything = settings.api_keys
    assert (shop.name, shop.digest, shop.scopes) == ("shop", sha256(LONG.encode()).digest(), SCOPES)
    assert (lab.scopes, [str(rate) for rate in lab.rates]) == (
        {"likelihood"},
        ["5 per 1 second", "100 per 1 day"],
    )
    assert (everything.scopes, len(everything.rates)) == (SCOPES, 1)


def test_a_complaint_about_api_keys_quotes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for keys in (f"shop:{LONG}:cooking", f"sh op:{LONG}#", f"{LONG}", f"shop:{LONG}, lab:{LONG}"):
        put(monkeypatch, {"API_KEYS": keys})
        with pytest.raises(ConfigError) as caught:
            load_settings()
        assert LONG[3:] not in str(caught.value)


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "plm.toml"
    file.write_text(
        f'port = 81\nmodel = "zh"\nengine_url = "http://a:1/"\n[webhooks.forms]\nsecret = "{GOOD}"\n'
    )
    put(monkeypatch, {"CONFIG": str(file), "PORT": "82", "WEBHOOK_FORMS_URL": "http://b"})
    settings = load_settings()
    assert (settings.port, settings.model, settings.engine_url) == (82, "zh", "http://a:1")
    assert (settings.webhooks["forms"].secret, settings.webhooks["forms"].url) == (
        (GOOD,),
        "http://b",
    )


@pytest.mark.parametrize(
    "line",
    [
        'engine_urls = ["http://a:1"]',
        "prot = 1",
        "port = ",
        'port = "x"',
        f'[webhooks.my-shop]\nsecret = "{GOOD}"',
    ],
)
def test_a_wrong_file_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str) -> None:
    (tmp_path / "plm.toml").write_text(line)
    put(monkeypatch, {"CONFIG": str(tmp_path / "plm.toml")})
    with pytest.raises(ConfigError, match=r"^PLM_(CONFIG|PORT|ENGINE_URLS): .*$"):
        load_settings()


def test_an_empty_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {"PORT": "", "REDIS_URL": "", "WECHAT_TOKEN": "", "WEBHOOK_X_SECRET": ""})
    settings = load_settings()
    assert (settings.port, settings.redis_url, settings.webhooks) == (8000, None, {})


def test_with_a_key_and_no_mode_only_encrypted_messages_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().wechat_mode_in_force == "plain"
    put(monkeypatch, {"WECHAT_TOKEN": "AAAAA", "WECHAT_APPID": "wx", "WECHAT_AES_KEY": KEY})
    assert load_settings().wechat_mode_in_force == "safe"


def test_two_webhook_secrets_are_valid_while_one_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {"WEBHOOK_MY_FORMS_SECRET": f"{GOOD}, {OTHER}"})
    assert load_settings().webhooks["my_forms"].secret == (GOOD, OTHER)


def test_where_the_library_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(monkeypatch, {"DATA_DIR": str(tmp_path)})
    assert load_settings().library_folder == tmp_path / "library"
    put(monkeypatch, {"LIBRARY": "none"})
    assert load_settings().library_folder is None
    put(monkeypatch, {"LIBRARY": str(tmp_path / "other")})
    assert (load_settings().library_folder, load_settings().library_file) == (tmp_path / "other", None)
    file = tmp_path / "prices.txt"
    file.write_text("价目")
    put(monkeypatch, {"LIBRARY": str(file)})
    settings = load_settings()
    assert settings.library_file == file
    assert settings.library_folder is not None
    assert settings.library_folder.parent == tmp_path


def test_mistyped_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {"PROT": "1", "ADMIN_KEY": "5", "PORT": "1", "WEBHOOK_A_SECRET": "x", "ISA": "avx2"})
    assert unknown_variables() == ["PLM_PROT"]


def test_every_setting_is_documented_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "bot" / "SETTINGS.md").read_text("utf-8")
    documented = set(re.findall(r"\bPLM_[A-Z_]*[A-Z]\b", text))
    fields = {f"PLM_{name.upper()}" for name in Settings.model_fields} - {"PLM_WEBHOOKS"}
    others = {"PLM_CONFIG", "PLM_ISA", "PLM_CUDA", "PLM_OPS", "PLM_ADMIN_URL"}
    assert documented - {"PLM_WEBHOOK"} == fields | others


@pytest.mark.parametrize(
    ("command", "values", "line"),
    [
        ("serve", {"PLM_PORT": "x"}, "PLM_PORT"),
        ("web", {}, "PLM_REDIS_URL"),
        ("web", {"PLM_REDIS_URL": "nonsense"}, "PLM_REDIS_URL"),
        ("serve", {"PLM_MODEL": "no-such-model"}, "no-such-model"),
        ("serve", {"PLM_HOST": "203.0.113.1"}, "PLM_HOST"),
    ],
)
def test_a_wrong_setting_stops_the_start(
    tmp_path: Path, command: str, values: dict[str, str], line: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLM_")}
    environment = {**kept, "PLM_DATA_DIR": str(tmp_path), "PLM_PORT": str(free_port()), **values}
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"PORT": "99999"}, "PLM_PORT: must be a whole number from 1 to 65535"),
        ({"PORT": "eight"}, "PLM_PORT: must be a whole number from 1 to 65535"),
        ({"TEMPERATURE": "0"}, "PLM_TEMPERATURE: must be a number above 0, 10 at most"),
        ({"WECHAT_REPLAY_WINDOW": "-1"}, "PLM_WECHAT_REPLAY_WINDOW: must be a whole number from 0"),
        ({"WECHAT_PUSH": "always"}, "PLM_WECHAT_PUSH: must be 1 for yes or 0 for no"),
        ({"DEVICE": "tpu"}, "PLM_DEVICE: must be auto, cpu or cuda"),
        ({"HOST": "http://0.0.0.0"}, "PLM_HOST: must be an address alone, such as 127.0.0.1, 0.0.0.0 or ::"),
        ({"HOST": "localhost:8000"}, "PLM_HOST: must be an address alone"),
        ({"HOST": "x" * 200}, "PLM_HOST: must be an address alone"),
        ({"MODEL_DIR": "/nowhere"}, "PLM_MODEL_DIR: there is no folder /nowhere"),
        ({"DATA_DIR": "/dev/null"}, "PLM_DATA_DIR: /dev/null is no folder"),
        ({"DATA_DIR": "x" * 5000}, "PLM_DATA_DIR: cannot be a folder: File name too long"),
        ({"DATA_DIR": "~nobody-here/x"}, "PLM_DATA_DIR: ~nobody-here/x: there is no such user"),
        ({"LIBRARY": "/dev/null"}, "PLM_LIBRARY: /dev/null is neither a file nor a folder"),
        ({"WECHAT_REPLAY_WINDOW": "9" * 30}, "PLM_WECHAT_REPLAY_WINDOW: must be a whole number from 0 to"),
        ({"DISCLAIMER": '"仅供参考"'}, 'PLM_DISCLAIMER: has quotation marks around it ("…")'),
        ({"FORBIDDEN": "'甲,乙'"}, "PLM_FORBIDDEN: has quotation marks around it ('…')"),
        ({"DISCLAIMER": "示" * 301}, "PLM_DISCLAIMER: must have 300 characters at most"),
        (
            {"API_KEYS": LONG},
            "PLM_API_KEYS: entry 1 is not NAME:KEY: write its owner's name and a colon before the key",
        ),
        (
            {"API_KEYS": "shop:tooshort"},
            "PLM_API_KEYS: the key of entry 1 (NAME:KEY) must be 20 to 200 letters, digits or any of _.~+/=-",
        ),
        (
            {"RATE_LIMIT": "20"},
            "PLM_RATE_LIMIT: must be like 20/minute or 20/minute;500/day, or 0 for no limit",
        ),
        (
            {"RATE_LIMIT": "20/1000year"},
            "PLM_RATE_LIMIT: must be at most 1,000,000,000 in at most a year; 0 for no limit",
        ),
        ({"WEBHOOKS": "{}"}, "PLM_WEBHOOKS: there is no such variable; write PLM_WEBHOOK_<NAME>_SECRET"),
        ({"FORBIDDEN": "~nobody-here/x"}, "PLM_FORBIDDEN: the file ~nobody-here/x cannot be read"),
    ],
)  # fmt: skip
def test_a_complaint_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], line: str
) -> None:
    put(monkeypatch, values)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("value", ["0", "off", "None", " 0 "])
def test_no_limit_can_be_said(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    put(monkeypatch, {"RATE_LIMIT": value, "API_KEYS": f"shop:{LONG}::{value.strip()},lab:{LONG}2"})
    settings = load_settings()
    assert settings.rate_limit == ()
    assert [key.rates for key in settings.api_keys] == [(), None]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("wecom_corpid = 5", "PLM_WECOM_CORPID: must be a text: in the file, write it in quotation marks"),
        ("rate_limit = 5", "PLM_RATE_LIMIT: must be a text in quotation marks, or a list of such texts"),
        ("[webhooks]\nshop = 5", "PLM_CONFIG: must have a table [webhooks.shop] with secret, perhaps url"),
        (
            f'[webhooks.shop]\nsecret = "{GOOD}"\nurls = ""',
            "PLM_CONFIG: [webhooks.shop] has secret and url, and no 'urls'",
        ),
    ],
)  # fmt: skip
def test_a_complaint_about_the_file_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, line: str
) -> None:
    (tmp_path / "plm.toml").write_text(text)
    put(monkeypatch, {"CONFIG": str(tmp_path / "plm.toml")})
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == line


def test_a_file_may_begin_with_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "plm.toml"
    words = tmp_path / "words.txt"
    words.write_bytes("甲\r\n# remark\r\n乙\r\n".encode("utf-8-sig"))
    file.write_bytes(f'port = 81\r\nforbidden = "{words}"\r\n'.encode("utf-8-sig"))
    put(monkeypatch, {"CONFIG": str(file)})
    assert (load_settings().port, load_settings().forbidden) == (81, ("甲", "乙"))
    file.write_bytes("port = 81".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"is not UTF-8: save it as UTF-8$"):
        load_settings()
    put(monkeypatch, {"CONFIG": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        load_settings()


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(monkeypatch, {"DATA_DIR": "~/data", "MODEL_DIR": "~", "HOST": "::1"})
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load_settings()
    assert (settings.data_dir, settings.model_dir, settings.host) == (tmp_path / "data", tmp_path, "::1")
