--[[
  Delete a conversation. With a message id, its reply is kept for the sender's retries, and a retry deletes
  nothing that came after.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id; "" leaves nothing at all
  ARGV[2]  nonce of this attempt
  ARGV[3]  reply
  ARGV[4]  ms that the reply is kept

  Returns the message's fields as HGETALL does, and `now`.
]]
--- @include "conversation"

local id = ARGV[1]
local known = redis.call('EXISTS', message_key(id)) == 1
if id == '' or not known or redis.call('HGET', message_key(id), 'action') ~= 'forget' then
  for _, other in ipairs(redis.call('ZRANGE', base .. 'jobs', 0, -1)) do redis.call('DEL', message_key(other)) end
  for _, name in ipairs({'meta', 'turns', 'queue', 'lease', 'state', 'open', 'jobs', 'sends',
      'pushes', 'pusher', 'feedback'}) do
    redis.call('DEL', base .. name) end
  if id == '' then return {} end
  redis.call('HSET', message_key(id), 'kind', 'command', 'action', 'forget', 'status', 'done', 'reply', ARGV[3],
    'first', now)
  remember(id, ARGV[4])
end
return count_attempt(id, ARGV[2])
