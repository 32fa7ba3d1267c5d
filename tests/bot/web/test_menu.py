"""The chat page in a real browser: what is below an answer, the menu, the length of a question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bot.store.conversations import Store
from bot.store.feedback import FeedbackStore
from bot.text import dialogue
from bot.text.records import Conversation
from bot.web.strings import STRINGS
from bot.web.visitor import COOKIE
from tests.bot.admin_client import AdminClient
from tests.bot.scripted_engine import ScriptedEngine
from tests.bot.web.test_page import DESKTOP, PHONE, Browser, driver
from tests.service import served, wait_until

__all__ = ["driver"]
SAYS = STRINGS["zh-CN"]


@pytest.fixture
def host(store: Store) -> Iterator[AdminClient]:
    numbers = iter(range(1, 1000))
    host = AdminClient(store, "http://127.0.0.1:9/", ScriptedEngine(lambda prompt: f"答{next(numbers)}。"))
    yield host
    host.close()


@pytest.fixture
def browser(driver: webdriver.Chrome, host: AdminClient) -> Iterator[Browser]:
    driver.get_log("browser")
    with served(host.app) as url:
        yield Browser(driver, url).open(PHONE)
        loaded = "return document.readyState === 'complete'"  # else the server goes while it fetches an icon
        wait_until(lambda: driver.execute_script(loaded), 10, "the last page is loaded")
    complaints = [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]
    assert complaints == []


def shown(browser: Browser, selector: str) -> list[str]:
    script = """return [...document.querySelectorAll(arguments[0])].filter(one => one.checkVisibility())
        .map(one => one.getAttribute("aria-label") || one.textContent)"""
    found: list[str] = browser.driver.execute_script(script, selector)
    return found


def ask(browser: Browser, text: str, number: int = 1) -> str:
    browser.type(text, Keys.ENTER)
    return browser.wait_for_answer(number)


def conversation(browser: Browser) -> Conversation:
    return Conversation("page", str(browser.driver.get_cookie(COOKIE)["value"]))


def root(browser: Browser) -> dict[str, str | None]:
    """Language and theme of the page."""
    script = "const page = document.documentElement; return {lang: page.lang, theme: page.dataset.theme}"
    found: dict[str, str | None] = browser.driver.execute_script(script)
    return found


def accept(browser: Browser) -> str:
    alert: Any = browser.driver.switch_to.alert
    said = str(alert.text)
    alert.accept()
    return said


def test_an_answer_is_copied_rated_and_given_again(browser: Browser, store: Store) -> None:
    actions = [SAYS[name] for name in ("copy_answer", "again", "up", "down")]
    ask(browser, "第一个问题")
    assert shown(browser, ".turn .actions button") == actions
    assert ask(browser, "第二个问题", 2) == "答2。"
    assert shown(browser, ".turn .actions button") == [actions[0], *actions[2:], *actions]
    ask(browser, "帮助", 3)
    assert shown(browser, ".turn:last-child .actions button") == actions[:1]  # a command is only copied
    browser.driver.refresh()
    last = ".turn:last-child "
    browser.click(last + ".copy-answer")
    wait_until(lambda: browser.texts("#status") == [SAYS["copied"]], 3, "it is said")
    browser.find(last + ".down").send_keys(Keys.ENTER)
    wait_until(lambda: browser.texts("#status") == [SAYS["thanks"]], 3, "it is said")
    (disliked,) = FeedbackStore(store).marked_down(9)
    assert (disliked.question, disliked.answer) == ("第二个问题", "答2。")
    browser.driver.refresh()
    assert browser.find(last + ".down").get_attribute("aria-pressed") == "true"
    browser.click(last + ".again")
    wait_until(lambda: not browser.busy and browser.turns()[-1][1] == "答3。", 5, "another answer")
    assert [text for _, text in browser.turns()] == ["第一个问题", "答1。", "第二个问题", "答3。"]
    assert browser.find(last + ".down").get_attribute("aria-pressed") == "false"
    browser.driver.refresh()
    assert [text for _, text in browser.turns()] == ["第一个问题", "答1。", "第二个问题", "答3。"]
    assert store.turns(conversation(browser))[-1]["content"] == "答3。"


def test_a_question_that_is_too_long_stays_in_the_box(browser: Browser, store: Store) -> None:
    put = """const box = document.getElementById("text"); box.value = arguments[0];
        box.dispatchEvent(new Event("input", { bubbles: true }))"""
    assert not browser.find("#count").is_displayed()
    for length, counted in ((1700, "1,700 / 2,000 字"), (2003, "2,003 / 2,000 字")):
        browser.driver.execute_script(put, "长" * length)
        assert shown(browser, "#count") == [counted]
    assert "2,000" in browser.texts("#status")[0]
    browser.click("#send")
    wait_until(lambda: not browser.busy and browser.turns() == [], 5, "it is refused")
    assert browser.find("#text").get_property("value") == "长" * 2003
    assert "2,000" in browser.texts("#status")[0]
    assert store.turns(conversation(browser)) == []
    browser.driver.execute_script(put, "短")
    assert (browser.texts("#status"), shown(browser, "#count")) == ([""], [])
    browser.driver.get_log("browser")  # the 413 is meant


def test_the_menu_with_the_keyboard(browser: Browser, store: Store, tmp_path: Path) -> None:
    """Earlier talks, help, language and theme, and being forgotten; on a phone's screen."""
    ask(browser, "第一个问题")
    browser.click("#fresh")
    wait_until(lambda: browser.turns() == [], 5, "a new talk")
    ask(browser, "第二个问题")
    browser.find("#open-menu").send_keys(Keys.ENTER)
    wait_until(lambda: shown(browser, "#talks .name") == ["第二个问题", "第一个问题"], 5, "they are listed")
    browser.shoot(tmp_path / "menu.png")
    assert browser.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    buttons = browser.driver.find_elements(By.CSS_SELECTOR, "#menu :is(a, button)")
    assert all(button.accessible_name for button in buttons)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "close-menu"
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.find("#menu").is_displayed()

    browser.click("#open-menu")
    wait_until(lambda: len(shown(browser, "#talks .name")) == 2, 5)
    browser.click("#talks li:last-child .open")
    wait_until(lambda: browser.turns()[:1] == [("user", "第一个问题")], 5, "the earlier talk")
    ask(browser, "还有呢？", 2)
    assert [turn["talk"] for turn in store.turns(conversation(browser))] == [0, 0, 1, 1, 0, 0]

    browser.click("#open-menu")
    browser.click("#help")
    assert browser.wait_for_answer(3) == dialogue.HELP
    browser.click("#open-menu")
    wait_until(lambda: len(shown(browser, "#talks .name")) == 2, 5)
    browser.click("#talks li:last-child .erase")
    assert "第二个问题" in accept(browser)
    wait_until(lambda: shown(browser, "#talks .name") == ["第一个问题"], 5, "it is deleted")
    assert len(store.turns(conversation(browser))) == 4

    for choice, name, value in (("theme=dark", "theme", "dark"), ("language=en", "lang", "en")):
        browser.click(f'.choices a[href*="{choice}"]')
        wait_until(lambda n=name, v=value: root(browser)[n] == v, 5, choice)  # type: ignore[misc]
        browser.click("#open-menu")
    assert len(browser.turns()) == 4
    user = conversation(browser)
    browser.click("#forget")
    assert accept(browser) == STRINGS["en"]["sure_forget"]
    wait_until(lambda: store.turns(user) == [], 5, "they are forgotten")
    wait_until(lambda: browser.texts("#status") == [STRINGS["en"]["forgotten"]], 5, "it is said")
    assert (browser.turns(), browser.find("#welcome").is_displayed()) == ([], True)
    ask(browser, "新的人")
    assert conversation(browser) != user


def test_the_privacy_page_is_reached_and_left(browser: Browser, tmp_path: Path) -> None:
    browser.open(DESKTOP)
    browser.click("#open-menu")
    wait_until(lambda: browser.texts("#talks-status") == [SAYS["no_talks"]], 5, "the list has come")
    browser.click('a[href="privacy"]')
    wait_until(lambda: SAYS["back"] in "".join(browser.texts("main")), 5)
    assert "忘记我" in browser.find("main").text
    browser.shoot(tmp_path / "privacy.png")
    browser.click("main a")
    wait_until(lambda: browser.driver.find_elements(By.ID, "form"), 5)
