--[[
  What the scripts that push answers share; after "conversation".
  The field `push` of a message: due, sending:NONCE:FROM:TO, told, kept (for 继续), unsure (likewise).
]]
local pushes, pusher = base .. 'pushes', base .. 'pusher'
local function mark_open(id)  -- 继续 finds it
  redis.call('LREM', base .. 'open', 0, id)
  redis.call('RPUSH', base .. 'open', id)
  redis.call('LTRIM', base .. 'open', -20, -1)
  local left = redis.call('PTTL', base .. 'turns')
  if left > 0 then redis.call('PEXPIRE', base .. 'open', left) end
end
local function unclaim(id)  -- what was claimed for a push that was cut off or refused
  local from, to = string.match(redis.call('HGET', message_key(id), 'push') or '', '^sending:[^:]*:(%d+):(%d+)$')
  if from and redis.call('HGET', message_key(id), 'delivered') == to then
    redis.call('HSET', message_key(id), 'delivered', from)
  end
  return from
end
