--[[
  Run a command once per message id, and remember its reply.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  nonce of this attempt
  ARGV[3]  action: new, greet, quiet, listen, ask-forget; any other only replies
  ARGV[4]  reply; for export, source, search and books one that may be long: it is handed out in pieces
  ARGV[5]  ms that the conversation is kept
  ARGV[6]  ms that a message is remembered

  Returns the message's fields as HGETALL does, and `now`.
]]
--- @include "conversation"

local id, action = ARGV[1], ARGV[3]
local long = {export=true, source=true, search=true, books=true}
if redis.call('EXISTS', message_key(id)) == 0 then
  redis.call('HSET', message_key(id), 'kind', 'command', 'status', 'done', 'first', now)
  if long[action] then redis.call('HSET', message_key(id), 'text', ARGV[4], 'delivered', 0)
  else redis.call('HSET', message_key(id), 'reply', ARGV[4]) end
  remember(id, ARGV[6])
  if action == 'new' then
    redis.call('HSET', base .. 'meta', 'talk', highest_talk() + 1)
    redis.call('HDEL', base .. 'meta', 'prefix', 'last')
    redis.call('DEL', base .. 'state', base .. 'open')
  elseif action == 'greet' then
    redis.call('HSET', base .. 'meta', 'greeted', 1)
  elseif action == 'quiet' then
    redis.call('HSET', base .. 'meta', 'quiet', 1)
  elseif action == 'listen' then
    redis.call('HDEL', base .. 'meta', 'quiet')
  elseif action == 'ask-forget' then
    redis.call('HSET', base .. 'meta', 'forget', now)
  end
  renew(ARGV[5])
end
return count_attempt(id, ARGV[2])
