--[[
  Replace a task's data, unless it is gone: what was erased must not come back.

  KEYS[1]  hash of the queue's tasks
  ARGV[1]  task id
  ARGV[2]  data

  Returns 1.
]]

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
