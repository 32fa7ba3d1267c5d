"""Conversations in Redis: every key and every script of the bot is in this module.

One conversation lives under one hash tag, so that it is one slot of a cluster:

    plm:{channel:user}:meta    hash  channel user created updated version talk prefix fence greeted last
    plm:{channel:user}:turns   list  JSON turns: role, content, time, message_id, talk   (the truth)
    plm:{channel:user}:queue   list  message ids still to be answered, in order
    plm:{channel:user}:lease   text  who may answer now: owner:fence, a few seconds long
    plm:{channel:user}:state   hash  the model's state after the last answer; a cache: model, prefix, blob
    plm:{channel:user}:open    list  message ids whose answer was handed out in part
    plm:{channel:user}:job:ID  hash  one message: status, question, text so far, attempts, reply …

Scripts get the common beginning of these names as their one key and build the rest from it: all of them are
in the slot of that key. Every script may be sent twice (a time-out does not tell whether the first one ran),
so each is written to have the same effect once or twice. The clock is the server's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bot.records import Conversation, Job, Work

TIMEOUT = 0.3  # seconds; the whole WeChat path has five, and "busy" must be said within one
LEASE_MS = 2500  # how long a killed process blocks its conversation
JOB_MS = 3 * 24 * 3600 * 1000  # how long a message id is remembered
MAX_TURNS = 2000
MAX_STATE = 48_000  # bytes; a larger state is rebuilt from the transcript instead of kept
MAX_STARTS = 3  # a message whose answering was cut short this often is given up

# Not a fault of ours: its disk is full, its memory is full, it is a replica, it is still reading its file …
_REFUSALS = (redis.ReadOnlyError, redis.OutOfMemoryError)
_REFUSAL_CODES = ("MISCONF", "OOM", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")

T = TypeVar("T")

_COMMON = """
local base, time = KEYS[1], redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function job(id) return base .. 'job:' .. id end
local function keep(ms) for _, name in ipairs({'meta', 'turns', 'queue', 'state', 'open'}) do
  redis.call('PEXPIRE', base .. name, ms) end end
local function turn(role, content, id, talk)
  redis.call('RPUSH', base .. 'turns', cjson.encode({role=role, content=content, time=now, message_id=id,
    talk=tonumber(talk)}))
  redis.call('HINCRBY', base .. 'meta', 'version', 1)
  redis.call('HSET', base .. 'meta', 'updated', now)
end
local function seen(id, nonce)
  if redis.call('HGET', job(id), 'nonce') ~= nonce then
    redis.call('HINCRBY', job(id), 'attempts', 1)
    redis.call('HSET', job(id), 'nonce', nonce)
  end
  local fields = redis.call('HGETALL', job(id))
  fields[#fields + 1], fields[#fields + 2] = 'now', tostring(now)
  return fields
end
-- A lease that ran out is still good as long as nobody took the next fence number.
local function holds(token)
  return tonumber(string.match(token, ':(%d+)$')) == tonumber(redis.call('HGET', base .. 'meta', 'fence'))
end
"""

# id nonce question keep_ms job_ms max_turns channel user
_ASK = """
local id, nonce, question, keep_ms, job_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local meta, status = base .. 'meta', redis.call('HGET', job(id), 'status')
if not status then
  redis.call('HSETNX', meta, 'created', now)
  redis.call('HSETNX', meta, 'talk', 0)
  redis.call('HSET', meta, 'channel', ARGV[7], 'user', ARGV[8], 'last', id)
  local talk = redis.call('HGET', meta, 'talk')
  redis.call('HSET', job(id), 'kind', 'ask', 'status', 'queued', 'question', question, 'talk', talk,
    'text', '', 'first', now, 'starts', 0, 'delivered', 0, 'notice', redis.call('HSETNX', meta, 'greeted', 1))
  redis.call('PEXPIRE', job(id), job_ms)
  turn('user', question, id, talk)
  redis.call('LTRIM', base .. 'turns', -tonumber(ARGV[6]), -1)
  redis.call('RPUSH', base .. 'queue', id)
  keep(keep_ms)
elseif status == 'failed' then
  redis.call('HSET', job(id), 'status', 'queued', 'text', '', 'starts', 0, 'error', '')
  redis.call('RPUSH', base .. 'queue', id)
  keep(keep_ms)
end
return seen(id, nonce)
"""

# id nonce action reply keep_ms job_ms
_COMMAND = """
local id, action = ARGV[1], ARGV[3]
if redis.call('EXISTS', job(id)) == 0 then
  redis.call('HSET', job(id), 'kind', 'command', 'status', 'done', 'reply', ARGV[4], 'first', now)
  redis.call('PEXPIRE', job(id), ARGV[6])
  if action == 'new' then
    redis.call('HINCRBY', base .. 'meta', 'talk', 1)
    redis.call('HDEL', base .. 'meta', 'prefix', 'last')
    redis.call('DEL', base .. 'state', base .. 'open')
  elseif action == 'greet' then
    redis.call('HSET', base .. 'meta', 'greeted', 1)
  end
  keep(ARGV[5])
end
return seen(id, ARGV[2])
"""

# id nonce job_ms. Which answer goes on: the newest one that is shown in part, else the oldest one still owed,
# else the last question if nothing of it was ever handed out (its third request never came back).
_MORE = """
local id, source = ARGV[1], ''
if redis.call('EXISTS', job(id)) == 0 then
  local open = {}
  for _, candidate in ipairs(redis.call('LRANGE', base .. 'open', 0, -1)) do
    local delivered = redis.call('HGET', job(candidate), 'delivered')
    if not delivered then redis.call('LREM', base .. 'open', 0, candidate)  -- its job has expired
    else
      open[#open + 1] = candidate
      if tonumber(delivered) > 0 then source = candidate end
    end
  end
  local last = redis.call('HGET', base .. 'meta', 'last')
  if source == '' and #open > 0 then source = open[1] end
  if source == '' and last and redis.call('HGET', job(last), 'kind') == 'ask'
     and redis.call('HEXISTS', job(last), 'reply') == 0 then source = last end
  redis.call('HSET', job(id), 'kind', 'more', 'status', 'done', 'source', source, 'first', now,
    'latest', (source == last) and 1 or 0)
  redis.call('PEXPIRE', job(id), ARGV[3])
end
return seen(id, ARGV[2])
"""

# id source from to reply more: hand out bytes [from, to) of the answer to `source` as the reply to `id`
_REPLY = """
local id, source = ARGV[1], ARGV[2]
local reply = redis.call('HGET', job(id), 'reply')
if reply then return reply end
if source ~= '' then
  if tonumber(redis.call('HGET', job(source), 'delivered') or -1) ~= tonumber(ARGV[3]) then return false end
  redis.call('HSET', job(source), 'delivered', ARGV[4])
  local open = base .. 'open'
  if ARGV[6] ~= '1' then redis.call('LREM', open, 0, source)
  else
    local listed = false
    for _, other in ipairs(redis.call('LRANGE', open, 0, -1)) do if other == source then listed = true end end
    if not listed then redis.call('RPUSH', open, source) end
    redis.call('LTRIM', open, -20, -1)
    local left = redis.call('PTTL', base .. 'turns')
    if left > 0 then redis.call('PEXPIRE', open, left) end
  end
end
redis.call('HSET', job(id), 'reply', ARGV[5])
return ARGV[5]
"""

# owner lease_ms max_starts. Answers {state of affairs, token, job…}: 'busy', 'idle' or 'work'
_TAKE = """
local owner, lease, meta = ARGV[1], base .. 'lease', base .. 'meta'
local token = redis.call('GET', lease)
if token and string.sub(token, 1, #owner + 1) ~= owner .. ':' then return {'busy'} end
while true do
  local id = redis.call('LINDEX', base .. 'queue', 0)
  if not id then redis.call('DEL', lease); return {'idle'} end
  local status = redis.call('HGET', job(id), 'status')
  if status == 'queued' or status == 'running' then
    local starts = tonumber(redis.call('HGET', job(id), 'starts'))
    if starts < tonumber(ARGV[3]) then
      if not token then token = owner .. ':' .. redis.call('HINCRBY', meta, 'fence', 1) end
      redis.call('SET', lease, token, 'PX', ARGV[2])
      redis.call('HSET', job(id), 'status', 'running', 'text', '', 'starts', starts + 1)
      local state = redis.call('HMGET', base .. 'state', 'prefix', 'blob')
      local now_in = redis.call('HMGET', meta, 'talk', 'prefix')
      local own = redis.call('HMGET', job(id), 'question', 'talk')
      local current = now_in[1] == own[2]
      return {'work', token, id, own[1], own[2], current and now_in[2] or '', current and state[1] or '',
        current and state[2] or '', starts + 1}
    end
    redis.call('HSET', job(id), 'status', 'failed', 'error', 'cut short too often')
  end
  redis.call('LPOP', base .. 'queue')
end
"""

# id
_ENOUGH = """
local status = redis.call('HGET', job(ARGV[1]), 'status')
if status == 'queued' or status == 'running' then redis.call('HSET', job(ARGV[1]), 'enough', 1) end
return 1
"""

# token id text lease_ms; an empty id only renews the lease
_PROGRESS = """
if ARGV[2] == '' then  -- a heartbeat may come late: it must not bring back a lease that was given back
  if redis.call('GET', base .. 'lease') ~= ARGV[1] then return 0 end
else
  if not holds(ARGV[1]) then return 0 end
  redis.call('HSET', job(ARGV[2]), 'text', ARGV[3])
end
redis.call('SET', base .. 'lease', ARGV[1], 'PX', ARGV[4])
if ARGV[2] ~= '' and redis.call('HEXISTS', job(ARGV[2]), 'enough') == 1 then return 2 end
return 1
"""

# token id answer stop prefix blob keep_ms
_FINISH = """
local token, id, answer = ARGV[1], ARGV[2], ARGV[3]
if not holds(token) then return 0 end
local own = redis.call('HMGET', job(id), 'status', 'talk')
if own[1] == 'running' then
  redis.call('HSET', job(id), 'status', 'done', 'text', answer, 'stop', ARGV[4], 'ended', now)
  turn('assistant', answer, id, own[2])
  if own[2] == redis.call('HGET', base .. 'meta', 'talk') then
    redis.call('HSET', base .. 'meta', 'prefix', ARGV[5])
    redis.call('DEL', base .. 'state')
    if ARGV[6] ~= '' then redis.call('HSET', base .. 'state', 'prefix', ARGV[5], 'blob', ARGV[6]) end
  end
  redis.call('LREM', base .. 'queue', 1, id)
  keep(ARGV[7])
end
return 1
"""

# token id error; an empty error puts the job back to wait for another process
_GIVE_UP = """
if not holds(ARGV[1]) then return 0 end
if ARGV[3] ~= '' then
  redis.call('HSET', job(ARGV[2]), 'status', 'failed', 'error', ARGV[3])
  redis.call('LREM', base .. 'queue', 1, ARGV[2])
else
  redis.call('HSET', job(ARGV[2]), 'status', 'queued', 'starts', 0)
  redis.call('DEL', base .. 'lease')
end
return 1
"""


# token
_RELEASE = """
if redis.call('GET', base .. 'lease') == ARGV[1] then redis.call('DEL', base .. 'lease') end
return 1
"""


class StoreDownError(Exception):
    """Redis cannot be reached, or does not take writes, for now."""


class Store:
    """Everything the bot keeps. Any method raises StoreDownError when Redis is away, within about 0.6 s."""

    def __init__(self, url: str, keep_days: float = 30) -> None:
        # No retries in the client: it nests them (connection in command), which can take over a second.
        self.client = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        self.keep_ms = int(keep_days * 24 * 3600 * 1000)
        bodies = {
            "ask": _ASK, "command": _COMMAND, "more": _MORE, "reply": _REPLY, "take": _TAKE,
            "enough": _ENOUGH, "progress": _PROGRESS, "finish": _FINISH, "give_up": _GIVE_UP,
            "release": _RELEASE,
        }  # fmt: skip
        self._scripts = {name: self.client.register_script(_COMMON + body) for name, body in bodies.items()}

    def close(self) -> None:
        self.client.close()

    def ping(self) -> None:
        self._try(self.client.ping)

    def ask(self, conversation: Conversation, message_id: str, nonce: str, question: str) -> Job:
        """Take in a user's message, once: a second call with its id only counts an attempt (once per
        nonce)."""
        fields = self._run(
            "ask", conversation, message_id, nonce, question, self.keep_ms, JOB_MS, MAX_TURNS,
            conversation.channel, conversation.user,
        )  # fmt: skip
        return self._aged(message_id, fields)

    def command(
        self, conversation: Conversation, message_id: str, nonce: str, action: str, reply: str
    ) -> Job:
        """Run "new", "greet" or "help" once for this message id, and remember what was replied."""
        fields = self._run("command", conversation, message_id, nonce, action, reply, self.keep_ms, JOB_MS)
        return self._aged(message_id, fields)

    def more(self, conversation: Conversation, message_id: str, nonce: str) -> Job:
        """A wish for the rest of an answer, bound here to the message (`source`) whose answer it is."""
        return self._aged(message_id, self._run("more", conversation, message_id, nonce, JOB_MS))

    def reply(
        self,
        conversation: Conversation,
        message_id: str,
        source: str,
        start: int,
        end: int,
        reply: str,
        more: bool,
    ) -> str | None:
        """Settle the reply to a message and hand out bytes [start, end) of the source's answer with it.

        Returns the reply that holds: an earlier one if there was one; None if those bytes were handed out
        meanwhile as the reply to another message.
        """
        held = self._run("reply", conversation, message_id, source, start, end, reply, int(more))
        return None if held is None else str(held, "utf-8")

    def job(self, conversation: Conversation, message_id: str) -> Job:
        def read() -> list[Any]:
            pipe = self.client.pipeline(transaction=False)
            pipe.hgetall(f"{conversation.base}job:{message_id}")
            pipe.exists(conversation.base + "lease")
            return pipe.execute()

        fields, owned = self._try(read)
        return Job.read(message_id, fields, owned=bool(owned))

    def take(self, conversation: Conversation, owner: str) -> Work | str:
        """The next message to answer, with the lease; or "busy" (another has it) or "idle" (nothing to
        do)."""
        found = self._run("take", conversation, owner, LEASE_MS, MAX_STARTS)
        if found[0] != b"work":
            return str(found[0], "utf-8")
        token, job_id, question, talk, prefix, state_prefix, blob, starts = found[1:]
        # An empty prefix is a talk without answers: it has no state to be valid.
        fresh = bool(prefix) and prefix == state_prefix and bool(blob)
        return Work(
            token=token.decode(), id=job_id.decode(), question=question.decode(), talk=int(talk),
            prefix=(prefix or b"").decode(), state=blob if fresh else None, starts=int(starts),
        )  # fmt: skip

    def enough(self, conversation: Conversation, message_id: str) -> None:
        """The sender wants no more of this answer: whoever writes it hears of it from `progress`."""
        self._run("enough", conversation, message_id)

    def progress(self, conversation: Conversation, token: str, message_id: str = "", text: str = "") -> int:
        """Renew the lease, publish the text so far: 0 if the lease is lost, 2 if it is `enough`, else 1."""
        return int(self._run("progress", conversation, token, message_id, text, LEASE_MS))

    def finish(
        self, conversation: Conversation, work: Work, answer: str, stop: str, prefix: str, state: bytes
    ) -> bool:
        """Append the answer to the transcript and end the job, in one step; False if the lease is lost."""
        blob = state if len(state) <= MAX_STATE else b""
        args = (work.token, work.id, answer, stop, prefix, blob, self.keep_ms)
        return bool(self._run("finish", conversation, *args))

    def give_up(self, conversation: Conversation, work: Work, error: str) -> bool:
        """End the job as failed; with an empty error, hand it back for another process to take."""
        return bool(self._run("give_up", conversation, work.token, work.id, error))

    def release(self, conversation: Conversation, token: str) -> None:
        """Give the lease back before its time, with the queue as it is."""
        self._run("release", conversation, token)

    def turns(
        self, conversation: Conversation, last: int = 200, talk: int | None = None
    ) -> list[dict[str, Any]]:
        """The newest turns, oldest first; of one talk only if it is given."""
        rows = self._try(lambda: self.client.lrange(conversation.base + "turns", -last, -1))
        turns = [json.loads(row) for row in rows]
        return [turn for turn in turns if talk is None or turn["talk"] == talk]

    def talk(self, conversation: Conversation) -> int:
        """Which talk the conversation is in: 0, and one more after every /new."""
        return int(self._try(lambda: self.client.hget(conversation.base + "meta", "talk")) or 0)

    def waiting(self, conversation: Conversation) -> list[str]:
        """Ids of the messages that are not answered yet, in order."""
        rows: list[Any] = self._try(lambda: self.client.lrange(conversation.base + "queue", 0, -1))
        return [row.decode() for row in rows]

    def _aged(self, message_id: str, fields: list[bytes]) -> Job:
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        return Job.read(message_id, pairs)

    def _run(self, name: str, conversation: Conversation, *args: str | bytes | int) -> Any:
        return self._try(lambda: self._scripts[name](keys=[conversation.base], args=list(args)))

    def _try(self, call: Callable[[], T]) -> T:
        try:
            try:
                return call()
            except redis.ConnectionError as error:
                if isinstance(error, redis.BusyLoadingError):
                    raise
                return call()  # a connection of the pool that broke with a restart of the server
            except redis.TimeoutError:
                return call()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreDownError(f"Redis does not answer: {error}") from error
        except redis.ResponseError as error:
            if isinstance(error, _REFUSALS) or any(code in str(error) for code in _REFUSAL_CODES):
                raise StoreDownError(f"Redis refuses: {error}") from error
            raise
