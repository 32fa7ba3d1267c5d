--[[
  End a message as failed; without an error, put it back for another process.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  token
  ARGV[2]  message id
  ARGV[3]  error

  Returns 0 if the lease is lost, else 1.
]]
--- @include "conversation"

if not holds_lease(ARGV[1]) then return 0 end
if ARGV[3] ~= '' then
  redis.call('HSET', message_key(ARGV[2]), 'status', 'failed', 'error', ARGV[3])
  redis.call('LREM', base .. 'queue', 1, ARGV[2])
else
  redis.call('HSET', message_key(ARGV[2]), 'status', 'queued', 'starts', 0)
  redis.call('DEL', base .. 'lease')
end
return 1
