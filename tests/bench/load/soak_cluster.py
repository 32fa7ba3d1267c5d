"""What happens to a cluster in a soak, and what users may see of it: `soak.py --cluster`.

Slots of users are moved to another node all the time, and masters are killed with SIGKILL and started again
when a replica has taken over. A refusal is a request that got "busy", a status of 5xx or none. It is
`excused` if the user's slot was served by a master that had been killed within LONGEST_OUTAGE seconds before
(or was killed while the request waited); any other is `elsewhere`, and none may be.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

from redis.cluster import key_slot

from bot.text.records import Conversation
from tests.bench.load.load_users import LoadUsers
from tests.redis_cluster import ClusterServer
from tests.service import wait_until

LONGEST_OUTAGE = 5.0  # seconds
LONGEST_REQUEST = 5.0  # seconds that the platform waits
MOVE_EVERY = 0.5  # seconds


@dataclass
class Outage:
    began: float  # monotonic
    seconds: float  # until a replica had taken over
    slots: frozenset[int]


class ClusterTroubles:
    def __init__(self, cluster: ClusterServer, seed: int) -> None:
        self.cluster, self.dice = cluster, random.Random(seed)
        self.outages: list[Outage] = []
        self.moved = self.moved_keys = 0
        self._alone = threading.Lock()  # no slot is moved while a master is away

    def kill_master(self) -> None:
        with self._alone:
            victim = self.dice.choice(self.cluster.masters())
            slots = frozenset(number for number, node in enumerate(self.cluster.owners()) if node is victim)
            victim.kill()
            began = time.monotonic()
            wait_until(self.cluster.served, 30, "a replica takes over")
            self.outages.append(Outage(began, time.monotonic() - began, slots))
            time.sleep(1)
            victim.start()
            wait_until(self.cluster.whole, 30, "the old master follows")

    def move_slots(self, users: LoadUsers, over: threading.Event) -> None:
        while not over.wait(MOVE_EVERY):
            with self._alone:
                names = list(users.sent)
                if names:
                    slot = slot_of(self.dice.choice(names))
                    self.moved_keys += self.cluster.move(slot, self.dice.choice(self.cluster.masters()))
                    self.moved += 1

    def judge(self, users: LoadUsers) -> dict[str, int | float]:
        counted = {"excused": 0, "elsewhere": 0}
        for when, user in users.refusals:
            mine = [outage for outage in self.outages if slot_of(user) in outage.slots]
            latest = LONGEST_OUTAGE + LONGEST_REQUEST
            excused = any(outage.began <= when <= outage.began + latest for outage in mine)
            counted["excused" if excused else "elsewhere"] += 1
        longest = max((outage.seconds for outage in self.outages), default=0.0)
        return {
            "slots moved": self.moved, "keys moved": self.moved_keys, "masters killed": len(self.outages),
            "longest outage s": round(longest, 1), **counted,
        }  # fmt: skip


def slot_of(user: str) -> int:
    return int(key_slot(Conversation("wechat", user).base.encode()))
