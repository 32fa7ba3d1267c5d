--[[
  Go back to an earlier talk: the next question belongs to it.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  number of the talk
  ARGV[2]  nonce of this call

  Returns the number of the talk that goes on: another one if there is nothing of that talk.
]]
--- @include "conversation"

local meta, wanted = base .. 'meta', tonumber(ARGV[1])
local current = tonumber(redis.call('HGET', meta, 'talk') or 0)
if current == wanted then return current end
local found, last = false, nil
for _, text in ipairs(redis.call('LRANGE', base .. 'turns', 0, -1)) do
  local row = cjson.decode(text)
  if row.talk == wanted then
    found = true
    if row.role == 'user' then last = row.message_id end
  end
end
if not found then return current end
redis.call('HSET', meta, 'talks', highest_talk())
redis.call('HSET', meta, 'talk', wanted, 'prefix', 'resumed:' .. ARGV[2])  -- no state belongs to it
if last then redis.call('HSET', meta, 'last', last) else redis.call('HDEL', meta, 'last') end
redis.call('DEL', base .. 'state', base .. 'open')
return wanted
