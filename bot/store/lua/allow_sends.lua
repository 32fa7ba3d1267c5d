--[[
  Store how many pushes the platform allows from now on.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  mark: once for each
  ARGV[2]  sends
  ARGV[3]  ms
  ARGV[4]  1: only if nothing is known yet
  ARGV[5]  address

  Returns 1 if this is new, else 0.
]]
--- @include "conversation"

local sends = base .. 'sends'
if redis.call('HGET', sends, 'mark') == ARGV[1] then return 0 end
if ARGV[4] == '1' and redis.call('EXISTS', sends) == 1 then return 0 end
redis.call('HSET', sends, 'left', ARGV[2], 'mark', ARGV[1], 'address', ARGV[5])
redis.call('PEXPIRE', sends, ARGV[3])
return 1
