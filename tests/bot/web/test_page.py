"""The chat page of the running service, over HTTP and in a real browser (Chromium, headless)."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bot.server.embedded_store import EmbeddedStore
from bot.settings.config import DISCLAIMER
from bot.store.conversations import Store
from bot.text import dialogue
from bot.text.records import Conversation
from bot.web.strings import EXAMPLES, STRINGS
from bot.web.visitor import COOKIE
from tests.service import Service, wait_until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PHONE, DESKTOP = (390, 844), (1280, 800)
QUESTION = "什么是气虚？"


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Slow enough to watch an answer being written."""
    directory = tmp_path_factory.mktemp("web")
    settings = {
        "PLM_MODEL": "tcm",
        "PLM_REDIS_URL": redis_url,
        "PLM_ENGINE_DELAY_MS": 20,
        "PLM_MAX_BYTES": 160,
    }
    with Service(directory, "web", **settings) as service:
        yield service


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(redis_url)
    yield store
    store.close()


class Visitor(requests.Session):
    """A browser's cookies and headers without a browser."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.url = service.url
        assert self.get(self.url + "/", timeout=5).status_code == 200

    @property
    def conversation(self) -> Conversation:
        return Conversation("page", str(self.cookies[COOKIE]))

    def tell(self, path: str, headers: dict[str, str] | None = None, **body: object) -> requests.Response:
        return self.post(self.url + path, json=body, headers=headers, timeout=30)

    def ask(self, text: str, message_id: str = "") -> list[dict[str, Any]]:
        response = self.tell("/page/chat", id=message_id or secrets.token_hex(16), text=text)
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.content.splitlines()]


def told(parts: list[dict[str, Any]]) -> str:
    text = ""
    for part in parts:
        text = ("" if part.get("restart") else text) + part.get("text", "")
    return text.removesuffix("\n" + dialogue.MORE_HINT)


# Over HTTP ---------------------------------------------------------------------------------------


def test_an_answer_comes_while_it_is_written_and_is_kept(service: Service, store: Store) -> None:
    with Visitor(service) as visitor:
        answers, spans = [], []
        while (not spans or max(spans) < 0.2) and len(spans) < 20:  # a few answers are very short
            body = {"id": secrets.token_hex(16), "text": QUESTION}
            with visitor.post(service.url + "/page/chat", json=body, stream=True, timeout=30) as response:
                timed = [(time.monotonic(), json.loads(line)) for line in response.iter_lines(chunk_size=1)]
            assert timed[-1][1] == {"done": True}
            answers.append(told([part for _, part in timed]))
            spans.append(timed[-1][0] - timed[0][0])
        assert max(spans) >= 0.2
        turns = store.turns(visitor.conversation)
        expected = [turn for answer in answers for turn in (("user", QUESTION), ("assistant", answer))]
        assert [(turn["role"], turn["content"]) for turn in turns] == expected
        assert visitor.get(service.url + "/", timeout=5).text.count(QUESTION) >= len(answers)


def test_the_same_id_attaches_to_the_same_answer(service: Service, store: Store) -> None:
    with Visitor(service) as visitor:
        message_id = secrets.token_hex(16)
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda: found.append(told(visitor.ask(QUESTION, message_id))))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(store.turns(visitor.conversation)) == 2


def test_stop_ends_the_answer_with_what_there_is(service: Service, store: Store) -> None:
    with Visitor(service) as visitor:
        for _ in range(20):  # until an answer is long enough to be stopped
            message_id = secrets.token_hex(16)
            body = {"id": message_id, "text": QUESTION}
            with visitor.post(service.url + "/page/chat", json=body, stream=True, timeout=30) as response:
                lines = response.iter_lines()
                parts = [json.loads(next(lines))]
                assert visitor.tell("/page/stop", id=message_id).json() == {"done": True}
                stopped = time.monotonic()
                parts += [json.loads(line) for line in lines]
            assert parts[-1] == {"done": True}
            assert time.monotonic() - stopped < 1
            kept = store.turns(visitor.conversation)[-1]["content"]
            assert kept == told(parts)
            if store.client.hget(f"{visitor.conversation.base}job:{message_id}", "stop") == b"cancelled":
                return
        raise AssertionError("no answer was stopped")


def test_a_new_talk_shows_nothing_of_the_old_one(service: Service, store: Store) -> None:
    with Visitor(service) as visitor:
        visitor.ask(QUESTION)
        assert visitor.tell("/page/new", id=secrets.token_hex(16)).json() == {"done": True, "talk": 1}
        assert store.talk(visitor.conversation) == 1
        assert 'class="turn user"' not in body_of(visitor)
        visitor.ask("那血虚呢？")
        assert "那血虚呢？" in body_of(visitor)
        assert len(store.turns(visitor.conversation)) == 4


def body_of(visitor: Visitor) -> str:
    return visitor.get(visitor.url + "/", timeout=5).text.split("<template")[0]


def test_help_and_too_long_and_nothing(service: Service) -> None:
    with Visitor(service) as visitor:
        assert visitor.ask("帮助") == [{"text": dialogue.HELP, "done": True, "command": True}]
        response = visitor.tell("/page/chat", id=secrets.token_hex(16), text="咳" * 20_000)
        assert (response.status_code, list(response.json())) == (413, ["error"])
        response = visitor.tell("/page/chat", id=secrets.token_hex(16), text=" \x00")
        assert (response.status_code, response.json()) == (400, {"error": dialogue.NOTHING_TO_READ})


def test_markup_in_a_question_stays_text(service: Service) -> None:
    with Visitor(service) as visitor:
        visitor.ask("<script>alert(1)</script><b>&amp;")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;&amp;amp;" in body_of(visitor)
        assert "<script>alert" not in body_of(visitor)


def test_the_page_runs_nothing_but_its_own_files(service: Service) -> None:
    response = requests.get(service.url + "/", timeout=5)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    cookie = response.headers["Set-Cookie"]
    assert all(word in cookie for word in (COOKIE, "HttpOnly", "SameSite=Lax", "Path=/"))
    assert "no-store" in response.headers["Cache-Control"]
    assert "http://" not in response.text.replace("http://www.w3.org", "")
    assert "https://" not in response.text


@pytest.mark.parametrize("path", ["/page/chat", "/page/new", "/page/stop"])
def test_other_sites_cannot_speak_for_the_browser(service: Service, store: Store, path: str) -> None:
    with Visitor(service) as visitor:
        body = {"id": secrets.token_hex(16), "text": QUESTION}
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://["},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": service.url},
        ):
            assert visitor.tell(path, headers, **body).status_code == 403, headers
        form = {"Content-Type": "text/plain"}
        response = visitor.post(service.url + path, data=json.dumps(body), headers=form, timeout=5)
        assert response.status_code == 415
        assert store.turns(visitor.conversation) == []
        assert visitor.tell(path, {"Origin": service.url}, **body).status_code == 200


def test_requests_that_the_page_does_not_make(service: Service) -> None:
    with Visitor(service) as visitor:
        for body in (
            {},
            {"id": "1"},
            {"id": "A" * 32},
            {"id": 7},
            {"id": ["0" * 32]},
            {"id": "0" * 31 + "\n"},
        ):
            assert visitor.tell("/page/chat", **body, text=QUESTION).status_code == 400
        response = visitor.post(service.url + "/page/chat", json=[], timeout=5)
        assert response.status_code == 400
        assert visitor.tell("/page/chat", id="0" * 32, text=7).status_code == 400
        visitor.cookies.clear()
        response = visitor.tell("/page/chat", id="0" * 32, text=QUESTION)
        assert (response.status_code, list(response.json())) == (400, ["error"])
        visitor.cookies.set(COOKIE, "../../etc")
        assert visitor.tell("/page/chat", id="0" * 32, text=QUESTION).status_code == 400


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("en-GB,en;q=0.9,zh;q=0.1", "en"),
        ("zh-TW,en;q=0.5", "zh-CN"),
        ("de", "zh-CN"),
        ("", "zh-CN"),
        ("en", "en"),
    ],
)
def test_the_page_speaks_the_language_of_the_browser(service: Service, asked: str, language: str) -> None:
    page = requests.get(service.url + "/", headers={"Accept-Language": asked}, timeout=5).text
    assert f'<html lang="{language}">' in page
    assert STRINGS[language]["hello"] in page
    assert STRINGS[language]["disclaimer"] in unescape(page)


def test_both_languages_say_the_same() -> None:
    assert STRINGS["en"].keys() == STRINGS["zh-CN"].keys()
    for (_, question), (_, asked) in zip(EXAMPLES["zh-CN"], EXAMPLES["en"], strict=True):
        assert question == asked


@pytest.mark.parametrize("language", STRINGS)
def test_the_page_says_words_and_no_methods(service: Service, language: str) -> None:
    """A key named `copy` or `keys` is a method of dict to a template."""
    page = unescape(requests.get(service.url + "/", headers={"Accept-Language": language}, timeout=5).text)
    assert "built-in method" not in page
    for name in ("how", "copy", "context"):
        assert f">{STRINGS[language][name]}<" in page
    assert [label for label, _ in EXAMPLES[language] if f">{label}<" not in page] == []


# In a browser ------------------------------------------------------------------------------------


def prefer(driver: webdriver.Chrome, language: str) -> None:
    agent = driver.execute_script("return navigator.userAgent")
    asked = {"userAgent": agent, "acceptLanguage": language}
    driver.execute_cdp_cmd("Emulation.setUserAgentOverride", asked)


class Browser:
    """The page in a window, with what a user sees and does."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver, self.url = driver, url

    def open(self, size: tuple[int, int] = DESKTOP, dark: bool = False, language: str = "zh-CN") -> Browser:
        prefer(self.driver, language)
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.delete_all_cookies()
        self.driver.get(self.url + "/")
        return self

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """As a user would: where the page has just replaced the element, its successor."""

        def clicked() -> bool:
            try:
                self.find(selector).click()
            except StaleElementReferenceException:
                return False
            return True

        wait_until(clicked, 5, f"a click on {selector}")

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def turns(self) -> list[tuple[str, str]]:
        # In one step: the page may be changing.
        script = """return [...document.querySelectorAll("#log .turn")].map(turn => [
            turn.classList.contains("user") ? "user" : "assistant",
            turn.querySelector(".text").textContent])"""
        hint = "\n" + dialogue.MORE_HINT  # behind an answer that ended at the limit; no part of it
        return [(role, text.removesuffix(hint)) for role, text in self.driver.execute_script(script)]

    def type(self, *keys: str) -> None:
        self.find("#text").send_keys(*keys)

    @property
    def busy(self) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, "[aria-busy=true]"))

    def wait_for_answer(self, number: int = 1) -> str:
        wait_until(lambda: len(self.turns()) >= 2 * number and not self.busy, 20, "the answer is complete")
        return self.turns()[2 * number - 1][1]

    def shoot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))
        assert path.stat().st_size > 5000


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if not CHROMIUM or not DRIVER:
        pytest.skip("chromium or chromedriver is missing")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
        "disable-background-networking", "disable-component-update",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument("--" + argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome, service: Service) -> Iterator[Browser]:
    yield Browser(driver, service.url)
    complaints = [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]
    assert complaints == []  # nothing broke the policy, no file was missing, no script failed


def test_type_watch_the_answer_grow_reload(browser: Browser, store: Store) -> None:
    browser.open()
    assert DISCLAIMER in browser.texts("#disclaimer")
    lengths: set[int] = set()
    for number in range(1, 20):  # a few answers are too short to be watched
        browser.type(QUESTION, Keys.ENTER)
        wait_until(lambda turns=2 * number: len(browser.turns()) == turns, 5, "the question is shown")
        while browser.busy:
            lengths.add(len(browser.turns()[-1][1]))
        browser.wait_for_answer(number)
        if len(lengths) >= 4:
            break
    assert len(lengths) >= 4, "no answer grew before the eyes"
    shown = browser.turns()
    assert [role for role, _ in shown] == ["user", "assistant"] * number
    cookie = browser.driver.get_cookie(COOKIE)
    turns = store.turns(Conversation("page", cookie["value"]))
    assert [(turn["role"], turn["content"]) for turn in turns] == shown
    assert cookie["httpOnly"]
    assert browser.driver.execute_script("return document.cookie") == ""

    browser.driver.refresh()
    assert browser.turns() == shown
    browser.type("那血虚呢？", Keys.ENTER)
    browser.wait_for_answer(number + 1)
    assert len(store.turns(Conversation("page", cookie["value"]))) == len(shown) + 2


def test_a_reload_in_the_middle_takes_the_answer_up(browser: Browser, store: Store) -> None:
    browser.open()
    browser.type(QUESTION, Keys.ENTER)
    wait_until(lambda: len(browser.turns()) == 2, 5, "the question is shown")
    browser.driver.refresh()
    answer = browser.wait_for_answer()
    token = browser.driver.get_cookie(COOKIE)["value"]
    assert [turn["content"] for turn in store.turns(Conversation("page", token))] == [QUESTION, answer]


def test_keys(browser: Browser) -> None:
    browser.open()
    browser.type("一", Keys.SHIFT, Keys.ENTER, Keys.NULL, "二")
    assert browser.turns() == []
    assert browser.find("#text").get_property("value") == "一\n二"
    # The Enter that picks a candidate in an input method does not send.
    press = "arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true}))"
    browser.driver.execute_script(press, browser.find("#text"))
    assert browser.turns() == []
    assert browser.find("#send").is_enabled()
    browser.type(Keys.ENTER)
    wait_until(lambda: browser.turns()[:1] == [("user", "一\n二")], 5, "Enter sends")
    assert browser.find("#text").get_property("value") == ""
    browser.wait_for_answer()
    browser.type("  ", Keys.ENTER)
    assert len(browser.turns()) == 2


def test_stop_and_new_talk(browser: Browser, store: Store) -> None:
    browser.open()
    conversation = Conversation("page", browser.driver.get_cookie(COOKIE)["value"])
    reasons: list[bytes | None] = []
    while b"cancelled" not in reasons and len(reasons) < 20:  # until an answer is long enough to be stopped
        browser.type(QUESTION, Keys.ENTER)
        wait_until(lambda: browser.busy or len(browser.turns()) == 2 * len(reasons) + 2, 5, "it is asked")
        browser.driver.execute_script("document.getElementById('stop').click()")
        wait_until(lambda: not browser.busy, 2, "the answer is stopped")
        kept = store.turns(conversation)[-1]
        assert kept["content"] == browser.turns()[-1][1]
        reasons.append(store.client.hget(f"{conversation.base}job:{kept['message_id']}", "stop"))
    assert reasons[-1] == b"cancelled"
    browser.click("#fresh")
    wait_until(lambda: browser.turns() == [] and browser.find("#welcome").is_displayed(), 5, "a new talk")
    browser.driver.refresh()
    assert browser.turns() == []


def test_markup_is_shown_as_text(browser: Browser) -> None:
    browser.open()
    text = "<img src=x onerror=alert(1)> & <b>"
    browser.type(text, Keys.ENTER)
    browser.wait_for_answer()
    browser.driver.refresh()
    assert browser.turns()[0] == ("user", text)
    assert browser.driver.find_elements(By.CSS_SELECTOR, "#log img, #log b") == []


@pytest.mark.parametrize(("language", "name"), [("zh-CN", "您的问题"), ("en", "Your question")])
def test_every_control_has_a_name_and_nothing_overflows(browser: Browser, language: str, name: str) -> None:
    for size in (PHONE, DESKTOP, (320, 568)):
        browser.open(size, language=language)
        browser.type("头" * 60, Keys.ENTER)
        browser.wait_for_answer()
        wide = browser.driver.execute_script(
            """return [...document.querySelectorAll("body *")].filter(element =>
            element.getBoundingClientRect().right > arguments[0] + 1).map(element => element.outerHTML)""",
            size[0],
        )
        assert wide == [], f"wider than {size}"
        for selector in ("#text", "#send", "#fresh", "#disclaimer"):
            box = browser.find(selector).rect
            assert 0 <= box["x"] <= size[0] - box["width"], (selector, size)
            assert 0 <= box["y"] <= size[1] - box["height"], (selector, size)
        shown = [b for b in browser.driver.find_elements(By.TAG_NAME, "button") if b.is_displayed()]
        assert all(button.accessible_name for button in shown)
        assert browser.find("#text").accessible_name == name
        # With the keyboard alone: from the box back to the new talk, past the answer's buttons and the talk.
        for _ in range(6):
            browser.driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
        assert browser.driver.switch_to.active_element.get_attribute("id") == "fresh"
        browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
        wait_until(lambda: browser.turns() == [] and browser.find("#welcome").is_displayed(), 5, "a new talk")
    assert browser.driver.execute_script("return document.documentElement.lang") == language


def test_screenshots(browser: Browser, tmp_path: Path) -> None:
    """For people to look at: pytest --basetemp=DIR keeps them in DIR."""
    looks = (
        ("phone", PHONE, False, "zh-CN"), ("desktop", DESKTOP, False, "zh-CN"),
        ("dark", PHONE, True, "zh-CN"), ("phone-en", PHONE, False, "en"),
        ("desktop-en", DESKTOP, False, "en"),
    )  # fmt: skip
    for name, size, dark, language in looks:
        browser.open(size, dark, language)
        browser.shoot(tmp_path / f"{name}-empty.png")
        browser.type(QUESTION, Keys.ENTER)
        browser.wait_for_answer()
        browser.type("那血虚呢？", Keys.ENTER)
        wait_until(lambda: len(browser.turns()) == 4 and browser.turns()[3][1], 5, "something is written")
        browser.shoot(tmp_path / f"{name}-writing.png")
        browser.wait_for_answer(2)
        browser.shoot(tmp_path / f"{name}.png")


def test_faults_are_plain_sentences(driver: webdriver.Chrome, tmp_path: Path, redis_url: str) -> None:
    """The store goes away and comes back under an open page."""
    redis = EmbeddedStore(tmp_path)
    redis.start()
    settings = {"PLM_MODEL": "tcm", "PLM_REDIS_URL": redis.url}
    with Service(tmp_path / "web", "web", **settings) as service:
        browser = Browser(driver, service.url).open()
        redis.stop()
        browser.type(QUESTION, Keys.ENTER)
        wait_until(lambda: browser.texts(".remark.error"), 5, "the fault is said")
        assert browser.texts(".remark.error")[0].startswith("服务繁忙，请稍后再试。")
        browser.click("#fresh")
        wait_until(lambda: browser.texts("#status") == ["服务繁忙，请稍后再试。"], 5, "the fault is said")
        again = EmbeddedStore(tmp_path)
        again.start()
        wait_until(service.ready, 5, "the store is back")
        browser.click(".remark.error button")
        assert browser.wait_for_answer()
        assert browser.texts(".remark.error") == []
        again.stop()
        browser.driver.refresh()
        assert browser.texts("#welcome [role=alert]") == ["服务繁忙，请稍后再试。"]
        service.stop()
    driver.get_log("browser")  # the failed requests are meant
