--[[
  Request the end of an answer; `heartbeat` reports it to the process that writes it.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id

  Returns 1.
]]
--- @include "conversation"

local status = redis.call('HGET', message_key(ARGV[1]), 'status')
if status == 'queued' or status == 'running' then redis.call('HSET', message_key(ARGV[1]), 'enough', 1) end
return 1
