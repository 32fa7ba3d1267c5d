--[[
  End a message with its answer, which goes into the transcript. If nothing more waits, the lease is given back.
  A remark is shown behind the answer and is no part of what the model said.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  token
  ARGV[2]  message id
  ARGV[3]  answer
  ARGV[4]  finish reason
  ARGV[5]  prefix after this answer
  ARGV[6]  the model's state, packed; "" if there is none
  ARGV[7]  ms that the conversation is kept
  ARGV[8]  prefix that the answer went on from
  ARGV[9]  remark
  ARGV[10] citations, as one text; "" if there are none
  ARGV[11] marks of the answer for administrators, with commas between; "" if there are none
  ARGV[12] ms that the state is kept

  Returns {0}: the lease is lost; {1, fields of the message}: more waits; {2, fields}: nothing waits.
]]
--- @include "conversation"

local token, id, answer = ARGV[1], ARGV[2], ARGV[3]
if not holds_lease(token) then return {0} end
local own = redis.call('HMGET', message_key(id), 'status', 'talk')
if own[1] == 'running' then
  local shown = ARGV[9] ~= '' and answer .. '\n' .. ARGV[9] or answer
  redis.call('HSET', message_key(id), 'status', 'done', 'text', shown, 'stop', ARGV[4], 'ended', now,
    'citations', ARGV[10])
  append_turn('assistant', answer, id, own[2], ARGV[9], ARGV[10], ARGV[11])
  if own[2] == redis.call('HGET', base .. 'meta', 'talk') then
    local alone = (redis.call('HGET', base .. 'meta', 'prefix') or '') == ARGV[8]
    redis.call('HSET', base .. 'meta', 'prefix', alone and ARGV[5] or 'after:' .. id)
    redis.call('DEL', base .. 'state')
    if alone and ARGV[6] ~= '' then
      redis.call('HSET', base .. 'state', 'prefix', ARGV[5], 'packed', ARGV[6])
      redis.call('PEXPIRE', base .. 'state', ARGV[12])
    end
  end
  redis.call('LREM', base .. 'queue', 1, id)
  renew(ARGV[7])
end
local record = redis.call('HGETALL', message_key(id))
if redis.call('LLEN', base .. 'queue') > 0 then return {1, record} end
if redis.call('GET', base .. 'lease') == token then redis.call('DEL', base .. 'lease') end
return {2, record}
