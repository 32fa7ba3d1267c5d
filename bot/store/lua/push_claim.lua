--[[
  Claim bytes [from, to) of an answer before they are sent, and one of the sends if they are counted.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  owner
  ARGV[2]  message id
  ARGV[3]  from
  ARGV[4]  to
  ARGV[5]  nonce of this attempt
  ARGV[6]  ms of the lease
  ARGV[7]  1: counted

  Returns 1 if they are ours, else 0.
]]
--- @include "conversation"
--- @include "push"

local id, mark = ARGV[2], 'sending:' .. ARGV[5] .. ':' .. ARGV[3] .. ':' .. ARGV[4]
if redis.call('GET', pusher) ~= ARGV[1] then return 0 end
if redis.call('HGET', message_key(id), 'push') == mark then return 1 end
if redis.call('HGET', message_key(id), 'delivered') ~= ARGV[3] then return 0 end
if ARGV[7] == '1' then
  if tonumber(redis.call('HGET', base .. 'sends', 'left') or 0) < 1 then return 0 end
  redis.call('HINCRBY', base .. 'sends', 'left', -1)
end
redis.call('HSET', message_key(id), 'push', mark, 'delivered', ARGV[4])
redis.call('SET', pusher, ARGV[1], 'PX', ARGV[6])
return 1
