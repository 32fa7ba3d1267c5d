"""Whether the store can do what messages need: not only answer, but run every command under this user.

A user of Redis (ACL) may lack a command or a pattern of keys, and PING says nothing of it. So a script tries
each command that the store, its scripts and its libraries use, on keys of its own, mostly without a change.
"""

from __future__ import annotations

import re

from bot.store.cluster import SCHEMES
from bot.store.connection import StoreDownError
from bot.store.conversations import Store
from bot.store.faults import CLUSTER_FORM, explain_refusals, server_mode

PREFIX = "plm:{probe}:"
TASKS_PREFIX = "{plm:work:probe}:"
SENTINEL_FORM = "this is a sentinel: write redis+sentinel://HOST:PORT/NAME"
# All commands but those that scripts cannot run: PING, EVALSHA, SCRIPT LOAD, MULTI, EXEC, WAIT. The key is
# named by its type; what follows are arguments with which little or nothing changes.
COMMANDS = (
    "TIME", "SCAN 0 COUNT 1",
    "SET text 1 PX 10000", "GET text", "EXISTS text", "PTTL text", "EXPIRE text 10", "PEXPIRE text 10000",
    "PERSIST text", "INCR text", "INCRBY text 1", "RENAME text text",
    "HSET hash a 1", "HSETNX hash a 1", "HGET hash a", "HMGET hash a", "HGETALL hash", "HEXISTS hash a",
    "HLEN hash", "HINCRBY hash a 1", "HINCRBYFLOAT hash a 1", "HSCAN hash 0", "HDEL hash b",
    "RPUSH list a", "LPUSH list b", "LRANGE list 0 0", "LINDEX list 0", "LLEN list", "LREM list 1 c",
    "LTRIM list 0 9", "LPOP list",
    "SADD set a", "SREM set b", "SMEMBERS set", "SCARD set", "SISMEMBER set a", "SRANDMEMBER set",
    "SUNION set set", "SMOVE set set b", "SSCAN set 0",
    "ZADD zset 1 a", "ZREM zset b", "ZSCORE zset a", "ZRANGE zset 0 0", "ZRANGEBYSCORE zset 0 0",
    "ZCARD zset", "ZREVRANGE zset 0 0", "ZREVRANGEBYSCORE zset 1 0",
    "ZREMRANGEBYRANK zset 5 5", "ZREMRANGEBYSCORE zset 0 0", "ZSCAN zset 0",
    "PFADD people a", "PFCOUNT people", "DEL set",
)  # fmt: skip
_KEY = re.compile(r"(?<= )(text|hash|list|set|zset|people)\b")


def check(store: Store, *, tasks: bool = False, thorough: bool = False) -> None:
    """StoreDownError that says what is wrong. With `tasks`, also what the task queues need.

    A cluster is ready with some of its masters, unless it is looked at thoroughly: without one of them, all
    processes would else count as unready.
    """
    if store.url.startswith(SCHEMES):
        if not thorough:
            store.ping()
            return
    else:
        mode = store.attempt(lambda: server_mode(store.client))
        if mode == "cluster":
            raise StoreDownError(f"PLM_REDIS_URL: {CLUSTER_FORM}")
        if mode == "sentinel":
            raise StoreDownError(f"PLM_REDIS_URL: {SENTINEL_FORM}")
    _probe(store, PREFIX, COMMANDS)
    if tasks:
        _probe(store, TASKS_PREFIX, COMMANDS)


def _probe(store: Store, prefix: str, commands: tuple[str, ...]) -> None:
    calls = [_KEY.sub(rf"{prefix}\1", command).split() for command in commands]
    if said := store.probe(prefix, calls):
        raise StoreDownError(explain_refusals(said))
