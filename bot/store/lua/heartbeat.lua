--[[
  Renew the lease, and publish the text so far.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  token
  ARGV[2]  message id; "" only renews
  ARGV[3]  text so far
  ARGV[4]  ms of the lease

  Returns 0: the lease is lost, 1: held, 2: held, and a stop is requested.
]]
--- @include "conversation"

if ARGV[2] == '' then  -- a heartbeat may come late: it must not bring back a lease that was given back
  if redis.call('GET', base .. 'lease') ~= ARGV[1] then return 0 end
else
  if not holds_lease(ARGV[1]) then return 0 end
  if redis.call('HGET', message_key(ARGV[2]), 'status') == 'running' then  -- else it was taken back meanwhile
    redis.call('HSET', message_key(ARGV[2]), 'text', ARGV[3])
  end
end
redis.call('SET', base .. 'lease', ARGV[1], 'PX', ARGV[4])
if ARGV[2] ~= '' and redis.call('HEXISTS', message_key(ARGV[2]), 'enough') == 1 then return 2 end
return 1
