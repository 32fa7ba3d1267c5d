"""The administrators' page in a real browser, and `plm admin` against the running service."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import bot.web as bot_web
from bot.cli import main
from bot.text import dialogue
from bot.text.names import visitor_name
from tests.bot.channels.test_webhook import NEW, post, receiver
from tests.bot.web.test_page import DESKTOP, PHONE, Visitor, driver
from tests.bot.webhook_receiver import Receiver
from tests.service import Service, wait_until
from tests.tiny_model import write_tiny_model

__all__ = ["driver", "receiver"]
KEY = "an-administrators-key-0123456789"
QUESTION = "什么是气虚？"


@pytest.fixture(scope="module")
def service(
    redis_url: str, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("web")
    for name in ("first", "second"):
        write_tiny_model(directory / f"{name}.safetensors")
    settings = {
        "PLM_MODEL": "first", "PLM_MODEL_DIR": directory, "PLM_REDIS_URL": redis_url, "PLM_MAX_BYTES": 60,
        "PLM_ADMIN_KEY": KEY, "PLM_PROCESSES": 2, "PLM_WEBHOOK_SHOP_SECRET": NEW,
        "PLM_WEBHOOK_SHOP_URL": receiver.url,
    }  # fmt: skip
    with Service(directory, "web", **settings) as service:
        yield service


def admin(service: Service, *arguments: str, key: str = KEY) -> Result:
    """`plm admin` in this process."""
    env = {"PLM_ADMIN_KEY": key, "PLM_ADMIN_URL": service.url}
    return CliRunner().invoke(main, ["admin", *arguments], env=env)


def test_plm_admin_asks_the_service(service: Service) -> None:
    with Visitor(service) as visitor:
        visitor.ask(QUESTION)
        user = visitor.conversation.user
        name = visitor.conversation.id
    assert name in admin(service, "conversations", "--user", user).stdout
    assert f"user: {QUESTION}" in admin(service, "show", name).stdout
    exported = json.loads(admin(service, "export", "--user", user).stdout)
    assert (exported["id"], exported["channel"], exported["user"]) == (name, "page", user)
    assert exported["turns"][0]["content"] == QUESTION
    assert admin(service, "quota", user, "5/minute").stdout.strip() == f"{user}: 5/minute"
    assert "messages" in admin(service, "stats").stdout
    assert admin(service, "block", user).stdout == f"blocked: {user}\n"
    assert f"{user}  every channel  blocked 5/minute" in admin(service, "quota").stdout
    assert admin(service, "unblock", user).stdout == f"not blocked: {user}\n"
    assert admin(service, "quota", user, "--none").stdout == f"{user}: as everybody\n"
    assert {"* first", "  second"} <= set(admin(service, "model", "list").stdout.splitlines())
    done = [line.split()[3] for line in admin(service, "audit", "--user", user).stdout.splitlines()]
    assert done[:4] == ["quota", "unblock", "block", "quota"]
    assert admin(service, "forget", user, "--yes").stdout.strip() == f"forgotten: {name}"
    assert admin(service, "conversations", "--user", user).stdout == ""
    wrong = admin(service, "stats", key="x" * 20)
    assert (wrong.exit_code, wrong.stderr) == (1, "Error: that is not the administrator's key\n")
    missing = admin(service, "show", "page:nobody")
    assert (missing.exit_code, missing.stderr) == (1, "Error: there is no such conversation\n")


def test_models_are_swapped_in_every_process_and_no_message_is_lost(service: Service) -> None:
    statuses: list[list[dict[str, Any]]] = []
    stop = threading.Event()

    def talk() -> None:
        with Visitor(service) as visitor:
            while not stop.is_set():
                statuses.append(visitor.ask(QUESTION))

    threads = [threading.Thread(target=talk) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in ("second", "first", "second"):
        before = len(statuses)
        loaded = admin(service, "model", "load", name)
        assert loaded.stdout.strip() == f"{name}: loaded by 2 process(es)", loaded.stderr
        wait_until(lambda before=before: len(statuses) > before + 3, 20, "people are answered")
    stop.set()
    for thread in threads:
        thread.join()
    assert [parts for parts in statuses if parts[-1] != {"done": True}] == []
    assert "* second" in admin(service, "model", "list").stdout
    assert admin(service, "model", "load", "nothing").exit_code == 1


@pytest.fixture
def page(driver: webdriver.Chrome, service: Service) -> Iterator[webdriver.Chrome]:
    driver.get(service.url + "/admin")
    driver.execute_script("sessionStorage.clear(); sessionStorage.setItem('plm-language', 'zh-CN')")
    driver.get_log("browser")
    yield driver
    complaints = [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]
    assert [line for line in complaints if "401" not in line] == []  # the wrong key was meant
    driver.execute_script("sessionStorage.clear()")


def show(driver: webdriver.Chrome, url: str, size: tuple[int, int], dark: bool = False) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(url + "/admin")


def text(driver: webdriver.Chrome, selector: str) -> str:
    """Of the first such element; "" while there is none."""
    script = "return document.querySelector(arguments[0])?.textContent ?? ''"
    return str(driver.execute_script(script, selector))


def shoot(driver: webdriver.Chrome, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("PLM_SCREENSHOTS", tmp_path))
    driver.save_screenshot(str(folder / f"admin-{name}.png"))
    assert (folder / f"admin-{name}.png").stat().st_size > 5000


def test_sign_in_and_look_with_the_keyboard_alone(
    page: webdriver.Chrome, service: Service, tmp_path: Path
) -> None:
    with Visitor(service) as visitor:
        visitor.ask("<b>什么</b>是气虚？")
        name = visitor_name(visitor.conversation.user)["zh-CN"]
        english = visitor_name(visitor.conversation.user)["en"]
        whole = visitor.conversation.id
    with Visitor(service) as visitor:
        visitor.ask("我妈喝了百草枯")
        urgent = visitor_name(visitor.conversation.user)["zh-CN"]
    time.sleep(1.5)  # the numbers are handed on every second
    show(page, service.url, DESKTOP)
    shoot(page, "sign-in", tmp_path)
    page.switch_to.active_element.send_keys("wrong-wrong-wrong", Keys.ENTER)
    wait_until(lambda: "密钥不对" in text(page, "#status"), 10)
    assert not page.find_element(By.ID, "board").is_displayed()
    box = page.switch_to.active_element
    box.clear()
    box.send_keys(KEY, Keys.ENTER)
    wait_until(lambda: name in text(page, "#conversations"), 10)
    assert text(page, "#figures dd") != "0"
    assert page.find_elements(By.CSS_SELECTOR, "#chart rect.messages")
    assert text(page, "#processes").count("模型") == 2
    rows = page.find_elements(By.CSS_SELECTOR, "#conversations li")
    badges = {row.find_element(By.TAG_NAME, "button").text: row.text.startswith("紧急") for row in rows}
    assert [name for name, badge in badges.items() if badge] == [urgent]
    assert rows[0].find_element(By.CSS_SELECTOR, ".badge").is_displayed()  # emergencies come first
    shoot(page, "desktop", tmp_path)
    assert page.execute_script("return localStorage.length + document.cookie.indexOf('key')") == -1
    # Tab to the first conversation, open it, close it; then to the second.
    page.execute_script("document.getElementById('user').focus()")
    for _ in range(2):
        page.switch_to.active_element.send_keys(Keys.TAB)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait_until(lambda: "我妈喝了百草枯" in text(page, "#turns"), 10)
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.switch_to.active_element.send_keys(Keys.TAB, Keys.NULL)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait_until(lambda: "<b>什么</b>是气虚？" in text(page, "#turns"), 10)
    shoot(page, "conversation", tmp_path)
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find_element(By.ID, "talk").is_displayed()
    # In English, on a phone, in the dark; the key is still there after a reload of this tab.
    page.execute_script("document.getElementById('language').click()")
    wait_until(lambda: "Recent conversations" in text(page, "main"), 5)
    show(page, service.url, PHONE, dark=True)
    wait_until(lambda: english in text(page, "#conversations"), 10)
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert page.execute_script("return document.documentElement.lang") == "en"
    shoot(page, "phone", tmp_path)
    page.execute_script("document.getElementById('leave').click()")
    wait_until(lambda: page.find_element(By.ID, "login").is_displayed(), 5)
    assert page.execute_script("return sessionStorage.getItem('plm-key')") is None
    assert not [trace for trace in (name, english, whole) if trace in page.page_source]


def test_dead_letters_are_settled_and_broadcasts_watched(
    page: webdriver.Chrome, service: Service, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.says = [410, 410]
    for user in ("u1", "u2"):
        assert post(service, {"user": user, "text": QUESTION, "id": f"m-{user}"}).status_code == 200
    wait_until(lambda: admin(service, "dead-letters", "list").stdout.count("gone") == 2, 30)
    bearer = {"Authorization": f"Bearer {KEY}"}
    plan = requests.post(
        service.url + "/admin/api/broadcasts", json={"text": "通知"}, headers=bearer, timeout=9
    ).json()
    show(page, service.url, DESKTOP)
    page.switch_to.active_element.send_keys(KEY, Keys.ENTER)
    wait_until(lambda: text(page, "#letters").count("webhook-shop:u") == 2, 10)
    assert QUESTION not in text(page, "#letters")
    wait_until(lambda: plan["id"] in text(page, "#broadcasts") and "待发" in text(page, "#broadcasts"), 10)
    page.find_element(By.CSS_SELECTOR, "#letters .act").send_keys(Keys.ENTER)
    wait_until(lambda: text(page, "#letters").count("webhook-shop:u") == 1, 10)
    shoot(page, "letters", tmp_path)
    page.find_elements(By.CSS_SELECTOR, "#letters .act")[1].send_keys(Keys.ENTER)
    page.switch_to.alert.accept()
    wait_until(lambda: "没有" in text(page, "#letters"), 10)
    wait_until(lambda: len(receiver.received) == 3, 10, "one was sent again")


def click(driver: webdriver.Chrome, selector: str) -> None:
    driver.execute_script("document.querySelector(arguments[0]).click()", selector)


def is_blocked(service: Service, user: str) -> bool:
    message = {"user": user, "text": QUESTION, "id": uuid.uuid4().hex}
    return bool(post(service, message).json()["reply"] == dialogue.BLOCKED)


def told(receiver: Receiver, text: str) -> bool:
    return any(text in str(json.loads(body)) for _, body in receiver.received)


def test_people_models_and_broadcasts_are_looked_after(
    page: webdriver.Chrome, service: Service, receiver: Receiver
) -> None:
    """What only `plm admin` could do: block, quota, forget, load a model, send a broadcast."""
    receiver.says = []
    for user in ("anna", "boris"):
        assert post(service, {"user": user, "text": QUESTION, "id": f"p-{user}"}).status_code == 200
    show(page, service.url, DESKTOP)
    page.switch_to.active_element.send_keys(KEY, Keys.ENTER)
    wait_until(lambda: "webhook-shop · anna" in text(page, "#conversations"), 10)
    wait_until(lambda: "webhook-shop" in text(page, "#day-channel"), 10, "the days have come")
    assert int(text(page, "#days td:nth-of-type(2)")) >= 2

    page.find_element(By.ID, "words").send_keys(QUESTION[:4], Keys.ENTER)
    wait_until(lambda: QUESTION in text(page, "#conversations .found"), 10, "what was said is found")
    page.find_element(By.XPATH, "//button[. = 'webhook-shop · boris']").click()
    wait_until(lambda: QUESTION in text(page, "#turns"), 10)
    click(page, "#talk [data-talk=block]")
    wait_until(lambda: "boris · webhook-shop" in text(page, "#rules"), 10, "he is blocked")
    wait_until(lambda: is_blocked(service, "boris"), 5, "every process knows it")
    click(page, "#talk [data-talk=forget]")
    page.switch_to.alert.accept()
    wait_until(
        lambda: "boris" not in text(page, "#conversations") + text(page, "#rules"), 10, "he is forgotten"
    )

    page.find_element(By.ID, "person-user").send_keys("anna")
    page.find_element(By.ID, "rate").send_keys("9/minute", Keys.ENTER)
    wait_until(lambda: "9/minute" in text(page, "#rules"), 10)
    page.find_element(By.ID, "rate").send_keys("nonsense", Keys.ENTER)
    wait_until(lambda: "限额应像" in text(page, "#status"), 10, "it is refused, in Chinese")

    loaded, other = (
        ("first", "second") if "* first" in admin(service, "model", "list").stdout else ("second", "first")
    )
    page.find_element(By.CSS_SELECTOR, f"#models [aria-label$='{other}']").click()
    page.switch_to.alert.accept()
    wait_until(lambda: f"* {other}" in admin(service, "model", "list").stdout, 20, "it is loaded")
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, f"#models [aria-label$='{loaded}']"), 10)

    page.find_element(By.ID, "notice").send_keys("周日停诊")
    click(page, "#broadcast button")
    wait_until(lambda: "周日停诊" in text(page, "#broadcasts li"), 10, "it is counted who would get it")
    assert re.search("发给: webhook-shop [1-9]", text(page, "#broadcasts li"))
    assert not told(receiver, "周日停诊")
    click(page, "#broadcasts .act")
    page.switch_to.alert.accept()
    wait_until(lambda: told(receiver, "周日停诊"), 20, "it is sent")
    wait_until(lambda: "已完成" in text(page, "#broadcasts li"), 20, "it has ended")
    page.get_log("browser")  # the refusals are meant


def test_every_word_of_the_page_is_in_both_languages(page: webdriver.Chrome) -> None:
    both = page.execute_script("return Object.values(STRINGS).map((words) => Object.keys(words).sort())")
    assert both[0] == both[1]
    named = page.execute_script(
        """return [...document.querySelectorAll("[data-word], [data-hint]")]
        .map((one) => one.dataset.word || one.dataset.hint)"""
    )
    static = Path(bot_web.__file__).parent / "static"
    scripts = "".join(file.read_text() for file in static.glob("admin*.js"))
    used = set(named) | set(re.findall(r'\bword\("(\w+)"\)', scripts))
    assert used - set(both[0]) == set()
    source = (static / "admin_strings.js").read_text().split("  en: {")[1]
    keys = re.findall(r'(?<![\w"])(\w+): "', source)
    assert [key for key in keys if keys.count(key) > 1] == []


def test_the_page_runs_nothing_but_its_own_files(service: Service) -> None:
    response = requests.get(service.url + "/admin", timeout=5)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "style=" not in response.text
    assert KEY not in response.text
