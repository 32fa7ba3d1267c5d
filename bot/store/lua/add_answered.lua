--[[
  Take in a message together with its answer, once per id; no engine is asked.
  An answer that is being written meanwhile has not read it: `prefix` becomes another, so that `finish` sees it.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  nonce of this attempt
  ARGV[3]  question
  ARGV[4]  answer
  ARGV[5]  ms that the conversation is kept
  ARGV[6]  ms that a message is remembered
  ARGV[7]  turns kept, at most
  ARGV[8]  channel
  ARGV[9]  user
  ARGV[10] marks of the answer for administrators; "" if there are none

  Returns the message's fields as HGETALL does, and `now`.
]]
--- @include "conversation"

local id, nonce, meta = ARGV[1], ARGV[2], base .. 'meta'
if redis.call('EXISTS', message_key(id)) == 0 then
  redis.call('HSETNX', meta, 'created', now)
  redis.call('HSETNX', meta, 'talk', 0)
  redis.call('HSET', meta, 'channel', ARGV[8], 'user', ARGV[9])
  local talk = redis.call('HGET', meta, 'talk')
  redis.call('HSET', message_key(id), 'kind', 'tell', 'status', 'done', 'question', ARGV[3], 'talk', talk,
    'text', ARGV[4], 'reply', ARGV[4], 'first', now)
  remember(id, ARGV[6])
  append_turn('user', ARGV[3], id, talk)
  append_turn('assistant', ARGV[4], id, talk, '', '', ARGV[10])
  redis.call('LTRIM', base .. 'turns', -tonumber(ARGV[7]), -1)
  redis.call('HSET', meta, 'prefix', 'told:' .. id)
  redis.call('DEL', base .. 'state')
  renew(ARGV[5])
end
return count_attempt(id, nonce)
