--[[
  Store the outcome of a claimed piece.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  owner
  ARGV[2]  message id
  ARGV[3]  outcome: sent (more follows), told (all of it), full (no sends left: the rest is for 继续), kept or
           unsure (was not, or may not have been, taken: for 继续), again (was not taken: later)
  ARGV[4]  reply
  ARGV[5]  ms that a message is remembered once all of it was sent

  Returns 1; 0 if it was settled before.
]]
--- @include "conversation"
--- @include "push"

local id, outcome = ARGV[2], ARGV[3]
local was = redis.call('HGET', message_key(id), 'push')
if not was or (was ~= 'due' and string.sub(was, 1, 8) ~= 'sending:') then return 0 end
if outcome == 'sent' then redis.call('HSET', message_key(id), 'push', 'due')
elseif outcome == 'told' then
  redis.call('HSET', message_key(id), 'push', 'told', 'reply', ARGV[4])
  redis.call('PEXPIRE', message_key(id), ARGV[5])
  redis.call('LREM', base .. 'open', 0, id)
elseif outcome == 'full' then redis.call('HSET', message_key(id), 'push', 'kept'); mark_open(id)
else
  unclaim(id)
  mark_open(id)
  if outcome == 'again' then
    redis.call('HSET', message_key(id), 'push', 'due')
    if redis.call('EXISTS', base .. 'sends') == 1 and was ~= 'due' then
      redis.call('HINCRBY', base .. 'sends', 'left', 1)
    end
  else
    redis.call('HSET', message_key(id), 'push', outcome)
    if outcome == 'kept' and redis.call('EXISTS', base .. 'sends') == 1 then
      redis.call('HSET', base .. 'sends', 'left', 0)
    end
  end
end
if outcome ~= 'sent' and outcome ~= 'again' then redis.call('LREM', pushes, 0, id) end
if outcome == 'again' and redis.call('GET', pusher) == ARGV[1] then redis.call('DEL', pusher) end
return 1
