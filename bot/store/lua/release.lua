--[[
  Release the lease early.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  token

  Returns 1.
]]
--- @include "conversation"

if redis.call('GET', base .. 'lease') == ARGV[1] then redis.call('DEL', base .. 'lease') end
return 1
