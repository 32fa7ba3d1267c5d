--[[
  Bind 继续 to the answer that it continues (`source`): the newest one that is shown in part, else the
  oldest one still owed, else the last question if nothing of it was ever handed out (its third request
  never came back). Where all is shown of an answer that ended at the limit of bytes, the model is to write on:
  the message is to be enqueued then, and nothing is kept of it here.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  nonce of this attempt
  ARGV[3]  ms that a message is remembered
  ARGV[4]  1 in a channel that shows every answer whole as soon as it is finished

  Returns the message's fields as HGETALL does, and `now`; of one to be enqueued {'kind', 'write-on', 'source', id},
  with "" for the id where it has been enqueued already.
]]
--- @include "conversation"

local id, source = ARGV[1], ''
-- The answer that is the last of the talk, and ended where it may not be longer.
local function cut_short(last)
  local newest = redis.call('LINDEX', base .. 'turns', -1)
  return redis.call('HGET', message_key(last), 'stop') == 'length' and newest
    and cjson.decode(newest).message_id == last
end
if redis.call('HGET', message_key(id), 'kind') == 'ask' then return {'kind', 'write-on', 'source', ''} end
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
  if source == '' and last and redis.call('HGET', message_key(last), 'kind') == 'ask' then
    local shown = redis.call('HEXISTS', message_key(last), 'reply') == 1
    if (shown or ARGV[4] == '1') and cut_short(last) then return {'kind', 'write-on', 'source', last} end
    if not shown then source = last end
  end
  redis.call('HSET', message_key(id), 'kind', 'more', 'status', 'done', 'source', source, 'first', now,
    'latest', (source == last) and 1 or 0)
  remember(id, ARGV[3])
end
return count_attempt(id, ARGV[2])
