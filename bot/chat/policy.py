"""What administrators have set, in force in this process: who is blocked, own quotas, the model.

A thread looks every second whether anything was changed, swaps the model, and hands on what this process has
counted and its errors. The store may be away: what was known last goes on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
from collections import deque
from typing import Any

import limits

from bot.inference.interface import Engine, EngineDownError
from bot.settings.config import ConfigError
from bot.store.admin import AccessRule, AdminStore, digest
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.telemetry import logs, metrics
from bot.text.records import Conversation

log = logging.getLogger(__name__)
INTERVAL = 1.0  # seconds between two looks
REFRESH_SECONDS = 24 * 3600.0  # seconds after which all is read and renewed, changed or not
MAX_PENDING_ERRORS = 100  # errors that wait to be handed on

Rates = tuple[limits.RateLimitItem, ...]


class AccessRules:
    """Who is blocked and who has a quota, as it was read last; empty where nobody administrates."""

    def __init__(self, store: AdminStore | None = None, people: dict[str, AccessRule] | None = None) -> None:
        self.store = store
        self.people = people or {}

    def blocked(self, conversation: Conversation, message_id: str) -> bool | None:
        """None if the sender is not blocked; else whether this is the one message that is answered."""
        for key in self._keys(conversation):
            if (rule := self.people.get(key)) and rule.blocked and self.store:
                return self.store.is_notice(key, conversation, message_id)
        return None

    def is_blocked(self, conversation: Conversation) -> bool:
        """The same, with nothing to be answered."""
        found = (self.people.get(key) for key in self._keys(conversation))
        return any(rule is not None and rule.blocked for rule in found)

    def rates(self, conversation: Conversation) -> Rates:
        """The sender's own; () if they have none."""
        for key in self._keys(conversation):
            if (rule := self.people.get(key)) and rule.rate:
                return tuple(limits.parse_many(rule.rate))
        return ()

    def _keys(self, conversation: Conversation) -> tuple[str, ...]:
        """What is said of a user in one channel goes before what is said of them everywhere."""
        if not self.people:
            return ()
        return digest(conversation.user, conversation.channel), digest(conversation.user)


class AdminSync:
    """Keeps `rules`, the engine's model and the shared numbers up to date, in a thread until `close`."""

    def __init__(self, store: Store, engine: Engine, configured: str) -> None:
        self.store = AdminStore(store)
        self.engine = engine
        self.configured = configured  # PLM_MODEL
        self.rules = AccessRules(self.store)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.errors = _ErrorBuffer()
        self.fault: str | None = None  # why the wanted model could not be loaded
        self._counted = metrics.totals()
        self._version = -1
        self._read = 0.0
        self._swap = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="admin", daemon=True)

    def start(self) -> None:
        logging.getLogger("bot").addHandler(self.errors)
        self._thread.start()

    def close(self) -> None:
        """Hand on the last numbers; other processes see this one leave."""
        if self._closed.is_set():
            return
        self._closed.set()
        logging.getLogger("bot").removeHandler(self.errors)
        if self._thread.is_alive():
            self._thread.join(2.0)
        try:
            self._report()
            self.store.leave(self.name)
        except StoreDownError as error:
            log.info("the last numbers are lost: %s", error)

    def refresh(self) -> None:
        """Read what was changed, and take up the model that is wanted. Raises StoreDownError."""
        version = self.store.version()
        if version != self._version or time.monotonic() - self._read > REFRESH_SECONDS:
            self.rules.people = self.store.rules()
            self.store.renew()
            self._version, self._read = version, time.monotonic()
        self.store.conversations.mend_if_due()
        wanted = self.store.wanted_model(self.configured)
        if wanted:
            try:
                self.load(wanted)
            except (ConfigError, EngineDownError) as error:
                if self.fault != str(error):
                    log.error("the model %s cannot be loaded: %s", wanted, error)
                self.fault = str(error)

    def load(self, name: str) -> None:
        """Have this process's engine work with a model. ConfigError, EngineDownError."""
        with self._swap:
            self.engine.load(name)
            self.fault = None

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
                self._report()
                state = {"model": self.engine.model_name, "fault": self.fault, "running": metrics.running()}
                self.store.report(self.name, state)
            except StoreDownError:
                pass  # who needs the store says so
            except Exception:
                log.exception("looking after what administrators set failed")
            if self._closed.wait(INTERVAL):
                return

    def _report(self) -> None:
        totals = metrics.totals()
        grown = {name: value - self._counted.get(name, 0.0) for name, value in totals.items()}
        grown = {name: value for name, value in grown.items() if value > 0}
        if grown:
            self.store.add_counts(grown)
        self._counted = totals
        if entries := self.errors.drain():
            self.store.add_errors(entries)


class _ErrorBuffer(logging.Handler):
    """Keeps errors until the thread hands them on: a log line must not wait for Redis."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._held: deque[dict[str, Any]] = deque(maxlen=MAX_PENDING_ERRORS)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()[:500]
        if record.exc_info and record.exc_info[0]:
            message += f" ({record.exc_info[0].__name__})"
        entry = {"time": record.created, "message": message, "where": record.name}
        self._held.append(entry | {"request": logs.request_id.get()})

    def drain(self) -> list[dict[str, Any]]:
        entries = []
        while self._held:
            entries.append(self._held.popleft())
        return entries


def pseudonym(user: str) -> str:
    """How the audit log names somebody: found by whoever knows the name, told to nobody else."""
    return "user-" + hashlib.sha256(user.encode()).hexdigest()[:16]
