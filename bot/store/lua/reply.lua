--[[
  Hand out bytes [from, to) of an answer as the reply to a message. The first reply stays.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  source: the message whose answer it is, or ""
  ARGV[3]  from
  ARGV[4]  to
  ARGV[5]  reply
  ARGV[6]  1 if more follows
  ARGV[7]  ms that the rest is kept

  Returns the reply that holds; nil if those bytes were handed out meanwhile.
]]
--- @include "conversation"

local id, source = ARGV[1], ARGV[2]
local reply = redis.call('HGET', message_key(id), 'reply')
if reply then return reply end
if redis.call('EXISTS', message_key(id)) == 0 then return ARGV[5] end  -- forgotten meanwhile: it must not come back
if source ~= '' then
  if tonumber(redis.call('HGET', message_key(source), 'delivered') or -1) ~= tonumber(ARGV[3]) then return false end
  redis.call('HSET', message_key(source), 'delivered', ARGV[4])
  local open = base .. 'open'
  if ARGV[6] ~= '1' then
    redis.call('LREM', open, 0, source)
    -- A push that was not taken has now been made up for: it is not owed any more.
    if redis.call('HEXISTS', message_key(source), 'push') == 1 then redis.call('HSETNX', message_key(source), 'reply', '') end
  else
    local listed = false
    for _, other in ipairs(redis.call('LRANGE', open, 0, -1)) do if other == source then listed = true end end
    if not listed then redis.call('RPUSH', open, source) end
    redis.call('LTRIM', open, -20, -1)
    keep_record(source, ARGV[7])
    local left = redis.call('PTTL', base .. 'turns')
    if left > 0 then redis.call('PEXPIRE', open, left) end
  end
end
redis.call('HSET', message_key(id), 'reply', ARGV[5])
return ARGV[5]
