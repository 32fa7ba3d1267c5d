"""nginx.conf: what it passes on exists, answers are not held back, and the operator's pages stay closed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.app import create_app
from bot.settings.config import Settings

CONF = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
Block = list[tuple[list[str], "Block | None"]]


def parse(text: str) -> Block:
    """(words, inner block or None) for each directive."""
    words = re.findall(r'"[^"]*"|[^\s;{}]+|[;{}]', re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    stack: list[Block] = [[]]
    current: list[str] = []
    for word in words:
        if word == ";":
            stack[-1].append((current, None))
            current = []
        elif word == "{":
            inner: Block = []
            stack[-1].append((current, inner))
            stack.append(inner)
            current = []
        elif word == "}":
            stack.pop()
        else:
            current.append(word.strip('"'))
    assert len(stack) == 1, "braces do not match"
    assert current == [], "a directive does not end"
    return stack[0]


def blocks(block: Block, kind: str) -> list[tuple[list[str], Block]]:
    return [(words[1:], inner) for words, inner in block if words[0] == kind and inner is not None]


def value(block: Block, directive: str) -> list[str]:
    """The arguments of a directive that must stand in a block once."""
    (found,) = [words[1:] for words, inner in block if words[0] == directive and inner is None]
    return found


@pytest.fixture
def conf() -> Block:
    return parse(CONF.read_text())


@pytest.fixture
def secure(conf: Block) -> Block:
    (server,) = [inner for _, inner in blocks(conf, "server") if "443" in value_words(inner, "listen")]
    return server


def value_words(block: Block, directive: str) -> set[str]:
    return {word for words, _ in block if words[0] == directive for word in words[1:]}


def test_it_passes_to_the_port_that_the_service_opens(conf: Block, secure: Block) -> None:
    ((names, upstream),) = blocks(conf, "upstream")
    defaults = Settings.model_fields
    assert value(upstream, "server") == [f"{defaults['host'].default}:{defaults['port'].default}"]
    locations = blocks(secure, "location")
    assert locations
    for _, location in locations:
        assert value(location, "proxy_pass") == [f"http://{names[0]}"]


def test_every_path_it_singles_out_is_served(secure: Block) -> None:
    routes = {
        rule.rule
        for rule in create_app(
            Settings(redis_url="redis://127.0.0.1:6379", engine_url="http://127.0.0.1:8001")
        ).url_map.iter_rules()
    }
    exact = {words[1] for words, _ in blocks(secure, "location") if words[0] == "="}
    assert exact
    assert exact <= routes


def test_streams_pass_at_once_and_a_slow_answer_is_waited_for(secure: Block) -> None:
    assert value(secure, "proxy_buffering") == ["off"]
    assert value(secure, "proxy_http_version") == ["1.1"]
    assert int(value(secure, "proxy_read_timeout")[0].rstrip("s")) >= 60
    (wechat,) = [inner for words, inner in blocks(secure, "location") if words == ["=", "/wechat"]]
    assert int(value(wechat, "proxy_read_timeout")[0].rstrip("s")) > 5


def test_the_operators_pages_are_closed_to_others(secure: Block) -> None:
    closed = [(words[1], inner) for words, inner in blocks(secure, "location") if words[0] == "~"]
    ((pattern, inner),) = closed
    for path in ("/admin", "/admin/api/conversations", "/metrics", "/readyz"):
        assert re.search(pattern, path)
    for path in ("/", "/wechat", "/webhook/shop", "/v1/models", "/healthz", "/administer"):
        assert not re.search(pattern, path)
    assert [words for words, _ in inner if words[0] in ("allow", "deny")][-1] == ["deny", "all"]


def test_nginx_itself_accepts_it(tmp_path: Path) -> None:
    if (nginx := shutil.which("nginx")) is None:
        pytest.skip("no nginx here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=bot.example.org", "-days", "2"]
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*made, *subject], check=True, capture_output=True)
    site = tmp_path / "site.conf"
    here = {"/fullchain.pem": certificate, "/privkey.pem": key}
    text = CONF.read_text()
    for ending, path in here.items():
        text = re.sub(rf"/etc/letsencrypt/\S+{re.escape(ending)}", str(path), text)
    site.write_text(text)
    whole = tmp_path / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    scratch = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    http = f"http {{ access_log off; {scratch} include {site}; }}"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} {http}")
    run = subprocess.run([nginx, "-t", "-c", str(whole), "-p", str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
