--[[
  Schedule a text that answers no message for pushing; not in an unknown conversation.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  text
  ARGV[3]  ms that a message is remembered

  Returns the field `push`; "" for an unknown conversation.
]]
--- @include "conversation"
--- @include "push"

if redis.call('EXISTS', base .. 'meta') == 0 then return '' end
if redis.call('EXISTS', message_key(ARGV[1])) == 0 then
  redis.call('HSET', message_key(ARGV[1]), 'kind', 'notice', 'status', 'done', 'text', ARGV[2], 'delivered', 0,
    'first', now, 'push', 'due')
  remember(ARGV[1], ARGV[3])
  redis.call('RPUSH', pushes, ARGV[1])
  redis.call('PEXPIRE', pushes, ARGV[3])
end
return redis.call('HGET', message_key(ARGV[1]), 'push') or ''
