--[[
  Take in a user's message, once per id: into the transcript and the queue. A failed one is queued again.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  nonce of this attempt
  ARGV[3]  question
  ARGV[4]  ms that the conversation is kept
  ARGV[5]  ms that a message is remembered
  ARGV[6]  turns kept, at most
  ARGV[7]  channel
  ARGV[8]  user
  ARGV[9]  caution: what the answer begins with; "" for nothing
  ARGV[10] of 继续, the message whose answer it goes on with; "" for others

  Returns the message's fields as HGETALL does, and `now`; nothing if it is to go on with an answer that is not the
  newest turn any more: then it is not taken in.
]]
--- @include "conversation"

local id, nonce, question, keep_ms, job_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local meta, status = base .. 'meta', redis.call('HGET', message_key(id), 'status')
if not status then
  if ARGV[10] ~= '' then
    local newest = redis.call('LINDEX', base .. 'turns', -1)
    if not newest or cjson.decode(newest).message_id ~= ARGV[10] then return {} end
  end
  redis.call('HSETNX', meta, 'created', now)
  redis.call('HSETNX', meta, 'talk', 0)
  redis.call('HSET', meta, 'channel', ARGV[7], 'user', ARGV[8], 'last', id)
  local talk = redis.call('HGET', meta, 'talk')
  redis.call('HSET', message_key(id), 'kind', 'ask', 'status', 'queued', 'question', question, 'talk', talk,
    'text', '', 'first', now, 'starts', 0, 'delivered', 0, 'notice', redis.call('HSETNX', meta, 'greeted', 1))
  if ARGV[9] ~= '' then redis.call('HSET', message_key(id), 'caution', ARGV[9]) end
  remember(id, job_ms)
  append_turn('user', question, id, talk)
  redis.call('LTRIM', base .. 'turns', -tonumber(ARGV[6]), -1)
  redis.call('RPUSH', base .. 'queue', id)
  renew(keep_ms)
elseif status == 'failed' then
  redis.call('HSET', message_key(id), 'status', 'queued', 'text', '', 'starts', 0, 'error', '')
  redis.call('RPUSH', base .. 'queue', id)
  renew(keep_ms)
end
return count_attempt(id, nonce)
