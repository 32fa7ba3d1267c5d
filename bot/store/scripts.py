"""The scripts that run inside Redis, and the keys that they work on. Only store.py sends them.

One conversation lives under one hash tag, so that it is one slot of a cluster:

    plm:{channel:user}:meta    hash  channel user created updated version talk prefix fence greeted last
    plm:{channel:user}:turns   list  JSON turns: role, content, time, message_id, talk   (the truth)
    plm:{channel:user}:queue   list  message ids still to be answered, in order
    plm:{channel:user}:lease   text  who may answer now: owner:fence, a few seconds long
    plm:{channel:user}:state   hash  the model's state after the last answer; a cache: model, prefix, blob
    plm:{channel:user}:open    list  message ids whose answer was handed out in part
    plm:{channel:user}:jobs    zset  the ids of those messages, by when they came
    plm:{channel:user}:job:ID  hash  one message: status, question, text so far, attempts, reply …
    plm:{channel:user}:sends   hash  what a platform takes unasked: `left` messages since `mark`, at `address`
    plm:{channel:user}:pushes  list  message ids whose answer is still to be pushed, in order
    plm:{channel:user}:pusher  text  who pushes now
    plm:index                  zset  the conversations by their last question, to be listed; it mends itself
    plm:{admin}:…              what administrators have set: see admin_store.py
    plm:{broadcast}:…          what is sent to everybody: see broadcast_store.py
    plm:token:…, plm:lock:…    text  a token that all processes share, and who is fetching it
    plm:done:…                 text  a task that must not be done twice was done
    {plm:work:LANE}:…          the queues of work.py: see task_store.py
    plm:limit:…                text  what somebody (a hash) has used of a rate; the library `limits` writes it

Scripts get the common beginning of these names as their one key and build the rest from it: all of them are
in the slot of that key. Every script may be sent twice (a time-out does not tell whether the first one ran),
so each is written to have the same effect once or twice. The clock is the server's.
"""

from __future__ import annotations

from bot.store.answer_scripts import ANSWER_BODIES
from bot.store.push_scripts import PUSH_BODIES

_COMMON = """
local base, time = KEYS[1], redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function job(id) return base .. 'job:' .. id end
local function keep(ms) for _, name in ipairs({'meta', 'turns', 'queue', 'state', 'open'}) do
  redis.call('PEXPIRE', base .. name, ms) end end
local function turn(role, content, id, talk, remark)
  if remark == '' then remark = nil end
  redis.call('RPUSH', base .. 'turns', cjson.encode({role=role, content=content, time=now, message_id=id,
    talk=tonumber(talk), remark=remark}))
  redis.call('HINCRBY', base .. 'meta', 'version', 1)
  redis.call('HSET', base .. 'meta', 'updated', now)
end
local function note(id, ms)  -- a message came: its record lives so long, and can be found to be forgotten
  redis.call('PEXPIRE', job(id), ms)
  redis.call('ZADD', base .. 'jobs', now, id)
  redis.call('ZREMRANGEBYSCORE', base .. 'jobs', '-inf', now - ms / 1000 - 60)
  redis.call('PEXPIRE', base .. 'jobs', ms)
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
  note(id, job_ms)
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
  redis.call('HSET', job(id), 'kind', 'command', 'status', 'done', 'first', now)
  if action == 'export' then redis.call('HSET', job(id), 'text', ARGV[4], 'delivered', 0)  -- long: in pieces
  else redis.call('HSET', job(id), 'reply', ARGV[4]) end
  note(id, ARGV[6])
  if action == 'new' then
    redis.call('HINCRBY', base .. 'meta', 'talk', 1)
    redis.call('HDEL', base .. 'meta', 'prefix', 'last')
    redis.call('DEL', base .. 'state', base .. 'open')
  elseif action == 'greet' then
    redis.call('HSET', base .. 'meta', 'greeted', 1)
  elseif action == 'quiet' then
    redis.call('HSET', base .. 'meta', 'quiet', 1)
  elseif action == 'listen' then
    redis.call('HDEL', base .. 'meta', 'quiet')
  elseif action == 'ask-forget' then
    redis.call('HSET', base .. 'meta', 'forget', now)
  end
  keep(ARGV[5])
end
return seen(id, ARGV[2])
"""

# id nonce question answer keep_ms job_ms max_turns channel user: a turn that is answered as it comes in. An
# answer that is being written meanwhile has not read it: `prefix` becomes another, so that `finish` sees it.
_TELL = """
local id, nonce, meta = ARGV[1], ARGV[2], base .. 'meta'
if redis.call('EXISTS', job(id)) == 0 then
  redis.call('HSETNX', meta, 'created', now)
  redis.call('HSETNX', meta, 'talk', 0)
  redis.call('HSET', meta, 'channel', ARGV[8], 'user', ARGV[9])
  local talk = redis.call('HGET', meta, 'talk')
  redis.call('HSET', job(id), 'kind', 'tell', 'status', 'done', 'question', ARGV[3], 'talk', talk,
    'text', ARGV[4], 'reply', ARGV[4], 'first', now)
  note(id, ARGV[6])
  turn('user', ARGV[3], id, talk)
  turn('assistant', ARGV[4], id, talk)
  redis.call('LTRIM', base .. 'turns', -tonumber(ARGV[7]), -1)
  redis.call('HSET', meta, 'prefix', 'told:' .. id)
  redis.call('DEL', base .. 'state')
  keep(ARGV[5])
end
return seen(id, nonce)
"""

# id nonce undone nothing taken_back keep_ms job_ms: take back the last question of the talk and its answer
_UNDO = """
local id, meta, turns = ARGV[1], base .. 'meta', base .. 'turns'
if redis.call('EXISTS', job(id)) == 0 then
  local talk = tonumber(redis.call('HGET', meta, 'talk') or 0)
  local undone, before
  local rows = redis.call('LRANGE', turns, 0, -1)
  for i = #rows, 1, -1 do
    local row = cjson.decode(rows[i])
    if row.talk ~= talk then break end
    if row.role == 'user' then
      if undone then before = row.message_id; break end
      undone = row.message_id
    end
  end
  if undone then
    local answered = false
    for _, text in ipairs(rows) do
      local row = cjson.decode(text)
      if row.message_id == undone then
        redis.call('LREM', turns, -1, text)
        if row.role == 'assistant' then answered = true end
      end
    end
    redis.call('LREM', base .. 'queue', 0, undone)
    redis.call('LREM', base .. 'open', 0, undone)
    redis.call('LREM', base .. 'pushes', 0, undone)
    if redis.call('HGET', job(undone), 'push') == 'due' then
      redis.call('HSET', job(undone), 'push', 'told')
    end
    local status = redis.call('HGET', job(undone), 'status')
    if status and status ~= 'done' then
      redis.call('HSET', job(undone), 'status', 'done', 'text', ARGV[5], 'enough', 1)
    end
    if before then redis.call('HSET', meta, 'last', before) else redis.call('HDEL', meta, 'last') end
    if answered then
      redis.call('HSET', meta, 'prefix', 'undone:' .. id)
      redis.call('DEL', base .. 'state')
    end
    redis.call('HINCRBY', meta, 'version', 1)
  end
  redis.call('HSET', job(id), 'kind', 'command', 'status', 'done', 'reply', undone and ARGV[3] or ARGV[4],
    'first', now)
  note(id, ARGV[7])
  keep(ARGV[6])
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
  note(id, ARGV[3])
end
return seen(id, ARGV[2])
"""

# id source from to reply more: hand out bytes [from, to) of the answer to `source` as the reply to `id`
_REPLY = """
local id, source = ARGV[1], ARGV[2]
local reply = redis.call('HGET', job(id), 'reply')
if reply then return reply end
if redis.call('EXISTS', job(id)) == 0 then return ARGV[5] end  -- forgotten meanwhile: it must not come back
if source ~= '' then
  if tonumber(redis.call('HGET', job(source), 'delivered') or -1) ~= tonumber(ARGV[3]) then return false end
  redis.call('HSET', job(source), 'delivered', ARGV[4])
  local open = base .. 'open'
  if ARGV[6] ~= '1' then
    redis.call('LREM', open, 0, source)
    -- A push that was not taken has now been made up for: it is not owed any more.
    if redis.call('HEXISTS', job(source), 'push') == 1 then redis.call('HSETNX', job(source), 'reply', '') end
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

# id nonce reply ms; an empty id leaves nothing at all. With an id, what was replied is kept for the sender's
# retries, and a retry forgets nothing that came after.
_FORGET = """
local id = ARGV[1]
if id == '' or redis.call('EXISTS', job(id)) == 0 or redis.call('HGET', job(id), 'action') ~= 'forget' then
  for _, known in ipairs(redis.call('ZRANGE', base .. 'jobs', 0, -1)) do redis.call('DEL', job(known)) end
  for _, name in ipairs({'meta', 'turns', 'queue', 'lease', 'state', 'open', 'jobs', 'sends',
      'pushes', 'pusher'}) do
    redis.call('DEL', base .. name) end
  if id == '' then return {} end
  redis.call('HSET', job(id), 'kind', 'command', 'action', 'forget', 'status', 'done', 'reply', ARGV[3],
    'first', now)
  note(id, ARGV[4])
end
return seen(id, ARGV[2])
"""

_BODIES = {
    "ask": _ASK, "command": _COMMAND, "tell": _TELL, "undo": _UNDO, "more": _MORE, "reply": _REPLY,
    "forget": _FORGET, **ANSWER_BODIES, **PUSH_BODIES,
}  # fmt: skip
SCRIPTS = {name: _COMMON + body for name, body in _BODIES.items()}

# Not of one conversation: its key is plm:index. id keep_ms
SCRIPTS["list"] = """
local time, index = redis.call('TIME'), KEYS[1]
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', index, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', index, '-inf', now - ARGV[2] / 1000)
redis.call('PEXPIRE', index, ARGV[2])
"""
