--[[
  Schedule the answer to a message for pushing.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  words before its first piece
  ARGV[3]  ms that the message is kept until it is sent
  ARGV[4]  1: also if it was kept

  Returns the field `push`.
]]
--- @include "conversation"
--- @include "push"

if redis.call('EXISTS', message_key(ARGV[1])) == 0 then return 'told' end  -- forgotten: it must not come back
local revived = ARGV[4] == '1' and redis.call('HGET', message_key(ARGV[1]), 'push') == 'kept'
if revived then redis.call('HSET', message_key(ARGV[1]), 'push', 'due')
elseif redis.call('HSETNX', message_key(ARGV[1]), 'push', 'due') == 1 then
  redis.call('HSET', message_key(ARGV[1]), 'before', ARGV[2])
  revived = true
end
if revived then
  keep_record(ARGV[1], ARGV[3])
  redis.call('RPUSH', pushes, ARGV[1])
  redis.call('PEXPIRE', pushes, ARGV[3])
end
return redis.call('HGET', message_key(ARGV[1]), 'push')
