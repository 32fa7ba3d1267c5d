--[[
  Bind 继续 to the answer that it continues (`source`): the newest one that is shown in part, else the
  oldest one still owed, else the last question if nothing of it was ever handed out (its third request
  never came back).

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  nonce of this attempt
  ARGV[3]  ms that a message is remembered

  Returns the message's fields as HGETALL does, and `now`.
]]
--- @include "conversation"

local id, source = ARGV[1], ''
if redis.call('EXISTS', message_key(id)) == 0 then
  local open = {}
  for _, candidate in ipairs(redis.call('LRANGE', base .. 'open', 0, -1)) do
    local delivered = redis.call('HGET', message_key(candidate), 'delivered')
    if not delivered then redis.call('LREM', base .. 'open', 0, candidate)  -- the message has expired
    else
      open[#open + 1] = candidate
      if tonumber(delivered) > 0 then source = candidate end
    end
  end
  local last = redis.call('HGET', base .. 'meta', 'last')
  if source == '' and #open > 0 then source = open[1] end
  if source == '' and last and redis.call('HGET', message_key(last), 'kind') == 'ask'
     and redis.call('HEXISTS', message_key(last), 'reply') == 0 then source = last end
  redis.call('HSET', message_key(id), 'kind', 'more', 'status', 'done', 'source', source, 'first', now,
    'latest', (source == last) and 1 or 0)
  remember(id, ARGV[3])
end
return count_attempt(id, ARGV[2])
