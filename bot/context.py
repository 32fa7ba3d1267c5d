"""What the channels, APIs and pages work with: one `Bot` for a process, `current_bot()` inside a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import current_app

from bot.chat.answers import Answers
from bot.chat.channel import Channel
from bot.chat.commands import Commands
from bot.chat.erasure import Erasure
from bot.chat.limits import ConcurrencyLimiter, Limits
from bot.chat.policy import AdminSync
from bot.inference.library import ServedLibrary
from bot.inference.library_sync import LibrarySync
from bot.settings.config import Settings
from bot.store.conversations import Store
from bot.store.outbox import Outbox
from bot.tasks.queue import TaskQueue
from engine.emergency import Detector


@dataclass(frozen=True)
class Bot:
    """What the channels work with; `current_bot()` inside a request."""

    settings: Settings
    store: Store
    answers: Answers
    limits: Limits
    concurrency: ConcurrencyLimiter
    outbox: Outbox
    tasks: TaskQueue
    admin: AdminSync | None
    erasure: Erasure
    commands: Commands
    detector: Detector  # of emergencies
    library: ServedLibrary | None = None  # what answers are quoted from
    library_sync: LibrarySync | None = None  # brings the uploaded texts into it
    channels: dict[str, Channel] = field(default_factory=dict)  # those that can be told something

    @property
    def model_name(self) -> str:
        return self.answers.engine.model_name or self.settings.model_name

    def close(self, timeout: float) -> None:
        """Finish what is being written and sent; see Answers.close. A second call does nothing."""
        self.answers.close(timeout)
        self.tasks.close(timeout)
        if self.library_sync:
            self.library_sync.close()
        if self.admin:
            self.admin.close()


def current_bot() -> Bot:
    bot: Bot = current_app.extensions["plm"]
    return bot
