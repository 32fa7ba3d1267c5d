--[[
  Whether a message has the text that it came with first. The first text is the one that is told here first.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  hash of its text

  Returns 1 if it has, or if there is no such message; else 0.
]]
--- @include "conversation"

local message = message_key(ARGV[1])
if redis.call('EXISTS', message) == 0 then return 1 end
redis.call('HSETNX', message, 'text_hash', ARGV[2])
return redis.call('HGET', message, 'text_hash') == ARGV[2] and 1 or 0
