"""Quotations on the chat page and the library on the administrators': over HTTP and in a real browser."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bot.store.conversations import Store
from bot.web import passages
from engine.library import Library
from tests import small_library
from tests.bot.admin_client import KEY, AdminClient
from tests.bot.web.test_page import DESKTOP, PHONE, Browser, driver
from tests.engine.library.documents_fixtures import TEXT
from tests.service import served, wait_until
from tests.small_library import FORMULA, HERBS, SHANGHAN, UNKNOWN

__all__ = ["driver"]
ADDRESS = "http://127.0.0.1:9/"  # of a webhook that these tests do not use


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return small_library.write(tmp_path / "library")


@pytest.fixture
def host(store: Store, library: Library) -> Iterator[AdminClient]:
    host = AdminClient(store, ADDRESS, library=library.folder)
    assert host.bot.library
    assert host.bot.library.wait(20)
    yield host
    host.close()


@pytest.fixture
def visitor(host: AdminClient) -> FlaskClient:
    client = host.app.test_client()
    assert client.get("/").status_code == 200
    return client


def ask(visitor: FlaskClient, text: str) -> tuple[str, dict[str, Any]]:
    """What is said, and how it ends."""
    response = visitor.post("/page/chat", json={"id": secrets.token_hex(16), "text": text})
    parts = [json.loads(line) for line in response.text.splitlines()]
    return "".join(part.get("text", "") for part in parts), parts[-1]


def passage(visitor: FlaskClient, **query: object) -> Any:
    return visitor.get("/library/passage", query_string=query)


# Over HTTP ---------------------------------------------------------------------------------------


def test_an_answer_ends_with_its_citations(visitor: FlaskClient, library: Library) -> None:
    text, end = ask(visitor, FORMULA)
    (citation,) = end["citations"]
    assert (citation["book"], citation["quote"]) == (SHANGHAN, HERBS)
    assert citation["quote"] in text
    source = library.source(SHANGHAN)
    assert library.text(source.id, citation["start"], citation["end"]) == HERBS
    assert "data-citations" in visitor.get("/").text


def test_an_abstention_ends_as_one(visitor: FlaskClient) -> None:
    _, end = ask(visitor, UNKNOWN)
    assert end == {"done": True, "abstained": True}
    assert 'class="turn assistant abstained"' in visitor.get("/").text


def test_a_quotation_opens_to_its_passage(visitor: FlaskClient) -> None:
    _, end = ask(visitor, FORMULA)
    cited = end["citations"][0]
    found = passage(visitor, book=cited["book"], start=cited["start"], end=cited["end"])
    assert found.headers["Cache-Control"] == "no-store"
    around = found.json
    assert (around["book"], around["author"], around["dynasty"]) == (SHANGHAN, "张仲景", "东汉")
    assert around["quote"] == HERBS
    assert around["heading"] == "辨太阳病脉证并治中"
    assert "麻黄汤主之" in around["before"]
    assert "以水九升" in around["after"]


def test_no_passage_of_what_is_disabled_removed_or_never_was(
    visitor: FlaskClient, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, end = ask(visitor, FORMULA)
    cited = {key: end["citations"][0][key] for key in ("book", "start", "end")}
    for wrong in (
        {**cited, "book": "没有这本"}, {**cited, "start": cited["start"] + 1},  # cuts a character
        {**cited, "end": 10**9, "start": 10**9 - 3},
    ):  # fmt: skip
        assert passage(visitor, **wrong).status_code == 404, wrong
    for wrong in (
        {}, {**cited, "start": "-1"}, {**cited, "end": "１０"}, {**cited, "end": cited["start"]},
        {**cited, "end": cited["start"] + passages.MAX_QUOTE + 1}, {**cited, "end": "9" * 30},
    ):  # fmt: skip
        assert passage(visitor, **wrong).status_code == 400, wrong
    with library.writer() as writer:
        writer.set_enabled(library.source(SHANGHAN).id, False)
    assert passage(visitor, **cited).status_code == 404
    page = visitor.get("/").text
    assert HERBS not in page
    assert "引文已从书库移除" in page
    with library.writer() as writer:
        writer.set_enabled(library.source(SHANGHAN).id, True)
    assert HERBS in visitor.get("/").text
    small_library.remove(library, SHANGHAN)
    assert passage(visitor, **cited).status_code == 404
    assert HERBS not in visitor.get("/").text


def test_passages_have_a_rate(visitor: FlaskClient) -> None:
    statuses = [passage(visitor, book="x", start=0, end=3).status_code for _ in range(61)]
    assert statuses == [404] * 60 + [429]
    assert passage(visitor, book="x", start=0, end=3).headers["Retry-After"].isdigit()


# In a browser ------------------------------------------------------------------------------------


@pytest.fixture
def url(host: AdminClient) -> Iterator[str]:
    with served(host.app) as url:
        yield url


@pytest.fixture
def browser(driver: webdriver.Chrome, url: str) -> Iterator[Browser]:
    driver.get_log("browser")
    yield Browser(driver, url)
    complaints = [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]
    assert complaints == []


def shown(browser: Browser, selector: str) -> list[str]:
    # In one step: the page may be changing.
    script = """return [...document.querySelectorAll(arguments[0])]
        .filter(one => one.checkVisibility()).map(one => one.innerText.trim())"""
    found: list[str] = browser.driver.execute_script(script, selector)
    return found


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (DESKTOP, True)])
def test_cards_open_and_are_copied(
    browser: Browser, library: Library, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    browser.open(size, dark)
    browser.type(FORMULA, Keys.ENTER)
    browser.wait_for_answer()
    assert shown(browser, ".quotation blockquote") == [HERBS]
    assert shown(browser, ".quotation cite") == [f"《{SHANGHAN}·辨太阳病脉证并治中》"]
    assert browser.find(".turn.assistant .text").text.count(HERBS) == 1
    browser.find(".quotation .open").send_keys(Keys.ENTER)
    wait_until(lambda: shown(browser, ".passage mark") == [HERBS.strip()], 5, "the passage is shown")
    assert "麻黄汤主之" in browser.find(".passage").text
    assert browser.find(".quotation .open").get_attribute("aria-expanded") == "true"
    browser.shoot(tmp_path / "opened.png")
    browser.click(".quotation .copy")
    wait_until(lambda: shown(browser, ".copy") == ["已复制"], 3, "it is copied")
    assert browser.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    browser.type(UNKNOWN, Keys.ENTER)
    browser.wait_for_answer(2)
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, ".turn.abstained")) == 1
    browser.shoot(tmp_path / "abstained.png")

    browser.driver.refresh()
    assert shown(browser, ".quotation blockquote") == [HERBS]
    small_library.remove(library, SHANGHAN)
    browser.click(".quotation .open")
    wait_until(lambda: shown(browser, ".passage.failed") == ["这段原文已不在书库中。"], 5, "it says so")
    browser.driver.get_log("browser")  # the 404 is meant
    browser.driver.refresh()
    assert HERBS not in browser.find("#log").text


def test_an_example_asks_its_question(browser: Browser) -> None:
    browser.open(language="en")
    assert "Guizhi Tang" in browser.find(".example").text
    browser.click(".example")
    browser.wait_for_answer()
    assert browser.turns()[0] == ("user", "桂枝汤由哪些药组成？")


@pytest.fixture
def admin(browser: Browser) -> Browser:
    """The administrators' page, signed in."""
    browser.open(DESKTOP)
    browser.driver.get(browser.url + "/admin")
    values = {"plm-language": "zh-CN", "plm-key": KEY}
    script = "sessionStorage.clear(); for (const key in arguments[0]) sessionStorage[key] = arguments[0][key]"
    browser.driver.execute_script(script, values)
    browser.driver.refresh()
    wait_until(lambda: SHANGHAN in "".join(shown(browser, "#sources")), 10)
    return browser


def test_the_hit_test(admin: Browser, tmp_path: Path) -> None:
    admin.find("#question").send_keys(FORMULA, Keys.ENTER)
    wait_until(lambda: shown(admin, "#said .said"), 10, "the answer is shown")
    assert HERBS in admin.find("#said .said").text
    assert f"《{SHANGHAN}" in admin.find("#said ol li").text
    assert "标题" in admin.find("#said ol").text or "正文" in admin.find("#said ol").text
    admin.shoot(tmp_path / "hits.png")
    admin.find("#question").clear()
    admin.find("#question").send_keys(UNKNOWN, Keys.ENTER)
    wait_until(lambda: shown(admin, "#said .abstained"), 10, "the abstention is shown")
    assert "不回答" in admin.find("#said .abstained").text


def test_files_are_uploaded_disabled_and_removed(admin: Browser, tmp_path: Path, host: AdminClient) -> None:
    good, bad = tmp_path / "门诊.txt", tmp_path / "坏.pdf"
    good.write_bytes(TEXT.encode("gbk"))
    bad.write_bytes(b"PK\x03\x04")
    admin.find("#files").send_keys(f"{good}\n{bad}")
    admin.click("#upload button")
    wait_until(lambda: len(shown(admin, "#outcomes li")) == 2, 20, "each file has its outcome")
    first, second = shown(admin, "#outcomes li")
    assert "已加入" in first
    assert "没有加入" in second
    assert "不是 pdf，而是 zip 压缩包" in second
    wait_until(lambda: "门诊" in "".join(shown(admin, "#sources li:first-child")), 5, "it is listed")
    admin.shoot(tmp_path / "uploaded.png")
    row = "#sources li:first-child "
    admin.click(row + ".act:nth-of-type(1)")
    wait_until(lambda: "已停用" in "".join(shown(admin, row.strip())), 5, "it is disabled")
    assert "每天九点" not in host.post("library/search", query=TEXT).text
    admin.click(row + ".act:nth-of-type(2)")
    admin.driver.switch_to.alert.accept()
    wait_until(lambda: "门诊" not in "".join(shown(admin, "#sources")), 5, "it is removed")


def test_an_unanswered_question_becomes_a_pair(admin: Browser, visitor: FlaskClient) -> None:
    ask(visitor, UNKNOWN)
    admin.click("#better-again")
    wait_until(lambda: "量子" in "".join(shown(admin, "#unanswered")), 5, "it is listed")
    admin.find("#unanswered .act").send_keys(Keys.ENTER)
    wait_until(lambda: shown(admin, "#pair"), 5, "the form is open")
    assert "量子" in str(admin.find("#pair-questions").get_property("value"))
    admin.find("#pair-answer").send_keys("我们是诊所，不讲物理。")
    admin.click("#pair-form button[type=submit]")
    wait_until(lambda: not shown(admin, "#pair"), 10, "it is saved")
    assert ask(visitor, UNKNOWN)[0] == "我们是诊所，不讲物理。"


def test_narrow_screens_hold_all_of_it(admin: Browser) -> None:
    for width in (320, PHONE[0]):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        admin.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        time.sleep(0.2)
        assert admin.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    buttons = [one for one in admin.driver.find_elements(By.TAG_NAME, "button") if one.is_displayed()]
    assert all(button.accessible_name for button in buttons)
