"""A real cluster of 3 masters and 3 replicas, whose nodes are killed and whose slots are moved."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from tests.redis_servers import Server
from tests.service import free_port, wait_until

SLOTS = 16384
MEMORY = Path("/dev/shm")
NODE_TIMEOUT_MS = 1500  # after which a node counts as dead: fail-over takes two to three times as long


class ClusterServer:
    """`url` is that of the three masters. Its files lie in memory where that can be: to move a slot, a node
    waits for its disk, which may be slow here."""

    def __init__(self) -> None:
        self._files = tempfile.TemporaryDirectory(
            prefix="plm-cluster-", dir=MEMORY if MEMORY.is_dir() else None
        )
        directory = Path(self._files.name)
        options = (
            "cluster-enabled yes", "cluster-require-full-coverage no", "cluster-replica-validity-factor 0",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
        )  # fmt: skip
        self.nodes = [
            Server(directory / f"node{number}", f"cluster-port {free_port()}", *options)
            for number in range(6)
        ]
        for node in self.nodes:
            node.start()
        self._join()
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def _join(self) -> None:
        first, masters = self.nodes[0], self.nodes[:3]
        ids = [ask(node, "CLUSTER MYID").decode() for node in self.nodes]
        for number, node in enumerate(masters):
            ask(node, "CLUSTER ADDSLOTSRANGE", SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1)
            ask(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            ask(node, "CLUSTER MEET", "127.0.0.1", first.port, option(first, "cluster-port"))
        wait_until(lambda: all(len(self.known(node)) == 6 for node in self.nodes), 30, "all have met")
        for node, master in zip(self.nodes[3:], ids, strict=False):
            ask(node, "CLUSTER REPLICATE", master)
        wait_until(self.whole, 30, "all slots are served, and every replica follows")

    def known(self, node: Server) -> dict[str, Any]:
        """What a node knows of all, by address."""
        with node.client() as client:
            return dict(client.cluster("nodes"))

    def whole(self) -> bool:
        """Every node that runs sees all slots served, and every replica has its master's data."""
        for node in self.running():
            with contextlib.suppress(redis.RedisError), node.client() as client:
                own, role = client.cluster("info"), client.info("replication")
                follows = role["role"] == "master" or role["master_link_status"] == "up"
                if own["cluster_state"] == "ok" and int(own["cluster_slots_ok"]) == SLOTS and follows:
                    continue
            return False
        return True

    def served(self) -> bool:
        """All nodes that run know a master for every slot that runs too."""
        running = self.running()
        return all(owner in running for node in running for owner in set(self.owners(node)))

    def running(self) -> list[Server]:
        return [node for node in self.nodes if node.process and node.process.poll() is None]

    def owners(self, asked: Server | None = None) -> list[Server]:
        """Who serves each slot, as one of the nodes knows it."""
        found: dict[int, Server] = {}
        for first, last, master, *_ in ask(asked or self.running()[0], "CLUSTER SLOTS"):
            node = next(one for one in self.nodes if one.port == master[1])
            found.update(dict.fromkeys(range(first, last + 1), node))
        return [found[slot] for slot in range(SLOTS)]

    def owner(self, slot: int) -> Server:
        """The master that serves this slot."""
        return self.owners()[slot]

    def masters(self) -> list[Server]:
        return [node for node in self.running() if ask(node, "ROLE")[0] == b"master"]

    def move(self, slot: int, target: Server, pause: float = 0.0) -> int:
        """Move a slot with its keys, as valkey-cli does, with a pause amid them; the number of keys."""
        source, moved = self.owner(slot), 0
        if source is target:
            return 0
        from_id, to_id = (ask(node, "CLUSTER MYID").decode() for node in (source, target))
        with source.client() as near, target.client() as far:
            far.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", from_id)
            near.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", to_id)
            while keys := near.execute_command("CLUSTER GETKEYSINSLOT", slot, 3):
                near.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
                moved += len(keys)
                time.sleep(pause if moved == len(keys) else 0)
            for client in (far, near):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", to_id)
        return moved

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()
        self._files.cleanup()


def ask(node: Server, command: str, *args: object) -> Any:
    with node.client() as client:
        return client.execute_command(*command.split(), *args)


def option(node: Server, name: str) -> int:
    with node.client() as client:
        return int(client.config_get(name)[name])
