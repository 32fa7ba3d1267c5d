"""The scripts of scripts.py that push answers (channels/push.py).

Each is written to have the same effect once or twice. scripts.py lists the keys and adds the beginning.
"""

from __future__ import annotations

# mark count ms only_if_none address: the platform allows `count` sends for `ms` from now on
_ALLOW = """
local sends = base .. 'sends'
if redis.call('HGET', sends, 'mark') == ARGV[1] then return 0 end
if ARGV[4] == '1' and redis.call('EXISTS', sends) == 1 then return 0 end
redis.call('HSET', sends, 'left', ARGV[2], 'mark', ARGV[1], 'address', ARGV[5])
redis.call('PEXPIRE', sends, ARGV[3])
return 1
"""

# The record `push` of a message: due, sending:NONCE:from:to, told, kept (for 继续), unsure (likewise).
_PUSH_COMMON = """
local pushes, pusher = base .. 'pushes', base .. 'pusher'
local function owe(id)  -- 继续 finds it
  redis.call('LREM', base .. 'open', 0, id)
  redis.call('RPUSH', base .. 'open', id)
  redis.call('LTRIM', base .. 'open', -20, -1)
  local left = redis.call('PTTL', base .. 'turns')
  if left > 0 then redis.call('PEXPIRE', base .. 'open', left) end
end
local function take_back(id)  -- what was claimed for a push that was cut off or refused
  local from, to = string.match(redis.call('HGET', job(id), 'push') or '', '^sending:[^:]*:(%d+):(%d+)$')
  if from and redis.call('HGET', job(id), 'delivered') == to then
    redis.call('HSET', job(id), 'delivered', from)
  end
  return from
end
"""

# id before job_ms again: the answer to this message is to be pushed, after `before`; `again`: if it was kept
_PUSH = """
if redis.call('EXISTS', job(ARGV[1])) == 0 then return 'told' end  -- forgotten: it must not come back
local revived = ARGV[4] == '1' and redis.call('HGET', job(ARGV[1]), 'push') == 'kept'
if revived then redis.call('HSET', job(ARGV[1]), 'push', 'due')
elseif redis.call('HSETNX', job(ARGV[1]), 'push', 'due') == 1 then
  redis.call('HSET', job(ARGV[1]), 'before', ARGV[2])
  revived = true
end
if revived then
  redis.call('RPUSH', pushes, ARGV[1])
  redis.call('PEXPIRE', pushes, ARGV[3])
end
return redis.call('HGET', job(ARGV[1]), 'push')
"""

# id text job_ms: a text that answers nothing is to be pushed in its turn; nothing if there is no conversation
_NOTICE = """
if redis.call('EXISTS', base .. 'meta') == 0 then return '' end
if redis.call('EXISTS', job(ARGV[1])) == 0 then
  redis.call('HSET', job(ARGV[1]), 'kind', 'notice', 'status', 'done', 'text', ARGV[2], 'delivered', 0,
    'first', now, 'push', 'due')
  note(ARGV[1], ARGV[3])
  redis.call('RPUSH', pushes, ARGV[1])
  redis.call('PEXPIRE', pushes, ARGV[3])
end
return redis.call('HGET', job(ARGV[1]), 'push') or ''
"""

# owner lease_ms repeatable: the next answer that is ready: busy, idle, unsure (cut off in the middle) or work
_PUSH_TAKE = """
local holder = redis.call('GET', pusher)
if holder and holder ~= ARGV[1] then return {'busy'} end
while true do
  local id = redis.call('LINDEX', pushes, 0)
  local own = id and redis.call('HMGET', job(id), 'status', 'push', 'text', 'delivered', 'before')
  if not id or own[1] == 'queued' or own[1] == 'running' then
    redis.call('DEL', pusher)
    return {'idle'}
  end
  if own[1] and ARGV[3] == '1' and take_back(id) then
    redis.call('HSET', job(id), 'push', 'due')
    own[2], own[4] = 'due', redis.call('HGET', job(id), 'delivered')
  end
  if own[1] and own[2] == 'due' then
    redis.call('SET', pusher, ARGV[1], 'PX', ARGV[2])
    local left = redis.call('HGET', base .. 'sends', 'left')
    return {'work', id, own[1], own[3], own[4], own[5], left or '0'}
  end
  redis.call('LPOP', pushes)
  if own[1] and take_back(id) then
    redis.call('HSET', job(id), 'push', 'unsure')
    owe(id)
    return {'unsure', id}
  end
end
"""

# owner id from to nonce lease_ms counted: claim bytes [from, to) of the answer, and one of the sends if they
# are counted
_PUSH_SEND = """
local id, mark = ARGV[2], 'sending:' .. ARGV[5] .. ':' .. ARGV[3] .. ':' .. ARGV[4]
if redis.call('GET', pusher) ~= ARGV[1] then return 0 end
if redis.call('HGET', job(id), 'push') == mark then return 1 end
if redis.call('HGET', job(id), 'delivered') ~= ARGV[3] then return 0 end
if ARGV[7] == '1' then
  if tonumber(redis.call('HGET', base .. 'sends', 'left') or 0) < 1 then return 0 end
  redis.call('HINCRBY', base .. 'sends', 'left', -1)
end
redis.call('HSET', job(id), 'push', mark, 'delivered', ARGV[4])
redis.call('SET', pusher, ARGV[1], 'PX', ARGV[6])
return 1
"""

# owner id outcome reply: sent (more follows), told (all of it), full (no more sends: the rest is for 继续),
# kept and unsure (it was not, or may not have been, taken; for 继续), again (it was not taken; later)
_PUSH_SETTLE = """
local id, outcome = ARGV[2], ARGV[3]
local was = redis.call('HGET', job(id), 'push')
if not was or (was ~= 'due' and string.sub(was, 1, 8) ~= 'sending:') then return 0 end
if outcome == 'sent' then redis.call('HSET', job(id), 'push', 'due')
elseif outcome == 'told' then
  redis.call('HSET', job(id), 'push', 'told', 'reply', ARGV[4])
  redis.call('LREM', base .. 'open', 0, id)
elseif outcome == 'full' then redis.call('HSET', job(id), 'push', 'kept'); owe(id)
else
  take_back(id)
  owe(id)
  if outcome == 'again' then
    redis.call('HSET', job(id), 'push', 'due')
    if redis.call('EXISTS', base .. 'sends') == 1 and was ~= 'due' then
      redis.call('HINCRBY', base .. 'sends', 'left', 1)
    end
  else
    redis.call('HSET', job(id), 'push', outcome)
    if outcome == 'kept' and redis.call('EXISTS', base .. 'sends') == 1 then
      redis.call('HSET', base .. 'sends', 'left', 0)
    end
  end
end
if outcome ~= 'sent' and outcome ~= 'again' then redis.call('LREM', pushes, 0, id) end
if outcome == 'again' and redis.call('GET', pusher) == ARGV[1] then redis.call('DEL', pusher) end
return 1
"""

PUSH_BODIES = {
    "allow": _ALLOW, "push": _PUSH_COMMON + _PUSH, "notice": _PUSH_COMMON + _NOTICE,
    "push_take": _PUSH_COMMON + _PUSH_TAKE,
    "push_send": _PUSH_COMMON + _PUSH_SEND, "push_settle": _PUSH_COMMON + _PUSH_SETTLE,
}  # fmt: skip
