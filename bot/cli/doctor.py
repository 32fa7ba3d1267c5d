"""What `plm doctor` checks beyond the settings: the store, keys, clocks, access from outside."""

from __future__ import annotations

import hashlib
import secrets
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from bot.app import open_store
from bot.channels.client import SendError
from bot.channels.feishu import FeishuApi
from bot.channels.telegram import TelegramApi
from bot.channels.wechat.client import WechatApi
from bot.channels.wecom import WecomApi
from bot.server.direct_http import direct_session
from bot.settings.config import ConfigError, Settings
from bot.settings.urls import without_secrets
from bot.store import readiness
from bot.store.cluster import SCHEMES as CLUSTER
from bot.store.connection import SENTINEL
from bot.store.conversations import Store
from bot.store.outbox import Outbox
from bot.store.servers import ServerFacts, server_facts

OLDEST = (6, 2)  # of Redis
SKEW = 60.0  # seconds that clocks may differ: signatures are valid for some minutes
SHORT_KEY = 20  # characters
TIMEOUT = 5.0  # seconds, as the platform's


class Note(str):
    """Right as far as could be seen; the text says what could not."""


def check_store(store: Store, *, tasks: bool = False, name: str = "PLM_REDIS_URL") -> str:
    """Whether all commands may be run, version, persistence, memory policy, replicas. StoreDownError, or
    ConfigError where conversations could be lost."""
    readiness.check(store, tasks=tasks, thorough=True)
    servers = server_facts(store.client)
    if not all(server.info for server in servers):
        return Note(
            f"{name} answers and runs all that is needed; its user may not run INFO, so version, "
            "persistence and memory policy were not looked at (ACL SETUSER … +info lets it)"
        )
    said = [_check_server(server, name) for server in servers][:1]
    if store.url.startswith(CLUSTER):
        said.insert(0, f"{len(servers)} masters")
    if store.url.startswith((SENTINEL, *CLUSTER)):
        for server in servers:
            _check_replicas(server, name)
        said.append("replicas follow")
    return f"{name} answers, " + ", ".join(said)


def _check_server(server: ServerFacts, name: str) -> str:
    facts, where = server.info, _where(server, name)
    version = str(facts.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise ConfigError(f"{where}version {version}, and 6.2 is the oldest that will do")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and facts.get("maxmemory"):
        raise ConfigError(
            f"{where}its maxmemory-policy is {policy}, so conversations go when memory is short: "
            "set noeviction"
        )
    if facts.get("aof_enabled"):
        kept = "append-only file"
    elif server.options.get("save", "unknown"):
        kept = "snapshots alone (the last minutes can be lost: set appendonly yes)"
    else:
        raise ConfigError(f"{where}it keeps nothing on disk: set appendonly yes")
    if facts.get("aof_last_write_status", "ok") != "ok" or facts.get("rdb_last_bgsave_status", "ok") != "ok":
        raise ConfigError(f"{where}its last write to disk failed: is the disk full?")
    return f"version {version}, {kept}, {policy}"


def _check_replicas(server: ServerFacts, name: str) -> None:
    """Where a replica takes over it must have what was acknowledged: WAIT gives up, and writes go on."""
    where = _where(server, name)
    if not server.following:
        raise ConfigError(f"{where}no replica follows it: what it acknowledges now is lost with it")
    if server.options.get("min-replicas-to-write") == "0":
        raise ConfigError(f"{where}it goes on without a replica: set min-replicas-to-write 1")
    if server.options.get("cluster-require-full-coverage") == "yes" and name == "PLM_REDIS_URL":
        raise ConfigError(
            f"{where}all of the cluster stops with one master: set cluster-require-full-coverage no"
        )


def _where(server: ServerFacts, name: str) -> str:
    return f"{name}: {server.address}: " if server.address else f"{name}: "


def check_keys(settings: Settings) -> str:
    key = settings.admin_key
    if key and len(key) < SHORT_KEY:
        raise ConfigError(f"PLM_ADMIN_KEY: shorter than {SHORT_KEY} characters: it can be guessed")
    return "PLM_ADMIN_KEY is set" if key else "/admin is off: PLM_ADMIN_KEY is not set"


def check_wechat(settings: Settings) -> str:
    """The mode; with pushes also a token, for which secret and IP whitelist must be right."""
    if not settings.wechat_token:
        return "off: PLM_WECHAT_TOKEN is not set"
    mode = f"{settings.wechat_mode_in_force} mode"
    if not settings.wechat_push:
        return mode
    try:
        WechatApi(settings, _no_store()).fetch("")
    except SendError as error:
        raise ConfigError(f"PLM_WECHAT_PUSH: {error}") from None
    return f"{mode}, answers are pushed, the platform gives a token"


def _no_store() -> Outbox:
    return Outbox(Store("redis://127.0.0.1"))  # not asked for anything


def check_platforms(settings: Settings) -> str:
    """The other platforms, as far as they can be asked: a token for the secret, Telegram's address."""
    store, found = _no_store(), []
    for name in settings.adapters:
        try:
            if name == "wecom":
                WecomApi(settings, store).fetch("")
            elif name == "feishu":
                FeishuApi(settings, store).fetch("")
            elif name == "telegram":
                _check_telegram(TelegramApi(settings).call("getWebhookInfo", {}))
        except SendError as error:
            raise ConfigError(f"{name}: {error}") from None
        found.append(name)
    return ", ".join(found) or "none beside WeChat"


def _check_telegram(info: object) -> None:
    told = info if isinstance(info, dict) else {}
    if urlsplit(str(told.get("url", ""))).path != "/telegram":
        raise ConfigError("telegram: it has not been told to call https://…/telegram: see setWebhook")
    if fault := told.get("last_error_message"):
        raise ConfigError(f"telegram: its last call failed: {str(fault)[:200]!r}")


def check_clock(store: Store | None, url: str | None) -> str:
    """Against the store's clock, and that of whatever answers at the public URL."""
    found = []
    if store:
        found.append(("the store", store.clock() - time.time()))
    if url:
        said = _get(url, "/healthz", {}).headers.get("Date")
        if said:
            found.append(
                (urlsplit(url).hostname or "", parsedate_to_datetime(said).timestamp() - time.time())
            )
    for name, ahead in found:
        if abs(ahead) > SKEW:
            raise ConfigError(f"the clock of {name} is {ahead:+.0f} s off this machine's: set both by NTP")
    return ", ".join(f"{name} {ahead:+.1f} s" for name, ahead in found) or "nothing to compare it with"


def check_way_in(settings: Settings, url: str) -> str:
    """Play the platform's GET check: the right signature gets its echo back, a wrong one does not."""
    if not settings.wechat_token:
        raise ConfigError("PLM_WECHAT_TOKEN: missing, so the platform's check cannot be played")
    timestamp, nonce, echo = str(int(time.time())), secrets.token_hex(8), secrets.token_hex(10)
    parts = sorted((settings.wechat_token, timestamp, nonce))
    signature = hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()
    query = {"timestamp": timestamp, "nonce": nonce, "echostr": echo}
    began = time.monotonic()
    shown = without_secrets(url)
    right = _get(url, "/wechat", query | {"signature": signature})
    took = time.monotonic() - began
    if right.status_code != 200 or right.text != echo:
        raise ConfigError(
            f"{shown}/wechat answers the platform's check with {right.status_code}, not its echo"
        )
    if _get(url, "/wechat", query | {"signature": "0" * 40}).status_code == 200:
        raise ConfigError(
            f"{shown}/wechat answers a wrong signature: something else than this service is there"
        )
    return f"{shown}/wechat passes the platform's check in {took:.2f} s"


def _get(url: str, path: str, query: dict[str, str]) -> requests.Response:
    try:
        with direct_session() as http:
            return http.get(url.rstrip("/") + path, params=query, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise ConfigError(f"{without_secrets(url)}{path} does not answer: {type(error).__name__}") from None


def queue_of(settings: Settings) -> Store | None:
    """The task queues' own store, if they have one."""
    return Store(settings.queue_url) if settings.queue_url else None


def store_of(settings: Settings) -> Store | None:
    if not settings.redis_url:
        return None
    return open_store(settings)
