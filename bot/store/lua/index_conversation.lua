--[[
  List the conversation by its newest question, or emergency, and drop what has expired.

  KEYS[1]  plm:index or plm:emergencies
  ARGV[1]  conversation id
  ARGV[2]  ms that the conversation is kept
  ARGV[3]  conversations listed, at most; 0 for all

  Returns 1.
]]

local time, index = redis.call('TIME'), KEYS[1]
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', index, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', index, '-inf', now - ARGV[2] / 1000)
if tonumber(ARGV[3]) > 0 then redis.call('ZREMRANGEBYRANK', index, 0, -1 - tonumber(ARGV[3])) end
redis.call('PEXPIRE', index, ARGV[2])
return 1
