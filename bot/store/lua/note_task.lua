--[[
  Note a task of a conversation, so that it is found when the conversation is forgotten.

  KEYS[1]  the conversation's tasks, plm:{CHANNEL:USER}:tasks
  ARGV[1]  queue and id of the task
  ARGV[2]  ms that a task exists, at most

  Returns 1.
]]

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2] / 1000)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
