"""Settings that are URLs: an unencoded password is never quoted, and the complaint says how to write it."""

from __future__ import annotations

import os
import re

import click
import pytest
import redis
from click.testing import CliRunner

from bot.cli import doctor, main
from bot.cli.admin_api import Api
from bot.inference.remote import RemoteEngine
from bot.settings.config import ConfigError, load_settings
from bot.settings.urls import ENCODE, check_callback_url, check_redis_url, check_url, without_secrets
from bot.store.connection import connect


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost", "redis://localhost:6379/", "redis://h:1/15", "rediss://user:p%23w@h.example:6380/0",
        "redis://:pass@my_redis:6379", "redis://u:p@ss@h", "redis://[::1]:6379/0", "unix:///run/redis.sock",
        "unix:///run/a@b.sock?db=2", "unix://u:p@/run/redis.sock", "unix:///home/%E7%94%A8/plm.sock",
        "redis://h?db=3&socket_timeout=1.5", "rediss://h?ssl_cert_reqs=none",
        "redis+sentinel://a:26379,b:26379/main", "redis+sentinel://u:p@a:26379/main/3",
    ],
)  # fmt: skip
def test_what_redis_urls_may_be(url: str) -> None:
    assert check_redis_url(url) == url
    client = connect(url, 0.1)
    client.connection_pool.get_connection if "sentinel" in url else client.connection_pool.make_connection()
    client.close()


SECRET = "hunter2bunny"


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("redis://:hunter2#bunny@h:6379/0", ENCODE),
        ("redis://:hunter2/bunny@h:6379/0", ENCODE),
        ("redis://:hunter2?bunny@h:6379/0", ENCODE),
        ("redis://hunter2?bunny@h:6379/0", ENCODE),
        ("redis://hunter2/bunny@h:6379/0", ENCODE),
        ("unix://:hunter2/bunny@/run/redis.sock", ENCODE),
        ("redis+sentinel://:hunter2/bunny@h:26379/main", ENCODE),
        ("redis+sentinel://:hunter2#bunny@h:26379/main", ENCODE),
        ("redis://:hunter2[bunny@h:6379/0", "%5B"),
        ("redis://:hunter2／bunny@h:6379/0", "%-encoded"),
        ("redis://:hunter2 bunny@h:6379/0", "%20"),
        ("redis://:hunter2bunny", "port"),
        ("redis://h:6379/hunter2bunny", "the number of a database"),
        ("redis://h:6379/0/1", "the number of a database"),
        ("redis://h:99999", "1 to 65535"),
        ("redis://:6379", "no host"),
        ("redis://h?hunter2bunny=1", "none of db, username"),
        ("redis://h?decode_responses=true", "none of db, username"),
        ("redis://h?ssl_cert_reqs=none", "none of db, username"),
        ("redis://h?socket_timeout=hunter2bunny", "socket_timeout after ? has a wrong value"),
        ("redis://hunter2..bunny:6379", "a host that cannot be one"),
        ("unix://run/redis.sock", "a path that starts with /"),
        ("hunter2bunny:6379", "must be redis://host:port/0"),
        ("http://h:6379", "must be redis://host:port/0"),
    ],
)
def test_a_redis_url_that_is_wrong_is_not_quoted(url: str, mend: str) -> None:
    with pytest.raises(ValueError, match=re.escape(mend)) as caught:
        check_redis_url(url)
    assert "hunter" not in str(caught.value)
    assert "bunny" not in str(caught.value)


def test_what_passes_is_parsed_by_the_library_without_a_complaint() -> None:
    """Its own complaints quote what it stumbled over."""
    for mark in "#/?@%:[]&=+ ;,\\^|<>\"'{}~`!$*()\u2100\uff0f":
        url = f"redis://:hunter2{mark}bunny@localhost:6379/0"
        try:
            check_redis_url(url)
        except ValueError:
            continue
        found = redis.ConnectionPool.from_url(url).connection_kwargs
        assert (found["password"], found["host"], found["db"]) == (f"hunter2{mark}bunny", "localhost", 0)


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("https://u:hunter2#bunny@h/x", ENCODE),
        ("https://u:hunter2/bunny@h/x", ENCODE),
        ("https://u:hunter2?bunny@h/x", ENCODE),
        ("https://u:hunter2[bunny@h/x", "%5B"),
        ("https://hunter2bunny:port", ENCODE),
        ("https://h:0", "1 to 65535"),
        ("https://", "no host"),
        ("https://h/hunter2 bunny", "%20"),
        ("hunter2bunny.example", "starts with http:// or https://"),
        ("ftp://hunter2bunny", "starts with http:// or https://"),
    ],
)
def test_an_address_that_is_wrong_is_not_quoted(url: str, mend: str) -> None:
    for check in (check_url, check_callback_url):
        with pytest.raises(ValueError, match=re.escape(mend)) as caught:
            check(url)
        assert "hunter" not in str(caught.value)


def test_what_addresses_may_be() -> None:
    assert check_url("HTTPS://api.example:8443/base/") == "HTTPS://api.example:8443/base"
    assert check_callback_url("https://例子.example/到?key=1") == "https://例子.example/到?key=1"
    assert check_url("http://u:p@[::1]:8000") == "http://u:p@[::1]:8000"
    with pytest.raises(ValueError, match="to which paths are added"):
        check_url("https://h/x?key=1")


@pytest.mark.parametrize(
    "name",
    [
        "REDIS_URL", "ENGINE_URL", "WECHAT_API_URL", "WECOM_API_URL", "FEISHU_API_URL", "DINGTALK_API_URL",
        "TELEGRAM_API_URL", "WEBHOOK_SHOP_URL",
    ],
)  # fmt: skip
def test_no_setting_quotes_a_url(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in os.environ:
        if variable.startswith("PLM_"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("PLM_WEBHOOK_SHOP_SECRET", "whsec_" + "A" * 32)
    scheme = "redis" if name == "REDIS_URL" else "https"
    monkeypatch.setenv("PLM_" + name, f"{scheme}://u:hunter2#bunny@h")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"PLM_{name}: ")
    assert ENCODE in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_what_is_shown_of_a_url() -> None:
    assert without_secrets("https://u:p@h:1/base?key=2") == "https://h:1/base"
    assert without_secrets("http://h:1") == "http://h:1"


def test_messages_show_no_password_of_an_address() -> None:
    url = "http://u:hunter2@127.0.0.1:1"
    remote = RemoteEngine(url)
    with pytest.raises(click.ClickException) as asked:
        Api(url, "key").get("stats")
    with pytest.raises(ConfigError) as looked:
        doctor.check_clock(None, url)
    for said in (remote.ready() or "", asked.value.message, str(looked.value)):
        assert "http://127.0.0.1:1" in said
        assert "hunter2" not in said
    remote.close()
    refused = CliRunner().invoke(main, ["doctor", "--url", "bot.example"])
    assert (refused.exit_code, "starts with http:// or https://" in refused.output) == (2, True)
