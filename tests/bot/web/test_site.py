"""The site around the conversation: what its owner sets, icons, choices, the privacy page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from bot.settings.config import ConfigError, load_settings
from bot.settings.page import MAX_LOGO, image_type
from bot.store.conversations import Store
from bot.web.strings import EXAMPLES, STRINGS
from tests.bot.admin_client import AdminClient

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
Open = Callable[..., FlaskClient]


@pytest.fixture
def visit(store: Store) -> Iterator[Open]:
    hosts: list[AdminClient] = []

    def make(**settings: Any) -> FlaskClient:
        hosts.append(AdminClient(store, "http://127.0.0.1:9/", **settings))
        return hosts[-1].app.test_client()

    yield make
    for host in hosts:
        host.close()


def text(client: FlaskClient, path: str = "/", language: str = "zh-CN") -> str:
    response = client.get(path, headers={"Accept-Language": language})
    assert response.status_code == 200
    return unescape(response.text)


def fetch(client: FlaskClient, path: str) -> tuple[bytes, str]:
    """A file's bytes and type."""
    with client.get(path) as response:
        assert response.status_code == 200
        return response.data, response.mimetype


def test_language_and_theme_are_chosen_and_remembered(visit: Open) -> None:
    client = visit()
    assert '<html lang="zh-CN">' in text(client)
    for path, place in (("/?language=en&talk=3", "./?talk=3"), ("/privacy?theme=dark", "privacy")):
        response = client.get(path)
        assert (response.status_code, response.headers["Location"]) == (303, place)
        assert all(word in response.headers["Set-Cookie"] for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
    for path in ("/", "/privacy"):
        page = text(client, path)
        assert '<html lang="en" data-theme="dark">' in page
        assert '<meta name="color-scheme" content="dark">' in page
        assert f'aria-current="true">{STRINGS["en"]["dark"]}<' in page
    client.get("/?theme=system&language=zh")
    assert '<html lang="zh-CN">' in text(client, language="en")
    for odd in ("/?theme=blue", "/?language=", "/?theme=dark%0d%0aX"):
        assert "Set-Cookie" not in client.get(odd).headers
    client.set_cookie("plm_theme", '"><script>')
    assert '<html lang="zh-CN">' in text(client)


def test_the_english_page_suggests_in_english(visit: Open) -> None:
    page = text(visit(), language="en")
    labels = [label for label, _ in EXAMPLES["en"]]
    assert [label for label in labels if f">{label}<" not in page or not label.isascii()] == []


def test_the_owner_names_the_page(visit: Open, tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(PNG)
    client = visit(
        page_title="仁心堂 <问答>",
        page_logo=logo,
        page_examples="几点开门？|在哪里？",
        page_contact="店里 010-1234",
    )
    page = text(client)
    assert "<h1>仁心堂 <问答></h1>" in page
    assert "<h1>仁心堂 &lt;" in client.get("/").text
    assert "personal-lm" not in page
    assert [one for one in ("几点开门？", "在哪里？") if f'data-question="{one}"' not in page] == []
    assert "桂枝汤" not in page
    assert page.count("/page/logo") >= 4  # icon, touch icon, head, welcome
    for path in ("/page/logo", "/favicon.ico"):
        assert fetch(client, path) == (PNG, "image/png")
    manifest = client.get("/manifest.webmanifest").get_json(force=True)
    assert (manifest["name"], manifest["icons"][0]["src"]) == ("仁心堂 <问答>", "/page/logo")
    assert "店里 010-1234" in text(client, "/privacy")
    logo.unlink()
    assert fetch(client, "/page/logo")[0].startswith(b"<svg")  # lost while it runs: the project's own


def test_without_an_owner_there_are_the_projects_icons(visit: Open) -> None:
    client = visit(page_examples="none")
    assert 'class="example"' not in text(client)
    for path, mimetype, begin in (
        ("/favicon.ico", "image/vnd.microsoft.icon", b"\0\0\1\0"), ("/page/logo", "image/svg+xml", b"<svg"),
        ("/static/touch-icon.png", "image/png", PNG[:8]),
    ):  # fmt: skip
        data, kind = fetch(client, path)
        assert (data[: len(begin)], kind in (mimetype, "image/x-icon")) == (begin, True)
    manifest = client.get("/manifest.webmanifest")
    assert manifest.mimetype == "application/manifest+json"
    for icon in manifest.get_json(force=True)["icons"]:
        assert fetch(client, icon["src"])[0]
    assert "manifest-src 'self'" in client.get("/").headers["Content-Security-Policy"]


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_the_privacy_page_says_what_holds_here(visit: Open, language: str) -> None:
    quiet = text(visit(keep_days=2.5), "/privacy", language)
    assert quiet.count("2.5") >= 3
    assert "plm_page" in quiet
    loud = text(visit(log_text=True, rate_limit="9/minute"), "/privacy", language)
    logged = {"zh-CN": "<b>以及问题和回答的文字</b>", "en": "<b>and the texts of questions and answers</b>"}[
        language
    ]
    limited = {"zh-CN": "提问的次数", "en": "asked questions"}[language]
    assert (logged in loud, limited in loud) == (True, True)
    assert (logged in quiet, limited in quiet) == (False, False)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF0000WEBPVP8 ", "image/webp"),
        (b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="s">', "image/svg+xml"),
        (b"\xef\xbb\xbf<svg>", "image/svg+xml"), (b"<html><svg>", None), (b"", None), (b"GIF89a", None),
    ],
)  # fmt: skip
def test_pictures_are_known_by_how_they_begin(data: bytes, found: str | None) -> None:
    assert image_type(data) == found


def test_wrong_settings_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "large.png").write_bytes(PNG + b"0" * MAX_LOGO)
    for name, wrong in (
        ("logo", tmp_path / "none.png"), ("logo", tmp_path / "page.html"), ("logo", tmp_path / "large.png"),
        ("title", "长" * 41), ("title", "two\nlines"), ("contact", "x" * 201),
        ("examples", "|".join("1234567")), ("examples", "问" * 101),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"^PLM_PAGE_{name.upper()}: [^\n]+$"):
            load_settings(**{f"page_{name}": wrong})
