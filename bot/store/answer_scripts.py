"""The scripts of scripts.py for whoever answers a conversation's queue (jobs.py), under its lease and fence.

Each is written to have the same effect once or twice. scripts.py lists the keys and adds the beginning.
"""

from __future__ import annotations

# owner lease_ms max_starts nonce. Answers {state of affairs, token, job…}: 'busy', 'idle' or 'work'
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
    if redis.call('HGET', job(id), 'taken') == ARGV[4] then starts = starts - 1 end  -- counted already
    if starts < tonumber(ARGV[3]) then
      -- A fence of a time, in µs: a conversation forgotten and begun again must not meet its old ones.
      redis.call('HSETNX', meta, 'fence', string.format('%d%06d', time[1], time[2]))
      if not token then
        redis.call('HINCRBY', meta, 'fence', 1)
        token = owner .. ':' .. redis.call('HGET', meta, 'fence')  -- as text: Lua would shorten the number
      end
      redis.call('SET', lease, token, 'PX', ARGV[2])
      redis.call('HSET', job(id), 'status', 'running', 'text', '', 'starts', starts + 1, 'taken', ARGV[4])
      local state = redis.call('HMGET', base .. 'state', 'prefix', 'blob')
      local now_in = redis.call('HMGET', meta, 'talk', 'prefix')
      local own = redis.call('HMGET', job(id), 'question', 'talk', 'first')
      local current = now_in[1] == own[2]
      return {'work', token, id, own[1], own[2], current and now_in[2] or '', current and state[1] or '',
        current and state[2] or '', starts + 1, tostring(now - (own[3] or now))}
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
  if redis.call('HGET', job(ARGV[2]), 'status') == 'running' then  -- else it was taken back meanwhile
    redis.call('HSET', job(ARGV[2]), 'text', ARGV[3])
  end
end
redis.call('SET', base .. 'lease', ARGV[1], 'PX', ARGV[4])
if ARGV[2] ~= '' and redis.call('HEXISTS', job(ARGV[2]), 'enough') == 1 then return 2 end
return 1
"""

# token id answer stop prefix blob keep_ms before remark. Answers {0} (the lease is lost), {1, record of the
# message} or, if nothing more waits, {2, record}: the lease is given back then. `before` is the prefix that
# the answer went on from; a remark is shown behind the answer and is no part of what the model said.
_FINISH = """
local token, id, answer = ARGV[1], ARGV[2], ARGV[3]
if not holds(token) then return {0} end
local own = redis.call('HMGET', job(id), 'status', 'talk')
if own[1] == 'running' then
  local shown = ARGV[9] ~= '' and answer .. '\\n' .. ARGV[9] or answer
  redis.call('HSET', job(id), 'status', 'done', 'text', shown, 'stop', ARGV[4], 'ended', now)
  turn('assistant', answer, id, own[2], ARGV[9])
  if own[2] == redis.call('HGET', base .. 'meta', 'talk') then
    local alone = (redis.call('HGET', base .. 'meta', 'prefix') or '') == ARGV[8]
    redis.call('HSET', base .. 'meta', 'prefix', alone and ARGV[5] or 'after:' .. id)
    redis.call('DEL', base .. 'state')
    if alone and ARGV[6] ~= '' then
      redis.call('HSET', base .. 'state', 'prefix', ARGV[5], 'blob', ARGV[6])
    end
  end
  redis.call('LREM', base .. 'queue', 1, id)
  keep(ARGV[7])
end
local record = redis.call('HGETALL', job(id))
if redis.call('LLEN', base .. 'queue') > 0 then return {1, record} end
if redis.call('GET', base .. 'lease') == token then redis.call('DEL', base .. 'lease') end
return {2, record}
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

ANSWER_BODIES = {
    "take": _TAKE, "enough": _ENOUGH, "progress": _PROGRESS, "finish": _FINISH, "give_up": _GIVE_UP,
    "release": _RELEASE,
}  # fmt: skip
