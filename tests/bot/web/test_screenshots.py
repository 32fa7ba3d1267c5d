"""The two pictures of the READMEs: the chat page, and a conversation over the WeChat endpoint.

No WeChat client runs here: the conversation is real (encrypted messages through /wechat, the service's
replies), the phone around it is drawn by this test. The answers are those of a small library; with
PLM_SCREENSHOTS=FOLDER the pictures are written there, with answers of the bundled books, built anew if
PLM_LIBRARY does not name a folder that has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from flask import Flask
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bot.app import create_app
from bot.settings.config import DISCLAIMER, load_settings
from bot.store.conversations import Store
from bot.text.records import Conversation
from bot.web.visitor import COOKIE
from tests import small_library
from tests.bot.web.test_page import Browser, driver
from tests.service import served
from tests.wechat_platform import Platform

__all__ = ["driver"]
TOKEN, AES_KEY, APPID, USER = "AAAAA", "A" * 43, "wxba5fad812f8e6fb9", "oReader"
FOLDER = os.environ.get("PLM_SCREENSHOTS")
ON_THE_PAGE = (
    ("失眠怎么调理？", "桂枝汤由哪些药组成？") if FOLDER else (small_library.HERB, small_library.FORMULA)
)
OVER_WECHAT = "酸枣仁汤由哪些药组成" if FOLDER else small_library.FORMULA
POISONED = "我妈喝了百草枯"
WIDTH, HEIGHT, SCALE = 390, 1060, 1.5  # of each picture in CSS pixels; image pixels for each
MOST = 250_000  # bytes of a picture
WECHAT = """<!doctype html>
<html lang="zh-CN"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>WeChat</title>
<style>
  * {{ box-sizing: border-box; }}
  body {{ display: flex; flex-direction: column; min-height: 100vh; margin: 0; background: #ededed;
      color: #111; font: 15px/1.5 "Noto Sans CJK SC", sans-serif; }}
  header, footer {{ padding: 11px; border: solid #d5d5d5; border-width: 0 0 1px; text-align: center; }}
  header {{ font-weight: 600; }}
  footer {{ border-width: 1px 0 0; background: #f7f7f7; color: #666; font-size: 12px; }}
  main {{ flex: 1; padding: 4px 12px 12px; }}
  p {{ width: fit-content; max-width: 88%; margin: 10px 0 0; padding: 8px 11px; border-radius: 6px;
      background: #fff; white-space: pre-wrap; overflow-wrap: anywhere; }}
  p.user {{ margin-left: auto; background: #95ec69; }}
</style>
<header>personal-lm</header><main>{turns}</main>
<footer>按 /wechat 接口的真实对话绘制 · a rendering, not a WeChat client</footer>
"""


@pytest.fixture
def app(store: Store, tmp_path: Path) -> Flask:
    named = os.environ.get("PLM_LIBRARY", "none")
    folder = Path(named) if FOLDER and named != "none" else tmp_path / "library"
    if not FOLDER:
        small_library.write(folder)
    settings = load_settings(
        redis_url=store.url, model="tcm", library=folder, data_dir=tmp_path, disclaimer=DISCLAIMER,
        wechat_token=TOKEN, wechat_aes_key=AES_KEY, wechat_appid=APPID,
    )  # fmt: skip
    app = create_app(settings, store=store)
    assert app.extensions["plm"].library.wait(600), "the library is ready"
    return app


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    with served(app) as url:
        yield url


def shoot(driver: webdriver.Chrome, path: Path) -> None:
    """Keep what is in the window: all there is, in a file that a README can carry."""
    hidden = """return [...document.querySelectorAll("#scroll, html")]
        .filter(one => one.scrollHeight > one.clientHeight)
        .map(one => `${one.tagName}: ${one.scrollHeight} of ${one.clientHeight}`)"""
    driver.save_screenshot(str(path))
    assert driver.execute_script(hidden) == []
    assert 20_000 < path.stat().st_size <= MOST


def place(name: str, tmp_path: Path) -> Path:
    return (Path(FOLDER) if FOLDER else tmp_path) / name


def resize(driver: webdriver.Chrome) -> None:
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_the_chat_page_shows_answers_with_their_quotations(
    driver: webdriver.Chrome, url: str, store: Store, tmp_path: Path
) -> None:
    browser = Browser(driver, url).open()
    resize(driver)
    for number, question in enumerate(ON_THE_PAGE, 1):
        browser.type(question, Keys.ENTER)
        browser.wait_for_answer(number)
    turns = store.turns(Conversation("page", driver.get_cookie(COOKIE)["value"]))
    quotes = [citation["quote"] for turn in turns for citation in turn.get("citations", ())]
    assert len(quotes) >= len(ON_THE_PAGE)
    assert browser.texts("#log .quotation blockquote") == quotes
    assert DISCLAIMER in browser.texts("#disclaimer")
    driver.execute_script("document.activeElement.blur()")
    shoot(driver, place("chat.png", tmp_path))


def test_a_wechat_conversation_shows_an_answer_its_source_and_an_emergency(
    driver: webdriver.Chrome, url: str, store: Store, tmp_path: Path
) -> None:
    wechat = Platform(url + "/wechat", TOKEN, appid=APPID, aes_key=AES_KEY, mode="safe")
    asked = (OVER_WECHAT, "出处", POISONED)
    said = [wechat.ask(USER, text) for text in asked]
    answer = store.turns(Conversation("wechat", USER))[1]
    for citation in answer["citations"]:
        assert f"「{citation['quote']}」——《{citation['book']}" in said[0]
        assert citation["quote"] in said[1]
    assert "120" in said[2]
    turns = [
        f'<p class="{role}">{escape(text)}</p>'
        for pair in zip(asked, said, strict=True)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    page = tmp_path / "wechat.html"
    page.write_text(WECHAT.format(turns="".join(turns)), "utf-8")
    driver.get(page.as_uri())
    resize(driver)
    shown = [element.text for element in driver.find_elements(By.TAG_NAME, "p")]
    assert shown == [text for pair in zip(asked, said, strict=True) for text in pair]
    shoot(driver, place("wechat.png", tmp_path))
